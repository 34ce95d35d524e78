package luascripts

import (
	"errors"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
)

// clientIn is a client of one epoch.
func clientIn(t *testing.T, addr string, epoch uint32) *Shard {
	t.Helper()
	s, err := Open(Config{Addr: addr, Epoch: epoch})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Trains run in the epochs that were admitted, until they are stopped, and leave nothing behind when they may not.
func TestTrainsRunWhereTheyAreAdmitted(t *testing.T) {
	addr := local.Redis(t).Addr
	keeper, one, two := clientIn(t, addr, 0), clientIn(t, addr, 1), clientIn(t, addr, 2)
	ctx := t.Context()
	book := journal.NewBook(0, 1)
	book.Epoch = 1
	must(t, keeper.Load(ctx, book))
	opened := 0
	run := func(s *Shard, epoch uint32) error {
		var tr Train
		tr.Section(0, epoch)
		tr.Add((&journal.Row{Op: journal.OpOpen, Account: account(string(rune('A' + opened))), Text: []byte("{}")}).Append(nil))
		outcomes, err := runTrain(t, s, &tr)
		if err == nil && outcomes[0].Status == journal.Opened {
			opened++
		}
		return err
	}
	expect := func(what string, admitted bool, err error) {
		t.Helper()
		if admitted && err != nil || !admitted && (!errors.Is(err, ErrNotReady) || !NothingMoved(err)) {
			t.Errorf("%s: %v", what, err)
		}
		look, err := keeper.Look(ctx, 1)
		must(t, err)
		if int(look.Parts[0].Seq) != opened || !look.Primary {
			t.Errorf("%s: %d accounts were opened, the shard is at %+v", what, opened, look)
		}
	}
	expect("before", false, run(one, 1))
	must(t, keeper.Admit(ctx, 1, forever))
	expect("admitted", true, run(one, 1))
	expect("in an epoch to come", false, run(two, 2))
	expect("the partition's epoch is not enough", false, run(two, 1))
	for _, c := range []struct {
		epochs []uint32
		want   bool
	}{{[]uint32{1}, true}, {[]uint32{1}, false}, {nil, false}, {[]uint32{1, 2}, false}} {
		got, err := keeper.Stop(ctx, c.epochs...)
		must(t, err)
		if got != c.want {
			t.Errorf("%v were admitted: %t", c.epochs, got)
		}
		expect("stopped", false, run(one, 1))
		if c.epochs == nil {
			must(t, keeper.Admit(ctx, 1, forever)) // one of two
		}
	}
	fenced, err := keeper.Fence(ctx, Claim{Seen: Part{Epoch: 1, Seq: 1}, Epoch: 2}) // the keeper's own scripts come by themselves
	must(t, err)
	must(t, keeper.Admit(ctx, 2, forever))
	expect("the old epoch is over", false, run(one, 1))
	expect("the new one", true, run(two, 2))
	if look, err := keeper.Look(ctx, 2); err != nil || !look.Admitted || !fenced[0].Done || opened != 2 {
		t.Errorf("%+v, %v; %d opened", look, err, opened)
	}
	must(t, keeper.client.ReplicaOf(ctx, "127.0.0.1", "1").Err())
	if look, err := keeper.Look(ctx, 2); err != nil || look.Primary {
		t.Errorf("a replica: %+v, %v", look, err)
	}
}

// Stop works on a Redis that is full, and so does Admit: what only releases money must go on there.
func TestAdmitToAFullShard(t *testing.T) {
	b := newTeller(t)
	b.set("maxmemory", "1")
	if was, err := b.s.Stop(t.Context(), 0); err != nil || !was {
		t.Fatal(was, err)
	}
	must(t, b.s.Admit(t.Context(), 0, forever))
	b.read(`deliver 0 5 A 7 -> delivered`)
}
