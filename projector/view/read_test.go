package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// told is every change of a history by account, oldest first.
type told struct {
	change journal.Change
	event  *journal.Event
}

func changesOf(h *history.History) map[journal.Handle][]told {
	m := map[journal.Handle][]told{}
	for p := range h.Events {
		for i := range h.Events[p] {
			for _, c := range h.Changes[p][i] {
				m[c.Account] = append(m[c.Account], told{c, &h.Events[p][i]})
			}
		}
	}
	return m
}

func TestStatementsTellEveryChange(t *testing.T) {
	h := history.New(shape(11))
	payee := h.Flood(0)
	h.DeliverAll()
	v := opened(t, h.Partitions)
	project(t, v, h)
	changes := changesOf(h)
	if _, ok := changes[journal.SuspenseHandle(0, 0)]; !ok {
		t.Fatalf("nothing went to the suspense account (payee %x)", payee)
	}
	for account, want := range changes {
		have := statement(t, v, account, EntriesOptions{Limit: 7})
		slices.Reverse(have)
		equal(t, "entries", len(have), len(want))
		for i, e := range have {
			c, ev := want[i].change, want[i].event
			equal(t, "version", e.Version, uint64(i)+1)
			equal(t, "position", e.Position, ev.Position)
			equal(t, "time", e.TimeMS, ev.TimeMS)
			equal(t, "after", [2]journal.Amount{e.AvailableAfter, e.ReservedAfter}, [2]journal.Amount{c.After.Available, c.After.Reserved})
			equal(t, "change", [2]journal.Amount{e.AvailableChange, e.ReservedChange},
				[2]journal.Amount{c.After.Available - c.Before.Available, c.After.Reserved - c.Before.Reserved})
			equal(t, "what", [4]any{e.Of, e.ID, e.Counterparty, e.Amount}, [4]any{c.Of, c.ID, c.Other, c.Amount})
			equal(t, "flagged", e.Flagged, c.Flagged)
			if !c.Other.IsZero() {
				equal(t, "counterparty", e.CounterpartyID, h.Names[c.Other])
			}
			if i > 0 {
				equal(t, "chain", have[i-1].AvailableAfter+e.AvailableChange, e.AvailableAfter)
				equal(t, "chain", have[i-1].ReservedAfter+e.ReservedChange, e.ReservedAfter)
			}
		}
		a, ok, err := v.Account(account)
		must(t, err)
		last := have[len(have)-1]
		equal(t, "account", [3]any{ok, a.Available, a.Reserved}, [3]any{true, last.AvailableAfter, last.ReservedAfter})
		equal(t, "version", a.Version, last.Version)
		if id, ok := h.Names[account]; ok {
			equal(t, "id", a.Details.ID, id)
			equal(t, "created", a.CreatedMS, want[0].event.TimeMS)
		}
	}
}

// statement reads all pages.
func statement(t testing.TB, v *View, account journal.Handle, o EntriesOptions) (all []Entry) {
	t.Helper()
	for {
		page, ok, err := v.Entries(account, o)
		must(t, err)
		if !ok {
			t.Fatalf("account %x is unknown", account)
		}
		all = append(all, page.Data...)
		if page.Next == "" {
			return all
		}
		if len(page.Data) > o.Limit {
			t.Fatalf("%d entries on a page of %d", len(page.Data), o.Limit)
		}
		o.Cursor = page.Next
	}
}

