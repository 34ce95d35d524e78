package export

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/reconcile"
)

func past(steps int) *history.History {
	h := history.New(history.Config{Seed: 3, Partitions: 3, Accounts: 4, Steps: steps, Assets: 2, FrameMax: 30})
	h.PayToClosed(1)
	h.Flood(2)
	h.DeliverAll()
	h.More(40)
	return h
}

func export(t testing.TB, c Config) (string, Summary) {
	t.Helper()
	var out bytes.Buffer
	c.Out, c.Assets = &out, journal.DevAssets
	s, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), s
}

// row is a leg, as a reader of JSON lines sees it.
type row struct {
	Position, Time, Transfer, Key, Kind, Account, Part, Direction, Asset string
	Leg, Amount                                                          int64
	BalanceAfter                                                         *int64 `json:"balance_after"`
	Counterparty, Reference, Status                                      string
}

func (r *row) signed() int64 {
	if r.Direction == "debit" {
		return -r.Amount
	}
	return r.Amount
}

func rowsOf(t testing.TB, text string) (all []row) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	for {
		var r row
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

// TestLegsAreTheBooks: the legs of a whole journal sum up to every account's balances as the fold has them, each balance_after is
// the running sum, channels keep what is in flight, and every event balances.
func TestLegsAreTheBooks(t *testing.T) {
	h := past(4000)
	text, summary := export(t, Config{Log: h.Log, Format: "jsonl"})
	if !summary.Balanced() {
		t.Errorf("unbalanced: %+v", summary)
	}
	type pocket struct{ account, part, asset string }
	running, events, kinds := map[pocket]int64{}, map[string]int64{}, map[string]int{}
	inFlight := map[string]int64{}
	rows := rowsOf(t, text)
	for i, r := range rows {
		if p := (pocket{r.Account, r.Part, r.Asset}); r.Part == InFlight {
			inFlight[r.Asset] += r.signed()
		} else if running[p] += r.signed(); r.BalanceAfter == nil || *r.BalanceAfter != running[p] && (i+1 == len(rows) || rows[i+1].Position != r.Position) {
			t.Fatalf("%+v: the legs before sum up to %d", r, running[p])
		}
		events[r.Position+" "+r.Asset] += r.signed()
		kinds[r.Kind+" "+r.Part]++
		if r.Amount <= 0 || r.Transfer == "" || strings.HasPrefix(r.Account, "handle:") || strings.HasPrefix(r.Counterparty, "handle:") {
			t.Errorf("%+v", r)
		}
	}
	for at, sum := range events {
		if sum != 0 {
			t.Errorf("event %s: %d", at, sum)
		}
	}
	for _, b := range h.Books {
		for handle, a := range b.State.(*journal.Memory).Accounts {
			id := reconcile.Names(h.Names).Of(handle)
			code := journal.DevAssets.Code(a.Asset)
			if got := running[pocket{id, Available, code}]; got != int64(a.Available) {
				t.Errorf("%s: available %d, the legs say %d", id, a.Available, got)
			}
			if got := running[pocket{id, Reserved, code}]; got != int64(a.Reserved) {
				t.Errorf("%s: reserved %d, the legs say %d", id, a.Reserved, got)
			}
		}
	}
	for _, a := range summary.Assets {
		if a.InFlight.String() != fmt.Sprint(inFlight[a.Asset]) || inFlight[a.Asset] < 0 {
			t.Errorf("%s: %v in flight, the legs say %d", a.Asset, a.InFlight, inFlight[a.Asset])
		}
	}
	for _, k := range []string{"transfer available", "transfer in_flight", "reserve reserved", "confirm reserved", "confirm in_flight", "cancel reserved", "expire available"} {
		if kinds[k] == 0 {
			t.Errorf("no %s: the history is too tame", k)
		}
	}
	if uint64(len(rows)) != summary.Legs {
		t.Errorf("%d rows, %d told", len(rows), summary.Legs)
	}
	if again, _ := export(t, Config{Log: h.Log, Format: "jsonl"}); again != text {
		t.Error("the same journal gives another file")
	}
}

// TestFormatsSayTheSame: CSV and SQLite have what JSON lines have.
func TestFormatsSayTheSame(t *testing.T) {
	h := past(1000)
	text, want := export(t, Config{Log: h.Log, Format: "jsonl"})
	var lines [][]string
	for _, r := range rowsOf(t, text) {
		balance := ""
		if r.BalanceAfter != nil {
			balance = fmt.Sprint(*r.BalanceAfter)
		}
		lines = append(lines, []string{r.Position, fmt.Sprint(r.Leg), r.Time, r.Transfer, r.Key, r.Kind, r.Account, r.Part, r.Direction, r.Asset,
			fmt.Sprint(r.Amount), balance, r.Counterparty, r.Reference, r.Status})
	}
	same := func(got [][]string) {
		t.Helper()
		if len(got) != len(lines) {
			t.Fatalf("%d rows, want %d", len(got), len(lines))
		}
		for i := range got {
			if strings.Join(got[i], "\x00") != strings.Join(lines[i], "\x00") {
				t.Fatalf("row %d\n%q\n%q", i, got[i], lines[i])
			}
		}
	}
	comma, summary := export(t, Config{Log: h.Log, Format: "csv"})
	got, err := csv.NewReader(strings.NewReader(comma)).ReadAll()
	if err != nil || strings.Join(got[0], ",") != strings.Join(Columns, ",") || summary.Legs != want.Legs {
		t.Fatalf("%v %v", err, got[0])
	}
	same(got[1:])

	path := filepath.Join(t.TempDir(), "x.sqlite")
	if _, err := Run(t.Context(), Config{Log: h.Log, Assets: journal.DevAssets, Format: "sqlite", Path: path}); err != nil {
		t.Fatal(err)
	}
	same(inDatabase(t, path))
}

func inDatabase(t *testing.T, path string) (all [][]string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var off int64
	if err := db.QueryRow(`SELECT SUM(CASE direction WHEN 'credit' THEN amount / 2 ELSE -(amount / 2) END) FROM legs WHERE asset = 'EUR'`).Scan(&off); err != nil {
		t.Fatal(err)
	}
	var sums int
	if err := db.QueryRow(`SELECT COUNT(*) FROM sums WHERE debit = credit AND exponent = 2`).Scan(&sums); err != nil || sums != 2 {
		t.Errorf("sums of %d assets: %v", sums, err)
	}
	rows, err := db.Query("SELECT " + strings.Join(Columns, ",") + " FROM legs ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		cells := make([]sql.NullString, len(Columns))
		into := make([]any, len(cells))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		line := make([]string, len(cells))
		for i := range cells {
			line[i] = cells[i].String
		}
		all = append(all, line)
	}
	return all
}

// TestSelections: partitions, times and positions choose events, whose balances stay what they are in the whole.
func TestSelections(t *testing.T) {
	h := past(600)
	text, whole := export(t, Config{Log: h.Log, Format: "jsonl"})
	rows := rowsOf(t, text)
	middle := h.Events[1][len(h.Events[1])/2]
	atMS := middle.TimeMS
	for _, c := range []struct {
		name string
		cfg  Config
		want func(*row, journal.Position, int64) bool
	}{
		{"partition", Config{Partitions: []int{1}}, func(_ *row, at journal.Position, _ int64) bool { return at.Partition == 1 }},
		{"from", Config{FromMS: atMS}, func(_ *row, _ journal.Position, ms int64) bool { return ms >= atMS }},
		{"to", Config{ToMS: atMS}, func(_ *row, _ journal.Position, ms int64) bool { return ms < atMS }},
		{"positions", Config{Partitions: []int{1}, FromSeq: 30, ToSeq: middle.Seq}, func(_ *row, at journal.Position, _ int64) bool {
			return at.Partition == 1 && at.Seq >= 30 && at.Seq <= middle.Seq
		}},
	} {
		c.cfg.Log, c.cfg.Format = h.Log, "jsonl"
		got, summary := export(t, c.cfg)
		var want []row
		for _, r := range rows {
			at, err := journal.ParsePosition(r.Position)
			ms, err2 := time.Parse(time.RFC3339, r.Time)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if c.want(&r, at, ms.UnixMilli()) {
				want = append(want, r)
			}
		}
		if a, b := fmt.Sprint(texts(rowsOf(t, got))), fmt.Sprint(texts(want)); a != b {
			t.Errorf("%s: other rows", c.name)
		}
		if !summary.Balanced() || summary.Legs >= whole.Legs || summary.Legs == 0 || summary.Events >= whole.Events {
			t.Errorf("%s: %+v of %+v", c.name, summary, whole)
		}
	}
}

func texts(rows []row) (all []string) {
	for _, r := range rows {
		b, _ := json.Marshal(r)
		all = append(all, string(b))
	}
	return all
}

// TestUnbalancedEventIsTold: a leg that is credited in another asset than it was decided in is an event that does not balance.
func TestUnbalancedEventIsTold(t *testing.T) {
	h := past(300)
	q := 1
	seq := h.Deliveries(q, 1)[0]
	h.Forge(h.Log, q, seq, func(r *journal.Row) {
		legs := history.Legs(r)
		legs[0].Asset ^= 1
		r.SetLegs(history.Pack(legs))
	})
	_, summary := export(t, Config{Log: h.Log, Format: "csv"})
	want := h.Events[q][seq-1].Position
	at, err := journal.ParsePosition(summary.Unbalanced)
	if err != nil || at.Partition != q || at.Seq != want.Seq || summary.Balanced() {
		t.Errorf("%+v, want seq %d of partition %d", summary, want.Seq, q)
	}
}

func TestDamageEndsAnExport(t *testing.T) {
	h := past(300)
	h.Log.Flip(2, 4, 100, 1)
	_, err := Run(t.Context(), Config{Log: h.Log, Format: "csv", Out: io.Discard})
	if !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "offset 4") {
		t.Errorf("%v", err)
	}
}

