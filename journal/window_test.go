package journal

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// deskBook is a Book whose acts are decided and applied one after the other, as in a shard.
type deskBook struct {
	*Book
	t   *testing.T
	now int64
}

func newDesk(t *testing.T) *deskBook {
	d := &deskBook{Book: NewBook(0, 1), t: t, now: 1000}
	d.State.SetAccount(alice, Account{Available: 1000, Version: 1})
	d.State.SetAccount(bob, Account{Version: 1})
	return d
}

func (d *deskBook) do(r Row) Outcome {
	d.t.Helper()
	packed := r.Append(nil)
	o, err := d.Decide(packed, d.now)
	if err != nil {
		d.t.Fatal(err)
	}
	if o.Journaled {
		e := Event{Position: Position{Seq: d.Seq + 1}, TimeMS: d.now, Status: o.Status, Packed: packed}
		if err := d.Apply(&e, nil); err != nil {
			d.t.Fatal(err)
		}
	}
	return o
}

func (d *deskBook) want(what string, r Row, want Status) {
	d.t.Helper()
	if o := d.do(r); o.Status != want {
		d.t.Errorf("%s: %v, want %v", what, o.Status, want)
	}
}

func transferRow(key string) Row {
	return Row{Op: OpTransfer, Verdict: VerdictLocal, ID: IDOf(alice, key), Account: alice, To: bob, Amount: 1, Key: []byte(key)}
}

func cleared(r Row, ms int64) Row { r.ClearedMS = ms; return r }

// What is evicted is never executed again, whatever comes: only a row that the projection has cleared up to the last cut-off.
func TestEvictedKeysAreOld(t *testing.T) {
	d := newDesk(t)
	reserve := Row{Op: OpReserve, ID: IDOf(alice, "open"), Account: alice, Amount: 10, ExpiresInS: 3600, Key: []byte("open")}
	done := reserve
	done.ID, done.Key = IDOf(alice, "done"), []byte("done")
	tomb := Row{Op: OpCancel, ByKey: true, ID: IDOf(alice, "tomb"), Account: alice, Key: []byte("tomb")}
	confirm := Row{Op: OpConfirm, Verdict: VerdictLocal, ID: ConfirmIDOf(done.ID, "c"), Reservation: done.ID, To: bob, Final: true, Key: []byte("c")}
	d.want("transfer", transferRow("a"), Confirmed)
	d.want("reserve", reserve, Tried)
	d.want("reserve", done, Tried)
	d.want("tombstone", tomb, Tombstone)
	d.want("confirm", confirm, Confirmed)
	d.now = 2000
	d.want("transfer", transferRow("b"), Confirmed)
	d.want("beyond now", Row{Op: OpEvict, CutoffMS: 2001}, NotDue)
	d.want("evict", Row{Op: OpEvict, CutoffMS: 2000}, Evicted)
	d.want("again", Row{Op: OpEvict, CutoffMS: 2000}, NotDue)
	d.want("back", Row{Op: OpEvict, CutoffMS: 1999}, NotDue)

	again := confirm
	again.ID = ConfirmIDOf(done.ID, "c2")
	for _, row := range []struct {
		what string
		Row
		want Status
	}{
		{"an old transfer", transferRow("a"), KeyOld},
		{"an old transfer, cleared before", cleared(transferRow("a"), 1999), KeyOld},
		{"a transfer in the window", transferRow("b"), Confirmed},
		{"an old reserve", reserve, KeyOld},
		{"a transfer under an old tombstone", transferRow("tomb"), KeyOld},
		{"an old confirm", confirm, KeyOld},
		{"another confirm of an old reservation", again, KeyOld},
		{"a confirm under an old tombstone", Row{Op: OpConfirm, ID: ConfirmIDOf(tomb.ID, "c"), Reservation: tomb.ID, To: bob}, KeyOld},
		{"an old tombstone again", tomb, KeyOld},
		{"cancel of an old reservation", Row{Op: OpCancel, ID: done.ID}, KeyOld},
		{"look at an old reservation", Row{Op: OpLook, ID: done.ID}, KeyOld},
		{"look at an old confirm", Row{Op: OpLook, ID: confirm.ID}, KeyOld},
		{"look at an open reservation", Row{Op: OpLook, ID: reserve.ID}, OK},
		{"look at nothing", Row{Op: OpLook, ID: IDOf(alice, "never")}, ReservationNotFound},
		{"a new key", transferRow("new"), Confirmed},
		{"cancel by the key of an open reservation", Row{Op: OpCancel, ByKey: true, ID: reserve.ID, Account: alice}, Cancelled},
		{"and again", Row{Op: OpCancel, ByKey: true, ID: reserve.ID, Account: alice}, OK},
		{"cleared: it never was", cleared(transferRow("a"), 2000), Confirmed},
	} {
		d.want(row.what, row.Row, row.want)
	}
}

