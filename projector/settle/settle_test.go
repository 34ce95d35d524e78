package settle

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

func past(steps int) *history.History {
	h := history.New(history.Config{Seed: 5, Partitions: 3, Accounts: 4, Steps: steps, Assets: 2, FrameMax: 30})
	h.DeliverAll()
	return h
}

var byName = Mapping{Reference: "reference", Amount: "amount", Asset: "asset"}

func run(t testing.TB, c Config) *Result {
	t.Helper()
	c.Assets = journal.DevAssets
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// own is the wallet's movements as a settlement file.
func own(t testing.TB, h *history.History, c Config) (string, *Result) {
	t.Helper()
	c.Log, c.File = h.Log, strings.NewReader("reference,amount,asset,date,way\n")
	all := run(t, c)
	var b strings.Builder
	b.WriteString("reference,amount,asset,date,way\n")
	for i := range all.Movements {
		m := &all.Movements[i]
		fmt.Fprintf(&b, "%s,%d,%s,%s,%s\n", m.Key, m.Amount, journal.DevAssets.Code(m.Asset), time.UnixMilli(m.TimeMS).UTC().Format(time.DateOnly), DirectionText(m.Direction))
	}
	return b.String(), all
}

// TestMovementsAreTheCredits: every credit that an account got is one movement, by id and amount: none is forgotten, none invented.
func TestMovementsAreTheCredits(t *testing.T) {
	h := past(4000)
	_, all := own(t, h, Config{Mapping: byName, MatchOn: OnID})
	want := map[string]int{}
	for p := range h.Changes {
		for _, changes := range h.Changes[p] {
			for _, c := range changes {
				paid := c.Of == journal.OpTransfer || c.Of == journal.OpPay || c.Of == journal.OpConfirm
				if gain := c.After.Available + c.After.Reserved - c.Before.Available - c.Before.Reserved; paid && gain > 0 {
					want[fmt.Sprintf("%x %d", c.ID, gain)]++
				}
			}
		}
	}
	reserved := 0
	for i := range all.Movements {
		m := &all.Movements[i]
		want[fmt.Sprintf("%x %d", m.ID, m.Amount)]--
		if m.Reservation {
			reserved++
		}
		if all.Names.Of(m.Payer) == "" || all.Names.Of(m.Payee) == "" || i > 0 && m.TimeMS < all.Movements[i-1].TimeMS {
			t.Fatalf("%+v", m)
		}
	}
	for id, n := range want {
		if n != 0 {
			t.Errorf("%s: %d credits too many", id, n)
		}
	}
	if reserved < 20 || len(all.Movements) < 500 {
		t.Errorf("%d movements, %d of reservations: too tame", len(all.Movements), reserved)
	}
}

// TestTheWalletsOwnFileMatches: by each key, and from one account's view with its directions; a changed file is told.
func TestTheWalletsOwnFileMatches(t *testing.T) {
	h := past(2000)
	m := byName
	m.Unit, m.Date = "minor", "date"
	for _, on := range []string{OnKey, OnID} {
		file, all := own(t, h, Config{Mapping: m, MatchOn: on})
		r := run(t, Config{File: strings.NewReader(file), Log: h.Log, Mapping: m, MatchOn: on})
		if r.Counts.Matched != len(all.Movements) || r.Counts.Differences() != 0 || r.Counts.Malformed != 0 || r.Sums[0].Matched != r.Sums[0].File || r.Sums[0].File != r.Sums[0].Wallet {
			t.Errorf("%s: %+v %+v", on, r.Counts, r.Sums)
		}
	}
	m.Direction, m.Debit, m.Credit = "way", []string{"debit"}, []string{"credit"}
	account := ""
	for p := range h.Changes[0] { // the first payer of partition 0
		if c := h.Changes[0][p]; len(c) > 0 && c[0].Of == journal.OpTransfer {
			account = h.Names[c[0].Account]
		}
	}
	file, all := own(t, h, Config{Mapping: m, MatchOn: OnID, Account: account})
	c := Config{File: strings.NewReader(file), Log: h.Log, Mapping: m, MatchOn: OnID, Account: account}
	if r := run(t, c); r.Counts.Matched != len(all.Movements) || r.Counts.Matched < 10 || r.Counts.Differences() != 0 {
		t.Errorf("account %s: %+v of %d", account, r.Counts, len(all.Movements))
	}
	c.File = strings.NewReader(strings.NewReplacer("debit", "credit", "credit", "debit").Replace(file))
	if r := run(t, c); r.Counts.Differs != len(all.Movements) {
		t.Errorf("the other directions: %+v", r.Counts)
	}
}

// TestPeriod: transfers outside the file's days are not missed; those at its edge may be matched.
func TestPeriod(t *testing.T) {
	h := past(600)
	m := byName
	m.Unit, m.Date = "minor", "date"
	_, all := own(t, h, Config{Mapping: m, MatchOn: OnID})
	first := &all.Movements[0]
	line := func(day int32) string {
		return fmt.Sprintf("reference,amount,asset,date\n%s,%d,%s,%s\n", first.IDText(), first.Amount, journal.DevAssets.Code(first.Asset), DayText(day))
	}
	for _, c := range []struct {
		name             string
		day              int32
		days             int
		matched, missing int
	}{
		{"same day", first.Day, 0, 1, len(all.Movements) - 1},
		{"the day after, none allowed", first.Day + 1, 0, 0, 0},
		{"the day after", first.Day + 1, 1, 1, 0},
	} {
		r := run(t, Config{File: strings.NewReader(line(c.day)), Log: h.Log, Mapping: m, MatchOn: OnID, Days: c.days})
		if r.Counts.Matched != c.matched || r.Counts.MissingInFile != c.missing || r.Counts.Lines != 1 {
			t.Errorf("%s: %+v", c.name, r.Counts)
		}
	}
	r := run(t, Config{File: strings.NewReader(line(first.Day + 1)), Log: h.Log, Mapping: m, MatchOn: OnID, Days: 1, FromDay: &first.Day})
	if r.Counts.MissingInFile != len(all.Movements)-1 {
		t.Errorf("an explicit period: %+v", r.Counts)
	}
}

// TestLines: how the fields of a row are read, and what is said about those that cannot be.
func TestLines(t *testing.T) {
	h := past(10)
	for _, c := range []struct {
		name string
		edit func(*Mapping)
		row  string
		want string // amount day direction, or line, column and what is wrong
	}{
		{"decimal", nil, "a,12.5,USD,,", "1250 "},
		{"no decimals", nil, "a,12,JPY,,", "12 "},
		{"zeros behind", nil, "a,12.500,USD,,", "1250 "},
		{"eight decimals", nil, "a,0.00000001,BTC,,", "1 "},
		{"minor", func(m *Mapping) { m.Unit = "minor" }, "a,12,USD,,", "12 "},
		{"decimal comma", func(m *Mapping) { m.Decimal = "," }, `a,"12,50",EUR,,`, "1250 "},
		{"groups", func(m *Mapping) { m.Decimal, m.Group = ",", "." }, `a,"1.234.567,8",EUR,,`, "123456780 "},
		{"date", func(m *Mapping) { m.Date = "date" }, "a,1,USD,2026-11-20,", "100 2026-11-20"},
		{"time of a zone", func(m *Mapping) { m.Date, m.Zone = "date", "Asia/Seoul" }, "a,1,USD,2026-11-20T20:00:00Z,", "100 2026-11-21"},
		{"date format", func(m *Mapping) { m.Date, m.DateFormat = "date", "DD.MM.YYYY hh:mm" }, "a,1,USD,20.11.2026 23:59,", "100 2026-11-20"},
		{"unix", func(m *Mapping) { m.Date, m.DateFormat = "date", "unix" }, "a,1,USD,1795132800,", "100 2026-11-20"},
		{"direction", func(m *Mapping) { m.Direction, m.Debit, m.Credit = "way", []string{"OUT"}, []string{"IN"} }, "a,1,USD,,out", "100 debit"},
		{"sign", func(m *Mapping) { m.Negative = "debit" }, "a,-1,USD,,", "100 debit"},
		{"no sign", func(m *Mapping) { m.Negative = "debit" }, "a,+1,USD,,", "100 credit"},

		{"negative", nil, "a,-1,USD,,", `line 2, column 2: amount: "-1": it is negative; say what that means (negative: debit or credit)`},
		{"zero", nil, "a,0.00,USD,,", `line 2, column 2: amount: "0.00": it is 0`},
		{"too exact", nil, "a,1.005,USD,,", `line 2, column 2: amount: "1.005": the asset has 2 decimals`},
		{"too large", nil, "a,90071992547409.92,USD,,", `line 2, column 2: amount: "90071992547409.92": more than 9007199254740991 minor units`},
		{"exponent", nil, "a,1e3,USD,,", `line 2, column 2: amount: "1e3": want digits, like 12.55`},
		{"empty amount", nil, "a,,USD,,", `line 2, column 2: amount: "": want digits, like 12.55`},
		{"comma for a point", nil, `a,"1,50",USD,,`, `line 2, column 2: amount: "1,50": want digits, like 12.55`},
		{"groups of four", func(m *Mapping) { m.Group = "," }, `a,"1234,567",USD,,`, `line 2, column 2: amount: "1234,567": the groups are not of three digits`},
		{"a group of two", func(m *Mapping) { m.Group = "," }, `a,"1,23",USD,,`, `line 2, column 2: amount: "1,23": want digits, like 12.55`},
		{"asset", nil, "a,1,XXX,,", `line 2, column 3: asset: "XXX" is unknown to this wallet`},
		{"no reference", nil, " ,1,USD,,", "line 2, column 1: reference: it is empty"},
		{"bad date", func(m *Mapping) { m.Date, m.DateFormat = "date", "YYYYMMDD" }, "a,1,USD,2026-11-20,", `line 2, column 4: date: "2026-11-20": want YYYYMMDD`},
		{"bad direction", func(m *Mapping) { m.Direction, m.Debit = "way", []string{"out"} }, "a,1,USD,,up", `line 2, column 5: direction: "up" is none of the texts for debit and credit`},
		{"short row", nil, "a,1", "line 2, column 3: asset: the row has 2 columns"},
	} {
		m := byName
		if c.edit != nil {
			c.edit(&m)
		}
		account := ""
		if m.directed() {
			account = h.Names[h.Changes[0][0][0].Account]
		}
		cfg := Config{File: strings.NewReader("reference,amount,asset,date,way\n" + c.row + "\n"), Log: h.Log, Mapping: m, Account: account}
		l := run(t, cfg).Lines[0]
		got := strings.TrimRight(fmt.Sprintf("%d %s%s", l.Amount, DayText(l.Day), DirectionText(l.Direction)), " ")
		if l.Wrong != "" {
			got = (&RowError{l.Number, l.Column, l.Wrong}).Error()
		}
		if got != strings.TrimRight(c.want, " ") {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		cfg.File, cfg.Strict, cfg.Assets = strings.NewReader("reference,amount,asset,date,way\n"+c.row+"\n"), true, journal.DevAssets
		_, err := Run(t.Context(), cfg)
		if bad := (*RowError)(nil); errors.As(err, &bad) != (l.Wrong != "") {
			t.Errorf("%s, strict: %v", c.name, err)
		}
	}
}

func TestWrongMappings(t *testing.T) {
	h := past(10)
	for want, edit := range map[string]func(*Config){
		"reference: name the column": func(c *Config) { c.Mapping.Reference = "" },
		"asset: name its column":     func(c *Config) { c.Mapping.Asset = "" },
		"one of them is enough":      func(c *Config) { c.Mapping.AssetIs = "USD" },
		`"nowhere"; the file has "r`: func(c *Config) { c.Mapping.Amount = "nowhere" },
		"number 9":                   func(c *Config) { c.Mapping.Amount = "9" },
		"unit":                       func(c *Config) { c.Mapping.Unit = "cents" },
		"separator":                  func(c *Config) { c.Mapping.Separator = "::" },
		"date_format":                func(c *Config) { c.Mapping.DateFormat = "MM/YYYY" },
		"zone":                       func(c *Config) { c.Mapping.Zone = "Mars/Olympus" },
		"name the account":           func(c *Config) { c.Mapping.Negative = "debit" },
		"has no such account":        func(c *Config) { c.Account = "nobody" },
		"match on":                   func(c *Config) { c.MatchOn = "amount" },
		"too many lines":             func(c *Config) { c.Max = 2 },
		"the file has no rows":       func(c *Config) { c.File = strings.NewReader("\n\n") },
		"save it as UTF-8":           func(c *Config) { c.File = strings.NewReader("\xff\xfer\x00") },
		"group":                      func(c *Config) { c.Mapping.Group = "." },
		"is debit and credit": func(c *Config) {
			c.Mapping.Direction, c.Mapping.Debit, c.Mapping.Credit = "amount", []string{"x"}, []string{"X"}
		},
		"days -1":                     func(c *Config) { c.Days = -1 },
		"direction: say which of its": func(c *Config) { c.Mapping.Direction = "amount" },
	} {
		c := Config{File: strings.NewReader("reference,amount,asset\na,1,USD\nb,1,USD\nc,1,USD\n"), Log: h.Log, Assets: journal.DevAssets, Mapping: byName}
		edit(&c)
		if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestReports: CSV has every line and every movement once, JSON the differences, and both name the classes that Counts counts.
func TestReports(t *testing.T) {
	h := past(800)
	m := Mapping{Reference: "1", Amount: "2", Asset: "3", Unit: "minor", Header: true}
	file, _ := own(t, h, Config{Mapping: byName, MatchOn: OnID})
	lines := strings.SplitAfter(file, "\n")
	lines[3] = strings.Replace(lines[3], ",", ",1", 1) // another amount
	lines = append(lines[:5], append([]string{lines[5], lines[5], "tr_no,5,USD\n", "\"open,1,USD\n"}, lines[7:]...)...)
	r := run(t, Config{File: strings.NewReader(strings.Join(lines, "")), Log: h.Log, Mapping: m, MatchOn: OnID})
	want := Counts{Lines: r.Counts.Lines, Transfers: r.Counts.Transfers, Matched: r.Counts.Transfers - 2, Differs: 1, MissingInFile: 1, MissingInWallet: 1, DuplicateInFile: 1, Malformed: 1}
	if r.Counts != want {
		t.Errorf("%+v, want %+v", r.Counts, want)
	}
	var out bytes.Buffer
	if err := r.WriteCSV(&out, journal.DevAssets); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 1+r.Counts.Lines+r.Counts.MissingInFile+r.Counts.DuplicateInWallet {
		t.Errorf("%d rows: %v", len(rows), err)
	}
	out.Reset()
	if err := r.WriteJSON(&out, journal.DevAssets, 3); err != nil {
		t.Fatal(err)
	}
	var rep Report
	if err := json.Unmarshal(out.Bytes(), &struct {
		*Report
		Assets any `json:"assets"`
	}{Report: &rep}); err != nil || rep.OK || len(rep.Differences) != 3 || rep.More != 2 || rep.Counts != want || rep.Differences[0].Note != "" {
		t.Errorf("%v %+v", err, rep)
	}
	out.Reset()
	err = r.WriteText(&out, journal.DevAssets, 10, func(a journal.Amount, s journal.Asset) string { return fmt.Sprint(a, s) })
	for _, text := range []string{"amount_differs", "malformed", "column 1: the quote is never closed", "tr_no"} {
		if !strings.Contains(out.String(), text) || err != nil {
			t.Errorf("no %q in %s: %v", text, out.String(), err)
		}
	}
}

func TestDamageIsTold(t *testing.T) {
	h := past(300)
	h.Log.Flip(2, 4, 100, 1)
	if _, err := Run(t.Context(), Config{File: strings.NewReader("reference,amount,asset\n"), Log: h.Log, Assets: journal.DevAssets, Mapping: byName}); !errors.Is(err, journal.ErrDamaged) {
		t.Error(err)
	}
}
