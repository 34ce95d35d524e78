package systemtest

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// A past balance is answered when everything up to that time is known, else not at all: at once behind a change, in an idle wallet, and while a shard does not answer.
func TestPastBalances(t *testing.T) {
	d := startDev(t, 4)
	from, to := d.pair("past", false)
	d.fund("USD", 10_000, from, to)
	rest := d.rest()
	at := func(account string, when time.Time) client.Balance {
		t.Helper()
		b, err := rest.BalanceAt(within(t, answerLimit), account, when)
		if err != nil {
			t.Fatalf("balance of %s at %v: %v", account, when, err)
		}
		return b
	}
	for i := range 2 { // each asked for at once: the projection may not know it yet
		x := d.transfer(client.Transfer{Key: fmt.Sprint("k", i), From: from, To: to, Amount: 100, Asset: "USD"})
		left := journal.Amount(10_000 - 100*(i+1))
		if b := at(from, x.CreatedAt); b.Available != left || b.At == nil || !b.At.Equal(x.CreatedAt) {
			t.Fatalf("behind transfer %d: %+v, want %d at %v", i, b, left, x.CreatedAt)
		}
		if b := at(from, x.CreatedAt.Add(-time.Millisecond)); b.Available != left+100 {
			t.Fatalf("before transfer %d: %+v, want %d", i, b, left+100)
		}
		behind, err := rest.BalanceBehind(within(t, answerLimit), from, x.Position)
		if err != nil || behind.Available != left {
			t.Fatalf("behind %v: %+v %v, want %d", x.Position, behind, err, left)
		}
		before := x.Position
		before.Seq--
		if behind, err = rest.BalanceBehind(within(t, answerLimit), from, before); err != nil || behind.Available != left+100 {
			t.Fatalf("behind %v: %+v %v, want %d", before, behind, err, left+100)
		}
		d.arrived(to, uint64(3+i))
	}
	if b := at(to, time.Now()); b.Available != 10_200 { // nothing has happened in its partition for a while
		t.Errorf("now: %+v", b)
	}
	opened, err := rest.Account(within(t, answerLimit), from)
	if err != nil {
		t.Fatal(err)
	}
	last := d.balance(from).Position
	last.Seq += 1000
	other := d.balance(to).Position
	for query, want := range map[string]string{
		opened.CreatedAt.Add(-time.Millisecond).Format(time.RFC3339Nano): "account_not_found",
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano):         "malformed",
		last.String():  "malformed",
		other.String(): "malformed",
		"3.1.0":        "malformed",
		"yesterday":    "malformed",
		"":             "malformed",
	} {
		a, err := d.call("GET", "/v1/accounts/"+from+"/balance?at="+url.QueryEscape(query), nil, nil)
		if p := a.problem(); err != nil || p.Code != want || (want == "malformed" && p.Field != "at") {
			t.Errorf("at=%s: %v %v, want %s", query, a, err, want)
		}
	}
	d.silentShard(t, from)
}

// silentShard stops the shards: what the fold is past is answered, what an outbox may still hold is not. A client's own word for that
// counts for nothing.
func (d *dev) silentShard(t *testing.T, account string) {
	t.Helper()
	x := d.transfer(client.Transfer{Key: "silent", From: account, To: mint("USD"), Amount: 1, Asset: "USD"})
	idle := x.CreatedAt
	path := func(at time.Time) string {
		return "/v1/accounts/" + account + "/balance?at=" + at.UTC().Format(time.RFC3339Nano)
	}
	await(t, answerLimit, "the time is past", func() error {
		if now := time.Now(); now.Before(idle.Add(2 * time.Second)) {
			return fmt.Errorf("it is %v", now)
		}
		return nil
	})
	pid := d.signalRedis(0, syscall.SIGSTOP)
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	a, err := d.call("GET", path(idle.Add(-time.Millisecond)), nil, nil)
	if err != nil || a.status != 200 {
		t.Errorf("what the fold is past: %v %v", a, err)
	}
	lie := map[string]string{"Wallet-Settled-Until": fmt.Sprint(idle.Add(time.Hour).UnixMilli())}
	if a, err = d.call("GET", path(idle.Add(time.Millisecond)), lie, nil); err != nil || a.problem().Code != "projection_behind" || a.header.Get("Retry-After") == "" {
		t.Errorf("what an outbox may hold: %v %v", a, err)
	}
}

