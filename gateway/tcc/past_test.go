package tcc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
)

// pastBook answers questions from a Book that has forgotten nothing, at a cut-off.
type pastBook struct {
	book      *journal.Book
	evictedMS int64
	err       error
	behind    bool
}

func (p *pastBook) Past(_ context.Context, qs []Question) ([]Known, error) {
	if p.err != nil {
		return nil, p.err
	}
	all := make([]Known, len(qs))
	for i, q := range qs {
		k := &all[i]
		k.EvictedMS, k.Behind = p.evictedMS, p.behind
		k.Key, k.Seen = p.book.State.Key(q.ID)
		k.Reservation, k.Reserved = p.book.State.Reservation(q.ID)
	}
	return all, nil
}

// oldOwner is a sink as gateways' are: what is old it gives back to the coordinator.
type oldOwner struct {
	c    *Coordinator
	outs chan rows.Outcome
}

func (o *oldOwner) Settle(outs []rows.Outcome) {
	for i := range outs {
		if outs[i].Status == journal.KeyOld && o.c.Old(&outs[i], o) {
			continue
		}
		o.outs <- outs[i]
	}
}

// forgetful answers every row key_old that is not cleared, and the others as a Book does that has forgotten everything
// but open reservations.
type forgetful struct {
	book      *journal.Book
	evictedMS int64
	cleared   []journal.Row
	t         *testing.T
}

func (f *forgetful) Submit(st *rows.Stage) {
	var outs []rows.Outcome
	var sinks []rows.Sink
	st.Each(func(sec *rows.Section) {
		start, carry := uint32(0), uint32(0)
		for _, m := range sec.Metas {
			packed := append([]byte(nil), sec.Rows[start:m.End]...)
			var r journal.Row
			if _, err := r.Parse(packed); err != nil {
				f.t.Error(err)
			}
			o := rows.Outcome{Owner: m.Owner, Tag: m.Tag, Op: r.Op, Status: journal.KeyOld, Record: packed, TimeMS: 999,
				Position: journal.Position{Partition: sec.Partition, Epoch: 9, Seq: 77}, Carry: append([]byte(nil), sec.Carry[carry:m.Carry]...)}
			switch {
			case r.Op == journal.OpCheck:
				o.Status, o.Record = journal.OK, nil
			case r.ClearedMS >= f.evictedMS:
				f.cleared = append(f.cleared, r)
				o.Status, o.Record = journal.Confirmed, nil
			}
			outs, sinks = append(outs, o), append(sinks, m.Sink)
			start, carry = m.End, m.Carry
		}
	})
	st.Reset()
	for i := range outs {
		sinks[i].Settle(outs[i : i+1])
	}
}

