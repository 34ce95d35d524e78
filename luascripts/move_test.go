package luascripts

import (
	"errors"
	"fmt"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
)

// townsfolk are a Book's worth of records of every kind in a partition, from the n-th on.
func townsfolk(b *journal.Book, from, to int) {
	for i, n := 0, 0; n < to; i++ {
		h := journal.HandleOf(fmt.Sprint("folk-", i))
		if h.Partition(b.Partitions) != b.Partition {
			continue
		}
		if n++; n <= from {
			continue
		}
		id := journal.IDOf(h, "k")
		b.State.SetAccount(h, journal.Account{Available: journal.Amount(n), Version: 1})
		b.State.SetDetails(h, fmt.Appendf(nil, "0000000{%d}", n))
		b.State.SetKey(id, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpTransfer, Epoch: 1, Seq: uint64(n), Content: make([]byte, 25)})
		b.State.SetReservation(id, journal.Reservation{Status: journal.Tried, Payer: h, Amount: 5, Remaining: 5})
		b.State.SetDelivered(1+n%(b.Partitions-1), uint64(n))
	}
}

func look(t *testing.T, s *Shard, partition int, epoch uint32) journal.Status {
	t.Helper()
	var tr Train
	tr.Section(partition, epoch)
	tr.Add((&journal.Row{Op: journal.OpRead, Account: account("nobody")}).Append(nil))
	out, err := runTrain(t, s, &tr)
	must(t, err)
	return out[0].Status
}

func dumpOf(t *testing.T, s *Shard, partition, partitions int) *journal.Book {
	t.Helper()
	all, err := s.Dump(t.Context(), partitions)
	must(t, err)
	if all[partition] == nil {
		return journal.NewBook(partition, partitions)
	}
	return all[partition]
}