func TestWrongConfigurations(t *testing.T) {
	h := past(10)
	for _, c := range []Config{
		{Format: "csv", Out: io.Discard}, {Log: h.Log, Format: "xls", Out: io.Discard}, {Log: h.Log, Format: "csv"}, {Log: h.Log, Format: "sqlite"},
		{Log: h.Log, Format: "csv", Out: io.Discard, FromSeq: 1}, {Log: h.Log, Format: "csv", Out: io.Discard, FromMS: 5, ToMS: 5},
		{Log: h.Log, Format: "csv", Out: io.Discard, Partitions: []int{9}}, {Log: h.Log, Format: "csv", Out: io.Discard, Partitions: []int{1}, FromSeq: 2, ToSeq: 1},
	} {
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}

func TestSums(t *testing.T) {
	var s Sum
	for range 3000 {
		s.Add(int64(journal.AmountMax))
	}
	if s.String() != "27021597764222973000" { // 3000 × (2^53−1), over 2^64
		t.Error(s)
	}
	for range 3001 {
		s.Add(-int64(journal.AmountMax))
	}
	if b, _ := json.Marshal(s); string(b) != "-9007199254740991" {
		t.Errorf("%s", b)
	}
}

// TestTexts: what clients write into references and keys comes back.
func TestTexts(t *testing.T) {
	for _, s := range []string{"", "plain", `a "quoted", text`, "line\nbreak\r", "ü €", "\x00\x7f", "\xff", " space", "=1+1", `\`} {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%q: %q %v", s, back, err)
		}
		r := csv.NewReader(strings.NewReader("x," + string(appendField(nil, s)) + "\n"))
		if line, err := r.Read(); err != nil || line[1] != strings.ReplaceAll(s, "\r\n", "\n") {
			t.Errorf("%q: %q %v", s, line, err)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	h := history.New(history.Config{Seed: 3, Partitions: 8, Accounts: 200, Steps: 200_000, Assets: 1, FrameMax: 200, Plain: true})
	events := 0
	for p := range h.Events {
		events += len(h.Events[p])
	}
	for _, format := range Formats {
		b.Run(format, func(b *testing.B) {
			for i := range b.N {
				c := Config{Log: h.Log, Assets: journal.DevAssets, Format: format, Out: io.Discard, Path: filepath.Join(b.TempDir(), fmt.Sprint(i))}
				if _, err := Run(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