// Statements stay whole while they are read: cursors neither skip nor repeat, and every page closes as the first does.
func TestStatementsWhileTheyAreWritten(t *testing.T) {
	d := startDev(t, 4)
	from, to := d.pair("state", false)
	d.fund("USD", 100_000, from, to)
	session := d.dial()
	stop, writing := make(chan struct{}), sync.WaitGroup{}
	begun := make(chan struct{})
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := session.Transfer(within(t, answerLimit), client.Transfer{Key: fmt.Sprint("w", i), From: from, To: to, Amount: journal.Amount(1 + i%7), Asset: "USD",
				Reference: fmt.Sprint("order ", i%3)}); err != nil {
				t.Errorf("transfer %d: %v", i, err)
				return
			}
			if i == 100 {
				close(begun)
			}
		}
	})
	<-begun
	for range 5 {
		for _, account := range []string{from, to} {
			d.walk(t, account)
		}
	}
	close(stop)
	writing.Wait()
	if t.Failed() {
		return
	}
	d.filters(t, from, to)
	d.forms(t, to)
}

// walk reads a statement page by page.
func (d *dev) walk(t *testing.T, account string) {
	t.Helper()
	q := client.EntriesQuery{Page: client.Page{Limit: 7}}
	first, err := d.rest().Entries(within(t, answerLimit), account, q)
	if err != nil {
		t.Fatal(err)
	}
	next, page, pages := first.Closing.Version, first, 0
	var available, reserved journal.Amount
	for ; ; pages++ {
		if page.Closing != first.Closing || page.Opening != (client.Bound{}) || page.Asset != "USD" || page.Account != account {
			t.Fatalf("page %d is between %+v and %+v, the first closes with %+v", pages, page.Opening, page.Closing, first.Closing)
		}
		for i := range page.Data {
			e := &page.Data[i]
			if e.Version != next {
				t.Fatalf("version %d where %d is next", e.Version, next)
			}
			next--
			available, reserved = available+e.AvailableChange, reserved+e.ReservedChange
		}
		if !page.HasMore {
			break
		}
		q.Cursor = page.NextCursor
		if page, err = d.rest().Entries(within(t, answerLimit), account, q); err != nil {
			t.Fatal(err)
		}
	}
	if next != 0 || available != first.Closing.Available || reserved != first.Closing.Reserved || pages < 10 {
		t.Fatalf("%d pages end before version %d with %d, %d; closing %+v", pages, next, available, reserved, first.Closing)
	}
}