// An old key is answered as the shard answered it first; one that was never used goes on, cleared; whatever is asked about
// an old reservation is answered by the table of semantics section 3.
func TestOldKeys(t *testing.T) {
	alice, bob, carol := journal.HandleOf("alice"), journal.HandleOf("bob"), journal.HandleOf("carol")
	home := alice.Partition(partitions)
	book := journal.NewBook(home, partitions)
	book.State.SetAccount(alice, journal.Account{Available: 100, Version: 1})
	book.State.SetAccount(bob, journal.Account{Version: 1})
	now := int64(1000)
	do := func(r journal.Row) journal.Position {
		t.Helper()
		now++
		packed := r.Append(nil)
		o, err := book.Decide(packed, now)
		if err != nil || !o.Journaled {
			t.Fatalf("%+v: %+v %v", r, o, err)
		}
		e := journal.Event{Position: journal.Position{Partition: home, Epoch: 3, Seq: book.Seq + 1}, TimeMS: now, Status: o.Status, Packed: packed}
		if err := book.Apply(&e, nil); err != nil {
			t.Fatal(err)
		}
		return e.Position
	}
	try := func(key string, amount journal.Amount) Try {
		return Try{ID: journal.IDOf(alice, key), From: alice, To: bob, Amount: amount, ExpiresInS: 60, Key: []byte(key), ToText: []byte("bob")}
	}
	row := func(q Try, op journal.Op) journal.Row {
		r := q.row(op)
		r.Verdict = uint8(journal.OK)
		return r
	}
	moved := do(row(try("moved", 7), journal.OpPay))
	refused := do(row(try("refused", 1000), journal.OpPay))
	tried := do(row(try("confirmed", 5), journal.OpReserve))
	confirm := journal.Row{Op: journal.OpConfirm, Verdict: uint8(journal.OK), ID: journal.ConfirmIDOf(try("confirmed", 5).ID, "c"), Reservation: try("confirmed", 5).ID, To: bob, Amount: 3, Final: true, Key: []byte("c")}
	confirmed := do(confirm)
	do(row(try("cancelled", 5), journal.OpReserve))
	do(journal.Row{Op: journal.OpCancel, ID: try("cancelled", 5).ID})
	do(journal.Row{Op: journal.OpCancel, ByKey: true, ID: try("tomb", 1).ID, Account: alice, Key: []byte("tomb")})
	do(row(try("expired", 5), journal.OpReserve))
	now += 100_000
	do(journal.Row{Op: journal.OpExpire, ID: try("expired", 5).ID})

	type step func(c *Coordinator, st *rows.Stage, sink rows.Sink)
	transfer := func(q Try) step {
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) { c.Transfer(st, &q, sink, 5) }
	}
	reserve := func(q Try) step {
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) { c.Reserve(st, &q, sink, 5) }
	}
	capture := func(of, key string, to journal.Handle, amount journal.Amount) step {
		id := try(of, 1).ID
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) {
			c.Confirm(st, &Confirm{ID: journal.ConfirmIDOf(id, key), Reservation: id, To: to, Amount: amount, Final: true, Key: []byte(key)}, sink, 5)
		}
	}
	cancel := func(of string) step {
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) { c.Cancel(st, try(of, 1).ID, sink, 5) }
	}
	cancelByKey := func(key string) step {
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) { c.CancelByKey(st, alice, []byte(key), sink, 5) }
	}
	look := func(of string) step {
		return func(c *Coordinator, st *rows.Stage, sink rows.Sink) { c.Look(st, try(of, 1).ID, sink, 5) }
	}
	other := try("moved", 7)
	other.To = carol
	ref := try("moved", 7)
	ref.Reference = []byte("x")
	for _, x := range []struct {
		what     string
		do       step
		want     journal.Status
		at       journal.Position // of a first answer
		detail   uint64
		captured journal.Amount // of the reservation that is told; -1: none is
		cleared  bool
	}{
		{"a transfer again", transfer(try("moved", 7)), journal.Confirmed, moved, 0, -1, false},
		{"a refused transfer again", transfer(try("refused", 1000)), journal.InsufficientFunds, refused, 907, -1, false},
		{"another amount", transfer(try("moved", 8)), journal.KeyReusedAmount, journal.Position{}, 0, -1, false},
		{"another payee", transfer(other), journal.KeyReusedTo, journal.Position{}, 0, -1, false},
		{"another reference", transfer(ref), journal.KeyReusedReference, journal.Position{}, 0, -1, false},
		{"another kind", reserve(try("moved", 7)), journal.KeyReusedKind, journal.Position{}, 0, -1, false},
		{"a transfer under a tombstone", transfer(try("tomb", 1)), journal.CancelledBeforeTry, journal.Position{}, 0, -1, false},
		{"a new transfer", transfer(try("new", 1)), journal.Confirmed, journal.Position{}, 0, -1, true},
		{"a reserve again", reserve(try("confirmed", 5)), journal.Tried, tried, 0, -1, false},
		{"a confirm again", capture("confirmed", "c", bob, 3), journal.Confirmed, confirmed, 3, 3, false},
		{"a confirm again, the payee is the reservation's", capture("confirmed", "c", journal.Handle{}, 3), journal.Confirmed, confirmed, 3, 3, false},
		{"a confirm again, another payee", capture("confirmed", "c", carol, 3), journal.KeyReusedTo, journal.Position{}, 0, -1, false},
		{"another confirm, another payee", capture("confirmed", "c3", carol, 3), journal.ConditionFailed, journal.Position{}, 0, -1, false},
		{"a confirm again, another amount", capture("confirmed", "c", bob, 2), journal.KeyReusedAmount, journal.Position{}, 0, -1, false},
		{"another confirm", capture("confirmed", "c2", bob, 0), journal.AlreadyConfirmed, journal.Position{}, 0, -1, false},
		{"a confirm of what was cancelled", capture("cancelled", "c", bob, 0), journal.AlreadyCancelled, journal.Position{}, 0, -1, false},
		{"a confirm of what expired", capture("expired", "c", bob, 0), journal.ReservationExpired, journal.Position{}, 0, -1, false},
		{"a confirm under a tombstone", capture("tomb", "c", bob, 0), journal.AlreadyCancelled, journal.Position{}, 0, -1, false},
		{"a confirm of nothing", capture("never", "c", bob, 0), journal.ReservationNotFound, journal.Position{}, 0, -1, false},
		{"cancel of what was confirmed", cancel("confirmed"), journal.AlreadyConfirmed, journal.Position{}, 0, -1, false},
		{"cancel of what was cancelled", cancel("cancelled"), journal.OK, journal.Position{}, 0, 0, false},
		{"cancel of what expired", cancel("expired"), journal.OK, journal.Position{}, 0, 0, false},
		{"cancel of a transfer", cancel("moved"), journal.ReservationNotFound, journal.Position{}, 0, -1, false},
		{"cancel of nothing", cancel("never"), journal.ReservationNotFound, journal.Position{}, 0, -1, false},
		{"cancel by the key of a transfer", cancelByKey("moved"), journal.AlreadyConfirmed, journal.Position{}, 0, -1, false},
		{"cancel by the key of a refused one", cancelByKey("refused"), journal.OK, journal.Position{}, 0, -1, false},
		{"cancel by a key again", cancelByKey("tomb"), journal.OK, journal.Position{}, 0, -1, false},
		{"cancel by the key of a cancelled one", cancelByKey("cancelled"), journal.OK, journal.Position{}, 0, 0, false},
		{"cancel by a new key", cancelByKey("never"), journal.Confirmed, journal.Position{}, 0, -1, true}, // as forgetful answers what is cleared
		{"look at a reservation", look("confirmed"), journal.OK, journal.Position{}, 0, 3, false},
		{"look at nothing", look("never"), journal.ReservationNotFound, journal.Position{}, 0, -1, false},
	} {
		s := &forgetful{book: book, evictedMS: 500, t: t}
		p := &pastBook{book: book, evictedMS: 600}
		c := New(partitions, s, p)
		o := &oldOwner{c: c, outs: make(chan rows.Outcome, 4)}
		st := c.Stage()
		x.do(c, st, o)
		c.Submit(st)
		got := <-o.outs
		fail := func(format string, args ...any) { t.Errorf("%s: %s: %+v", x.what, fmt.Sprintf(format, args...), got) }
		if got.Status != x.want || got.Tag != 5 || got.Detail != x.detail {
			fail("want %v, detail %d", x.want, x.detail)
		}
		if got.Replayed != (x.at != journal.Position{}) || (got.Replayed && got.Position != x.at) {
			fail("want the first answer at %v", x.at)
		}
		if res, ok := got.Reservation(); ok != (x.captured >= 0) || (ok && res.Captured != x.captured) {
			fail("the reservation %v %+v", ok, res)
		}
		if x.cleared != (len(s.cleared) == 1) || (x.cleared && s.cleared[0].ClearedMS != 600) {
			fail("sent on as %+v", s.cleared)
		}
	}
}