func TestStatementsChoose(t *testing.T) {
	h := history.New(shape(12))
	v := opened(t, h.Partitions)
	project(t, v, h)
	for account := range h.Names {
		all := statement(t, v, account, EntriesOptions{Limit: 1000})
		from, to := all[len(all)*3/4].TimeMS, all[len(all)/4].TimeMS
		for _, o := range []EntriesOptions{
			{FromMS: from, Limit: 3}, {ToMS: to, Limit: 3}, {FromMS: from, ToMS: to, Limit: 3},
			{Direction: Debit, Limit: 2}, {Direction: Credit, FromMS: from, ToMS: to, Limit: 2}, {FromMS: to + 1, ToMS: to + 1, Limit: 2}, {ToMS: -1, Limit: 1000},
		} {
			var want []Entry
			for _, e := range all {
				if e.TimeMS >= o.FromMS && (o.ToMS <= 0 || e.TimeMS < o.ToMS) && (o.Direction == Neither || e.Direction() == o.Direction) {
					want = append(want, e)
				}
			}
			if have := statement(t, v, account, o); !slices.Equal(have, want) {
				t.Fatalf("%+v: have %d entries, want %d", o, len(have), len(want))
			}
		}
	}
	for _, cursor := range []string{"x", "-", "1-2-3", "ZZ-1", "1"} {
		if _, _, err := v.Entries(slices.Collect(keys(h.Names))[0], EntriesOptions{Cursor: cursor}); !errors.Is(err, ErrBadCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, ok, err := v.Entries(journal.HandleOf("nobody"), EntriesOptions{}); ok || err != nil {
		t.Errorf("a statement of nobody: %v %v", ok, err)
	}
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestBalanceAtIsTheFoldUpToThatTime(t *testing.T) {
	h := history.New(shape(13))
	v := opened(t, h.Partitions)
	project(t, v, h)
	asked := 0
	for p := range h.Partitions {
		b := journal.NewBook(p, h.Partitions)
		m := b.State.(*journal.Memory)
		for i := range h.Events[p] {
			e := &h.Events[p][i]
			must(t, b.Apply(e, nil))
			if i+1 < len(h.Events[p]) && h.Events[p][i+1].TimeMS == e.TimeMS {
				continue // another event in this millisecond
			}
			for _, c := range slices.Concat(h.Changes[p][max(i-3, 0) : i+1]...) {
				want, ok := m.Account(c.Account)
				have, found, err := v.BalanceAt(c.Account, e.TimeMS)
				must(t, err)
				equal(t, fmt.Sprintf("balance at %d", e.TimeMS), [4]any{found, have.Available, have.Reserved, have.Version}, [4]any{ok, want.Available, want.Reserved, want.Version})
				asked++
			}
		}
	}
	if asked < 500 {
		t.Fatalf("asked only %d times", asked)
	}
	for account, list := range changesOf(h) {
		opening := list[0].event.TimeMS
		if _, ok, err := v.BalanceAt(account, opening-1); ok || err != nil {
			t.Fatalf("a balance before the opening: %v %v", ok, err)
		}
		if b, ok, err := v.BalanceAt(account, opening+1<<40); !ok || err != nil || b.Version != uint64(len(list)) {
			t.Fatalf("the last balance: %v %v %v", b, ok, err)
		}
	}
}

// A clock that went back is the auditor's business; statements stay in the order of their versions.
func TestStatementsStayInOrderWhenTimeGoesBack(t *testing.T) {
	h := history.New(shape(18))
	events := append([]journal.Event(nil), h.Events[0]...)
	i := len(events) / 2
	for len(h.Changes[0][i]) == 0 {
		i++
	}
	timeMS := events[i-1].TimeMS
	events[i].TimeMS -= 1_000_000
	history.Rewrite(h.Log, 0, events, 5)
	v := opened(t, h.Partitions)
	project(t, v, h)
	c := h.Changes[0][i][0]
	for n, e := range statement(t, v, c.Account, EntriesOptions{Limit: 10}) {
		if n == 0 {
			a, _ := h.Books[0].State.Account(c.Account)
			equal(t, "newest", e.Version, a.Version)
		}
		if e.Version == c.After.Version {
			equal(t, "time", e.TimeMS, timeMS)
		}
	}
}

func TestTransfersTellTheirFirstOutcome(t *testing.T) {
	h := history.New(shape(14))
	v := opened(t, h.Partitions)
	project(t, v, h)
	kinds, tried := map[string]int{}, 0
	for p := range h.Events {
		for i := range h.Events[p] {
			e := &h.Events[p][i]
			row, err := e.Row()
			must(t, err)
			if !row.Op.Keyed() {
				continue
			}
			x, ok, err := v.TransferWithLegs(row.ID)
			must(t, err)
			equal(t, "found", ok, true)
			equal(t, "what", [3]any{x.Of, x.Status, x.Event}, [3]any{row.Op, e.Status, e.Position})
			equal(t, "texts", [3]string{x.Key, x.Reference, x.PayeeID}, [3]string{string(row.Key), string(row.Reference), h.Names[row.To]})
			k := h.Ever[p].Keys[row.ID]
			equal(t, "detail", [2]any{x.Detail, x.TimeMS}, [2]any{k.Detail, k.TimeMS})
			if !x.Payer.IsZero() {
				equal(t, "payer", x.PayerID, h.Names[x.Payer])
			}
			kinds[row.Op.String()+" "+e.Status.Code()]++
			if x.Legs == nil {
				continue
			}
			equal(t, "legs", [2]any{x.Legs[0].Account, x.Legs[1].Account}, [2]any{h.Changes[p][i][0].Account, row.To})
			equal(t, "amount", x.Legs[1].Amount, h.Changes[p][i][0].Amount)
			q := row.To.Partition(h.Partitions)
			want := PhaseConfirmed
			if q != p && h.Books[q].State.Delivered(p) < e.Seq {
				want = PhaseTried
				tried++
			}
			equal(t, "phase", x.Legs[1].Phase, want)
		}
	}
	for _, kind := range []string{"transfer confirmed", "pay confirmed", "reserve tried", "confirm confirmed", "confirm tried", "transfer insufficient_funds", "confirm already_confirmed"} {
		if kinds[kind] == 0 {
			t.Errorf("the history has no %s: %v", kind, kinds)
		}
	}
	if tried == 0 {
		t.Error("no leg is in flight")
	}
	if _, ok, err := v.Transfer(journal.ID{1, 2, 3}); ok || err != nil {
		t.Errorf("a transfer that nobody made: %v %v", ok, err)
	}
}

func TestReservationsAndTheirListings(t *testing.T) {
	h := history.New(shape(15))
	v := opened(t, h.Partitions)
	project(t, v, h)
	listed, tombstones := 0, 0
	for p := range h.Books {
		m := h.Ever[p]
		if len(h.Books[p].State.(*journal.Memory).Reservations) >= len(m.Reservations) {
			t.Fatal("no reservation has been evicted")
		}
		for id, want := range m.Reservations {
			have, ok, err := v.Reservation(id)
			must(t, err)
			equal(t, "found", ok, true)
			equal(t, "reservation", have.Reservation, want)
			var captured journal.Amount
			for _, c := range have.Captures {
				captured += c.Amount
				equal(t, "payee", c.ToID, h.Names[c.To])
			}
			equal(t, "captured", captured, want.Captured)
		}
		for id, k := range m.Keys {
			if k.Status == journal.Tombstone {
				tombstones++
				res, ok, err := v.Reservation(id)
				must(t, err)
				equal(t, "tombstone", [3]any{ok, res.Tombstone, res.Status}, [3]any{true, true, journal.Cancelled})
			}
		}
		for account := range h.Books[p].State.(*journal.Memory).Accounts {
			for _, status := range []journal.Status{0, journal.Tried, journal.Confirmed, journal.Cancelled, journal.Expired} {
				want := map[journal.ID]bool{}
				for id, r := range m.Reservations {
					if r.Payer == account && (status == 0 || r.Status == status) {
						want[id] = true
					}
				}
				o, createdMS := ReservationsOptions{Status: status, Limit: 2}, int64(1)<<60
				for more := true; more; more = o.Cursor != "" {
					page, _, err := v.Reservations(account, o)
					must(t, err)
					for _, r := range page.Data {
						if !want[r.ID] || r.CreatedMS > createdMS {
							t.Fatalf("%v: %x listed twice, wrongly, or out of order", status, r.ID)
						}
						delete(want, r.ID)
						createdMS = r.CreatedMS
						listed++
					}
					o.Cursor = page.Next
				}
				equal(t, "not listed", len(want), 0)
			}
		}
	}
	if listed < 50 || tombstones == 0 {
		t.Fatalf("%d listed, %d tombstones", listed, tombstones)
	}
	if _, _, err := v.Reservations(h.Changes[0][0][0].Account, ReservationsOptions{Cursor: "x-y"}); !errors.Is(err, ErrBadCursor) {
		t.Errorf("bad cursor: %v", err)
	}
}

func TestFlaggedCreditsAreListed(t *testing.T) {
	h := history.New(shape(16))
	h.PayToClosed(0)
	h.Flood(1)
	h.DeliverAll()
	v := opened(t, h.Partitions)
	project(t, v, h)
	closed, suspense := 0, 0
	for p := range h.Changes {
		want := 0
		for i := range h.Changes[p] {
			for _, c := range h.Changes[p][i] {
				if c.Flagged {
					want++
				}
			}
		}
		have, err := v.Flagged(p, LimitMax)
		must(t, err)
		equal(t, "flagged", len(have), want)
		for _, e := range have {
			if _, _, ok := e.Account.Suspense(); ok {
				suspense++
				a, ok, err := v.Account(e.Account)
				must(t, err)
				equal(t, "suspense account", [2]any{ok, a.Details.ID}, [2]any{true, SuspenseID(p, 0)})
			} else {
				closed++
			}
		}
	}
	if closed == 0 || suspense == 0 {
		t.Fatalf("flagged: %d closed, %d suspense", closed, suspense)
	}
}

func TestWaitForAPosition(t *testing.T) {
	h := history.New(shape(17))
	v := opened(t, h.Partitions)
	f := folding(t, v, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at := h.Events[1][len(h.Events[1])-1].Position
	waited := make(chan error, 2)
	for range 2 {
		go func() { waited <- v.WaitFor(ctx, at) }()
	}
	for feed(t, f, h.Log, 5) > 0 {
	}
	must(t, <-waited)
	must(t, <-waited)
	have, err := v.Position(1)
	must(t, err)
	equal(t, "position", have, at)

	at.Seq++
	go func() { waited <- v.WaitFor(ctx, at) }()
	f.Stop(journal.ErrDamaged)
	if err := <-waited; !errors.Is(err, journal.ErrDamaged) {
		t.Fatal(err)
	}
	expired, cancel2 := context.WithCancel(t.Context())
	cancel2()
	if err := v.WaitFor(expired, journal.Position{Partition: 0, Seq: 1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := v.WaitFor(ctx, journal.Position{Partition: 7}); err == nil {
		t.Fatal("a partition that is not there")
	}
}