// every is a statement of all pages, as it is behind what the account has now.
func (d *dev) every(t *testing.T, account string, q client.EntriesQuery) (all client.Statement) {
	t.Helper()
	rest := d.rest().After(d.balance(account).Position)
	for q.Limit = 1000; ; q.Cursor = all.NextCursor {
		s, err := rest.Entries(within(t, answerLimit), account, q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		s.Data = append(all.Data, s.Data...)
		if all = s; !s.HasMore {
			return all
		}
	}
}

func (d *dev) filters(t *testing.T, from, to string) {
	t.Helper()
	d.arrived(to, d.balance(from).Version)
	all := d.every(t, to, client.EntriesQuery{}).Data
	some := all[len(all)/2]
	for name, q := range map[string]struct {
		client.EntriesQuery
		is func(*client.Entry) bool
	}{
		"kind":         {client.EntriesQuery{Kind: "account"}, func(e *client.Entry) bool { return e.Kind == "account" }},
		"direction":    {client.EntriesQuery{Direction: "credit"}, func(e *client.Entry) bool { return e.Direction == "credit" }},
		"counterparty": {client.EntriesQuery{Counterparty: from}, func(e *client.Entry) bool { return e.Counterparty == from }},
		"amount":       {client.EntriesQuery{AmountMin: 2, AmountMax: 4}, func(e *client.Entry) bool { return e.Amount >= 2 && e.Amount <= 4 }},
		"transfer":     {client.EntriesQuery{Transfer: some.Transfer}, func(e *client.Entry) bool { return e.Transfer == some.Transfer }},
		"reference":    {client.EntriesQuery{Reference: "order 1"}, func(e *client.Entry) bool { return e.Reference == "order 1" }},
		"time": {client.EntriesQuery{From: all[len(all)*3/4].CreatedAt, To: some.CreatedAt},
			func(e *client.Entry) bool {
				return !e.CreatedAt.Before(all[len(all)*3/4].CreatedAt) && e.CreatedAt.Before(some.CreatedAt)
			}},
	} {
		var want []client.Entry
		for i := range all {
			if q.is(&all[i]) {
				want = append(want, all[i])
			}
		}
		have := d.every(t, to, q.EntriesQuery)
		if len(want) == 0 || len(want) == len(all) || fmt.Sprint(have.Data) != fmt.Sprint(want) {
			t.Errorf("%s: %d of %d entries, want %d", name, len(have.Data), len(all), len(want))
		}
		if name != "time" {
			continue
		}
		open, closes := want[len(want)-1], want[0]
		if have.Opening.Available != open.AvailableAfter-open.AvailableChange || have.Closing.Available != closes.AvailableAfter || have.Closing.Version != closes.Version {
			t.Errorf("between %+v and %+v: %+v, %+v", have.Opening, have.Closing, open, closes)
		}
	}
	for _, wrong := range []string{"kind=loan", "counterparty=a+b", "min_amount=0.5", "max_amount=-1", "transfer=rs_x", "reservation=tr_x", "limit=all", "to=now"} {
		a, err := d.call("GET", "/v1/accounts/"+to+"/entries?"+wrong, nil, nil)
		field, _, _ := strings.Cut(wrong, "=")
		if p := a.problem(); err != nil || a.status != 400 || p.Field != field {
			t.Errorf("%s: %v %v", wrong, a, err)
		}
	}
}

// forms: CSV, JSON lines and the command tell the same, and the ends of the period.
func (d *dev) forms(t *testing.T, account string) {
	t.Helper()
	all := d.every(t, account, client.EntriesQuery{})
	end := time.Now().UTC().Format(time.RFC3339Nano)
	path := "/v1/accounts/" + account + "/entries?limit=all&to=" + end
	a, err := d.call("GET", path, map[string]string{"Accept": "text/csv"}, nil)
	rows, err2 := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	if err != nil || err2 != nil || len(rows) != len(all.Data)+3 || rows[1][2] != "closing_balance" || rows[1][9] != fmt.Sprint(all.Closing.Available) ||
		rows[2][12] != all.Data[0].Reference || rows[len(rows)-1][2] != "opening_balance" || rows[len(rows)-1][9] != "0" {
		t.Errorf("CSV: %d rows of %d entries, %v %v: %v, %v … %v; want %+v", len(rows), len(all.Data), err, err2, rows[1], rows[2], rows[len(rows)-1], all.Closing)
	}
	a, err = d.call("GET", path, map[string]string{"Accept": "application/x-ndjson"}, nil)
	var objects []string
	for lines := bufio.NewScanner(bytes.NewReader(a.body)); lines.Scan(); {
		var o struct{ Object string }
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o.Object)
	}
	if n := len(objects); err != nil || n != len(all.Data)+2 || objects[0] != "closing_balance" || objects[1] != "entry" || objects[n-1] != "opening_balance" {
		t.Errorf("JSON lines: %v %v", objects, err)
	}
	for form, lines := range map[string]int{"csv": len(all.Data) + 3, "jsonl": len(all.Data) + 2} {
		r := run(t, nil, "entries", account, "--server", "http://"+d.gateways[0], "--all", "--limit", "10", "--to", end, "-o", form)
		if r.code != 0 || strings.Count(r.stdout, "\n") != lines || !strings.Contains(r.stdout, "closing_balance") || r.stderr != "" {
			t.Errorf("entries -o %s: %d lines, want %d: %.500v", form, strings.Count(r.stdout, "\n"), lines, r)
		}
	}
	if r := run(t, nil, "entries", account, "--server", "http://"+d.gateways[0], "--all", "-o", "json"); r.code != 2 || !strings.Contains(r.stderr, "jsonl") {
		t.Errorf("entries --all -o json: %v", r)
	}
}