// TestAPartitionMovesBesideOthers: frozen here, loaded there over what an earlier visit has left, served there, removed here;
// the others serve all the time and are not touched.
func TestAPartitionMovesBesideOthers(t *testing.T) {
	from, to := openShard(t, local.Redis(t).Addr), openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	stays, moves, other := journal.NewBook(0, 3), journal.NewBook(1, 3), journal.NewBook(2, 3)
	for i, b := range []*journal.Book{stays, moves, other} {
		townsfolk(b, 0, 1500)
		b.Epoch, b.Seq, b.TimeMS = 4, uint64(100+i), 7
	}
	must(t, from.Load(ctx, stays, moves))
	must(t, to.Load(ctx, other))
	before := moves.Digest()

	part, err := from.Freeze(ctx, 0, 1, 4)
	must(t, err)
	again, err := from.Freeze(ctx, 0, 1, 4)
	must(t, err)
	if want := (Part{Partition: 1, Epoch: 4, Seq: 101, TimeMS: 7}); part != want || again != want {
		t.Errorf("frozen at %+v, then %+v", part, again)
	}
	if a, b := look(t, from, 1, 4), look(t, from, 0, 4); a != journal.Moving || b != journal.AccountNotFound {
		t.Errorf("rows of the frozen partition are answered %v, those of the other %v", a, b)
	}
	if d, err := from.DumpPart(ctx, 1, 3, true); err != nil || d.Digest() != before || d.Epoch != 4 {
		t.Errorf("the frozen partition is another: %v", err)
	}

	// An earlier visit to the destination ended half-way, with records of a history that never was.
	stray := journal.NewBook(1, 3)
	townsfolk(stray, 1500, 1600)
	half, err := to.Join(ctx, 0, 1, 3)
	must(t, err)
	must(t, half.Write(ctx, stray, false))
	l, err := to.Join(ctx, 0, 1, 3)
	must(t, err)
	if err := half.Write(ctx, stray, false); !errors.Is(err, ErrOvertaken) {
		t.Errorf("the half-done visit goes on: %v", err)
	}
	must(t, l.Write(ctx, moves, true))
	delta := journal.NewBook(1, 3)
	townsfolk(delta, 1499, 1500)
	must(t, l.Write(ctx, delta, false))
	if s := look(t, to, 1, 9); s != journal.Moving {
		t.Errorf("served before it is whole: %v", s)
	}
	moves.Epoch = 9
	for range 2 { // a repeat after a lost reply
		must(t, l.Serve(ctx, moves))
	}
	if a, b := look(t, to, 1, 9), look(t, to, 2, 4); a != journal.AccountNotFound || b != journal.AccountNotFound {
		t.Errorf("rows are answered %v, those of the other %v", a, b)
	}
	if dumpOf(t, to, 1, 3).Digest() != before || dumpOf(t, to, 2, 3).Digest() != other.Digest() {
		t.Error("the destination has another state")
	}
	if ok, err := to.Stop(ctx, 9); err != nil || !ok {
		t.Errorf("the partition's epoch did not begin in this Redis: %v", err)
	}

	asides, err := from.Asides(ctx)
	must(t, err)
	if a := asides[1]; len(asides) != 1 || !a.Frozen || a.Part != part {
		t.Fatalf("aside are %+v", asides)
	}
	must(t, from.Remove(ctx, asides[1], 3))
	all, err := from.Dump(ctx, 3)
	must(t, err)
	if len(all) != 1 || all[0].Digest() != stays.Digest() {
		t.Errorf("after the removal there are %d partitions", len(all))
	}
	if s := look(t, from, 1, 4); s != journal.Uninitialised {
		t.Errorf("its rows are answered %v", s)
	}
	if err := from.Remove(ctx, asides[1], 3); !errors.Is(err, ErrOvertaken) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestAFrozenPartitionThaws as it was, in a later epoch, and not below the one that it was frozen in.
func TestAFrozenPartitionThaws(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	b := journal.NewBook(0, 2)
	townsfolk(b, 0, 20)
	b.Epoch, b.Seq = 4, 20
	must(t, s.Load(ctx, b))
	if err := s.Thaw(ctx, 0, 0, 5); !errors.Is(err, ErrOvertaken) {
		t.Errorf("thawed what serves: %v", err)
	}
	_, err := s.Freeze(ctx, 0, 0, 4)
	must(t, err)
	if err := s.Thaw(ctx, 0, 0, 3); !errors.Is(err, ErrOvertaken) {
		t.Errorf("thawed into the past: %v", err)
	}
	for range 2 {
		must(t, s.Thaw(ctx, 0, 0, 6))
	}
	if d := dumpOf(t, s, 0, 2); d.Digest() != b.Digest() || d.Epoch != 6 {
		t.Errorf("thawed in epoch %d at seq %d", d.Epoch, d.Seq)
	}
	if _, err := s.Freeze(ctx, 0, 0, 4); !errors.Is(err, ErrOvertaken) {
		t.Errorf("frozen in an epoch that is over: %v", err)
	}
	if ok, err := s.Stop(ctx, 6); err != nil || !ok {
		t.Errorf("the partition's epoch did not begin in this Redis: %v", err)
	}
}

// TestLateThawsFindAnotherFreeze: what a keeper asked for twice, since no answer came, and what arrives when the partition has served and
// is frozen again, does not let it serve: its destination does, by now.
func TestLateThawsFindAnotherFreeze(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	b := journal.NewBook(0, 2)
	townsfolk(b, 0, 20)
	b.Epoch, b.Seq = 4, 20
	must(t, s.Load(ctx, b))
	must(t, s.Admit(ctx, 0, forever))
	freeze := func(epoch uint32) Aside {
		_, err := s.Freeze(ctx, 0, 0, epoch)
		must(t, err)
		asides, err := s.Asides(ctx)
		must(t, err)
		return asides[0]
	}
	first := freeze(4)
	for range 2 {
		must(t, s.Unfreeze(ctx, 0, first))
	}
	freeze(4)
	if err := s.Unfreeze(ctx, 0, first); !errors.Is(err, ErrOvertaken) {
		t.Errorf("unfrozen late: %v", err)
	}
	must(t, s.Thaw(ctx, 0, 0, 6))
	freeze(6)
	if err := s.Thaw(ctx, 0, 0, 6); !errors.Is(err, ErrOvertaken) {
		t.Errorf("thawed late: %v", err)
	}
	if parts, err := s.Parts(ctx); err != nil || len(parts) > 0 {
		t.Errorf("it serves: %v, %v", parts, err)
	}
	if d, err := s.DumpPart(ctx, 0, 2, false); err != nil || d.Epoch != 6 || d.Digest() != b.Digest() {
		t.Errorf("it is another: %v", err)
	}
}

// TestOvertakenKeepersMoveNothing: when a later keeper has the shard, the earlier one's freezing, loading and serving do nothing.
func TestOvertakenKeepersMoveNothing(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	b, moves := journal.NewBook(0, 3), journal.NewBook(1, 3)
	townsfolk(moves, 0, 20)
	b.Epoch, moves.Epoch = 5, 9
	must(t, s.Admit(ctx, 4, forever))
	must(t, s.Load(ctx, b))
	l, err := s.Join(ctx, 4, 1, 3)
	must(t, err)
	must(t, l.Write(ctx, moves, false))
	_, err = s.Freeze(ctx, 4, 0, 5)
	must(t, err)

	must(t, s.Admit(ctx, 5, forever))
	for what, do := range map[string]func() error{
		"admit":  func() error { return s.Admit(ctx, 4, forever) },
		"freeze": func() error { _, err := s.Freeze(ctx, 4, 0, 5); return err },
		"thaw":   func() error { return s.Thaw(ctx, 4, 0, 10) },
		"join":   func() error { _, err := s.Join(ctx, 4, 2, 3); return err },
		"serve":  func() error { return l.Serve(ctx, moves) },
		"trim":   func() error { return s.Trim(ctx, 4, 1) },
	} {
		if err := do(); !errors.Is(err, ErrOvertaken) {
			t.Errorf("%s by a keeper that was overtaken: %v", what, err)
		}
	}
	must(t, s.Thaw(ctx, 5, 0, 6)) // the later one can
	if parts, err := s.Parts(ctx); err != nil || len(parts) != 1 || parts[0].Epoch != 6 {
		t.Errorf("%v, %v", parts, err)
	}
	must(t, s.client.FlushAll(ctx).Err()) // the scripts stay
	if _, err := s.Join(ctx, 5, 2, 3); !errors.Is(err, ErrOvertaken) {
		t.Errorf("join of a shard that was emptied: %v", err)
	}
}