// A projection that cannot answer moves nothing: the client may try again.
func TestNobodyKnowsAnOldKey(t *testing.T) {
	alice, bob := journal.HandleOf("alice"), journal.HandleOf("bob")
	q := Try{ID: journal.IDOf(alice, "k"), From: alice, To: bob, Amount: 1, Key: []byte("k")}
	for what, p := range map[string]Past{
		"nobody": nil, "an error": &pastBook{err: errors.New("away")}, "behind": &pastBook{book: journal.NewBook(0, partitions), behind: true},
		"nothing was evicted there": &pastBook{book: journal.NewBook(0, partitions)},
	} {
		s := &forgetful{evictedMS: 500, t: t}
		c := New(partitions, s, p)
		o := &oldOwner{c: c, outs: make(chan rows.Outcome, 4)}
		st := c.Stage()
		c.Transfer(st, &q, o, 5)
		c.Submit(st)
		got := <-o.outs
		if want := journal.ProjectionBehind; (p != nil && got.Status != want) || (p == nil && got.Status != journal.KeyOld) || len(s.cleared) > 0 {
			t.Errorf("%s: %+v", what, got)
		}
		if _, _, failed := c.PastCounts(); failed != 1 {
			t.Errorf("%s: %d failures counted", what, failed)
		}
	}
}

// A row that cannot be read does not shift the answers of those behind it: each gets what the journal says of its own id.
func TestAnswersKeepTheirPlaces(t *testing.T) {
	alice, bob := journal.HandleOf("alice"), journal.HandleOf("bob")
	book := journal.NewBook(alice.Partition(partitions), partitions)
	used := journal.Row{Op: journal.OpTransfer, Account: alice, To: bob, Amount: 5, ID: journal.IDOf(alice, "used"), Key: []byte("used")}
	packed := used.Append(nil)
	book.State.SetKey(used.ID, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpTransfer, Epoch: 3, Seq: 12, Content: journal.Content(packed)})
	c := New(partitions, &forgetful{book: book, evictedMS: 500, t: t}, &pastBook{book: book, evictedMS: 500})
	sink := &oldOwner{c, make(chan rows.Outcome, 2)}
	c.past.call([]asked{{row: []byte("no row"), sink: sink, out: rows.Outcome{Tag: 1}}, {row: packed, sink: sink, out: rows.Outcome{Tag: 2}}})
	for range 2 {
		switch o := <-sink.outs; {
		case o.Tag == 1 && o.Status != journal.Malformed:
			t.Errorf("what cannot be read is answered %v", o.Status)
		case o.Tag == 2 && (o.Status != journal.Confirmed || !o.Replayed || o.Position.Seq != 12):
			t.Errorf("the used key is answered %+v", o)
		}
	}
}
