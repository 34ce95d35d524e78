package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/projector/internal/history"
)

func postgresURL(t testing.TB) string {
	return "postgres://" + local.PostgresUser + "@" + local.Postgres(t, "fsync=off").Addr + "/postgres?sslmode=disable"
}

// inPostgres are the rows of a schema as JSON lines have them.
func inPostgres(t testing.TB, url, schema string) (all []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT partition || '.' || epoch || '.' || seq, leg, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), transfer, key, kind, account, part,
		direction, asset, amount, coalesce(balance_after::text, ''), counterparty, reference, status FROM `+schema+`.legs ORDER BY partition, seq, leg`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%q", fmt.Sprint(values...)))
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return all
}

func inJSONLines(t testing.TB, h *history.History) (all []string) {
	t.Helper()
	text, _ := export(t, Config{Log: h.Log, Format: "jsonl"})
	for _, r := range rowsOf(t, text) {
		balance := ""
		if r.BalanceAfter != nil {
			balance = fmt.Sprint(*r.BalanceAfter)
		}
		all = append(all, fmt.Sprintf("%q", fmt.Sprint(r.Position, int32(r.Leg), r.Time, r.Transfer, r.Key, r.Kind, r.Account, r.Part, r.Direction, r.Asset, r.Amount, balance, r.Counterparty, r.Reference, r.Status)))
	}
	return all
}

func sameRows(t testing.TB, got, want []string) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("row %d\n%s\n%s", i, got[i], want[i])
		}
	}
}

// cutter cuts every connection at the n-th write of all: before it goes out, or after it, so that its answer is lost.
type cutter struct {
	mu     sync.Mutex
	left   int
	after  bool
	struck bool
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &cutConn{conn, c}, err
}

// has reports whether it has struck: pgx may still be saying farewell to a server behind Sink's back.
func (c *cutter) has() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.struck
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.c.mu.Lock()
	c.c.left--
	now := c.c.left == 0
	c.c.struck = c.c.struck || now
	c.c.mu.Unlock()
	if !now {
		return c.Conn.Write(b)
	}
	if c.c.after {
		if _, err := c.Conn.Write(b); err != nil {
			return 0, err
		}
		_ = c.Conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // within COPY nothing comes back
		_, _ = c.Conn.Read(make([]byte, 1))                                // the server has done it, and nobody hears
	}
	_ = c.Conn.Close()
	return 0, net.ErrClosed
}

// TestEveryRowOnce: whichever message to PostgreSQL is the last, lost before or behind its effect, and whether the sink lives on or is started anew:
// the rows are those of the file, each once.
func TestEveryRowOnce(t *testing.T) {
	h := past(250)
	url, want := postgresURL(t), inJSONLines(t, h)
	c := SinkConfig{Log: h.Log, Assets: journal.DevAssets, Wallet: "dev", URL: url, bulkRows: 400}
	struck := 0
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			c.Schema = fmt.Sprintf("s_%t_%d", after, n)
			cut := &cutter{left: n, after: after}
			c.dial, c.brittle = cut.dial, n%2 == 0
			_, err := Sink(t.Context(), c)
			if c.brittle && cut.has() && err != nil {
				_, err = Sink(t.Context(), c) // as a new process does
			}
			if err != nil {
				t.Fatalf("cut at write %d, after %t: %v", n, after, err)
			}
			sameRows(t, inPostgres(t, url, c.Schema), want)
			if !cut.has() {
				break
			}
			struck++
		}
	}
	if struck < 20 {
		t.Errorf("only %d cuts", struck)
	}
	c.dial = nil
	if again, err := Sink(t.Context(), c); err != nil || again.Legs != 0 || again.Events != 0 {
		t.Errorf("once more: %+v %v", again, err)
	}
}

// TestUnbalancedEventIsNotWritten: everything before it is; of itself neither rows nor that it was written.
func TestUnbalancedEventIsNotWritten(t *testing.T) {
	h := past(300)
	q := 1
	seq := h.Deliveries(q, 1)[0]
	h.Forge(h.Log, q, seq, func(r *journal.Row) {
		legs := history.Legs(r)
		legs[0].Asset ^= 1
		r.SetLegs(history.Pack(legs))
	})
	url := postgresURL(t)
	_, err := Sink(t.Context(), SinkConfig{Log: h.Log, Assets: journal.DevAssets, Wallet: "dev", URL: url, Schema: "w"})
	if !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "debits") {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var rows, written int64
	err = conn.QueryRow(t.Context(), "SELECT (SELECT max(seq) FROM w.legs WHERE partition = $1), (SELECT seq FROM w.cursors WHERE partition = $1)", q).Scan(&rows, &written)
	if want := int64(seq) - 1; err != nil || written != want || rows > want {
		t.Errorf("written up to seq %d, with rows up to %d, want %d: %v", written, rows, want, err)
	}
}

// TestFollow: what is appended later comes, also when PostgreSQL was away meanwhile, with the names of accounts opened later.
func TestFollow(t *testing.T) {
	h := past(300)
	s := local.Postgres(t, "fsync=off")
	url := "postgres://" + local.PostgresUser + "@" + s.Addr + "/postgres?sslmode=disable"
	ctx, stop := context.WithCancel(t.Context())
	progress := make(chan SinkProgress, 1)
	done := make(chan error, 1)
	go func() {
		_, err := Sink(ctx, SinkConfig{Log: h.Log, Assets: journal.DevAssets, Wallet: "dev", URL: url, Schema: "w", Follow: true, Progress: func(p SinkProgress) {
			select {
			case <-progress:
			default:
			}
			progress <- p
		}})
		done <- err
	}()
	until := func(what string, ok func(SinkProgress) bool) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		for {
			select {
			case p := <-progress:
				if ok(p) {
					return
				}
			case err := <-done:
				t.Fatalf("%s: it has ended: %v", what, err)
			case <-deadline:
				t.Fatalf("%s: not in time", what)
			}
		}
	}
	want := uint64(len(inJSONLines(t, h)))
	until("the beginning", func(p SinkProgress) bool { return p.Legs == want && p.LagMS == 0 })
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.More(200)
	h.DeliverAll()
	rows := inJSONLines(t, h)
	until("what was appended", func(p SinkProgress) bool { return p.Legs == uint64(len(rows)) && p.LagMS == 0 })
	sameRows(t, inPostgres(t, url, "w"), rows)
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestForeignDatabasesAreRefused(t *testing.T) {
	h := past(300)
	url := postgresURL(t)
	c := SinkConfig{Log: h.Log, Assets: journal.DevAssets, Wallet: "dev", URL: url, Schema: "w"}
	if _, err := Sink(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	rows := inPostgres(t, url, "w")
	named, replaced, shorter := c, c, c
	named.Wallet = "prod"
	other, cut := history.NewLog(3), history.NewLog(3)
	for p := range 3 {
		records := h.Log.Records(p)
		other.SetRecords(p, records[1:])
		cut.SetRecords(p, records[:len(records)/2])
	}
	replaced.Log = other
	shorter.Log = cut
	for name, c := range map[string]SinkConfig{"another name": named, "another journal": replaced, "a journal that lost its end": shorter} {
		if _, err := Sink(t.Context(), c); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sameRows(t, inPostgres(t, url, "w"), rows)
	for want, edit := range map[string]func(*SinkConfig){
		"schema":             func(c *SinkConfig) { c.Schema = "W; DROP" },
		"no wallet's name":   func(c *SinkConfig) { c.Wallet = "" },
		"PostgreSQL refuses": func(c *SinkConfig) { c.URL = strings.Replace(url, "/postgres?", "/nowhere?", 1) },
	} {
		bad := c
		edit(&bad)
		if _, err := Sink(t.Context(), bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestPlainTexts(t *testing.T) {
	if got := plain("a\x00b\xff ü"); got != "a\ufffdb\ufffd ü" {
		t.Errorf("%q", got)
	}
}