// A reservation that is open stays, however old its key; one that was resolved goes by the time of its resolution.
func TestOpenReservationsStay(t *testing.T) {
	d := newDesk(t)
	reserve := Row{Op: OpReserve, ID: IDOf(alice, "r"), Account: alice, Amount: 10, ExpiresInS: 3600, Key: []byte("r")}
	d.want("reserve", reserve, Tried)
	d.now = 2000
	d.want("evict", Row{Op: OpEvict, CutoffMS: 1500}, Evicted)
	d.want("partial confirm", Row{Op: OpConfirm, Verdict: VerdictLocal, ID: ConfirmIDOf(reserve.ID, "1"), Reservation: reserve.ID, To: bob, Amount: 4}, Tried)
	d.want("confirm", Row{Op: OpConfirm, Verdict: VerdictLocal, ID: ConfirmIDOf(reserve.ID, "2"), Reservation: reserve.ID, To: bob, Final: true}, Confirmed)
	d.now = 3000
	d.want("evict", Row{Op: OpEvict, CutoffMS: 2000}, Evicted)
	if r, ok := d.State.Reservation(reserve.ID); !ok || r.ResolvedMS != 2000 {
		t.Errorf("resolved at 2000, evicted before 2000: %v %+v", ok, r)
	}
	d.want("evict", Row{Op: OpEvict, CutoffMS: 2001}, Evicted)
	if _, ok := d.State.Reservation(reserve.ID); ok {
		t.Error("a resolved reservation was not evicted")
	}
}

// An eviction that could not have happened is damage.
func TestAnEvictionOutOfTurnIsDamage(t *testing.T) {
	for _, cutoff := range []int64{0, 1500, 1499, 2001} {
		d := newDesk(t)
		d.now = 2000
		d.want("evict", Row{Op: OpEvict, CutoffMS: 1500}, Evicted)
		row := Row{Op: OpEvict, CutoffMS: cutoff}
		e := Event{Position: Position{Seq: d.Seq + 1}, TimeMS: 2000, Status: Evicted, Packed: row.Append(nil)}
		if err := d.Apply(&e, nil); err == nil {
			t.Errorf("a cut-off of %d was applied", cutoff)
		}
	}
}

// The memory of a Book that was filled in order, in any order, or by other hands evicts the same.
func TestMemoryEvictsExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		inOrder, shuffled, byHand := NewMemory(), NewMemory(), NewMemory()
		var ids []ID
		ms := int64(0)
		for n := range 200 {
			id := IDOf(alice, fmt.Sprint(round, n))
			ids = append(ids, id)
			ms += int64(rng.IntN(3))
			inOrder.SetKey(id, KeyRecord{TimeMS: ms})
			r := Reservation{Status: Tried, CreatedMS: ms}
			inOrder.SetReservation(id, r)
			if rng.IntN(2) == 0 {
				r.Status, r.ResolvedMS = Cancelled, ms
				inOrder.SetReservation(id, r)
			}
		}
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for _, id := range ids {
			shuffled.SetKey(id, inOrder.Keys[id])
			shuffled.SetReservation(id, inOrder.Reservations[id])
		}
		byHand.Keys, byHand.Reservations = maps.Clone(inOrder.Keys), maps.Clone(inOrder.Reservations)
		all := maps.Clone(inOrder.Keys)
		for cutoff := int64(0); cutoff <= ms+1; cutoff += 1 + int64(rng.IntN(40)) {
			text := ""
			for _, m := range []*Memory{inOrder, shuffled, byHand} {
				m.Evict(cutoff)
				for id, k := range all {
					_, in := m.Keys[id]
					if in != (k.TimeMS >= cutoff) || (!in && !m.Filter.Has(id)) {
						t.Fatalf("cut-off %d: key of %d is there: %v, in the filter: %v", cutoff, k.TimeMS, in, m.Filter.Has(id))
					}
				}
				for _, r := range m.Reservations {
					if r.Status != Tried && r.ResolvedMS < cutoff {
						t.Fatalf("cut-off %d: a reservation resolved at %d is there", cutoff, r.ResolvedMS)
					}
				}
				var b bytes.Buffer
				book := Book{State: m}
				_ = book.Dump(&b)
				fmt.Fprintf(&b, "%x", m.Filter.Digest())
				if text == "" {
					text = b.String()
				}
				if b.String() != text {
					t.Fatalf("cut-off %d: the three differ", cutoff)
				}
			}
		}
	}
}

// A filter knows what was added, and little else: at 100 ids a block about one in 90.
func TestFilter(t *testing.T) {
	var f, part Filter
	if f.Has(IDOf(alice, "0")) || f.Fill() != 0 || !f.Covers(&part) {
		t.Error("an empty filter knows something")
	}
	const blocks = 64 // of the 65,536: ids whose block is one of these
	added, tried, false1 := 0, 0, 0
	id := func(n int) ID {
		id := IDOf(alice, fmt.Sprint(n))
		id[4], id[5] = 0, byte(n%blocks)
		return id
	}
	for n := range 100 * blocks {
		f.Add(id(n))
		added++
		if n%2 == 0 {
			part.Add(id(n))
		}
	}
	for n := range added {
		if !f.Has(id(n)) {
			t.Fatal("an id was forgotten")
		}
	}
	for n := added; n < 20*added; n++ {
		tried++
		if f.Has(id(n)) {
			false1++
		}
	}
	if rate := float64(false1) / float64(tried); rate > 0.016 || rate < 0.008 {
		t.Errorf("%d of %d new ids are taken for known", false1, tried)
	}
	if !f.Covers(&part) || part.Covers(&f) || f.Digest() == part.Digest() {
		t.Error("the smaller covers the larger, or the other way round not")
	}
	_ = f.Each(func(n int, b *FilterBlock) error { part.Merge(n, b); return nil })
	if !part.Covers(&f) || f.Digest() != part.Digest() || f.Fill() != part.Fill() {
		t.Error("merged, they differ")
	}
}
