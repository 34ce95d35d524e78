package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"walletd/journal"
)

// only makes a keeper's relay begin with some of the log's partitions.
func only(partitions ...int) func(*Config) {
	return func(c *Config) {
		all := c.Cursors
		c.Cursors = nil
		for _, p := range partitions {
			c.Cursors = append(c.Cursors, all[p])
		}
	}
}

// give moves a partition from one keeper's relay to another's, in a later epoch, while both relay others.
func give(t *testing.T, l journal.Log, from, to *keeper, p int, epoch uint32) {
	t.Helper()
	last := from.next[p] - 1
	end, err := from.relay.Leave(t.Context(), p, last)
	if err != nil {
		t.Fatal(err)
	}
	from.mu.Lock()
	if from.acked[p] != last || end.Seq != last || end.Epoch != from.epochOf(p) {
		t.Fatalf("it left with %+v; acknowledged %d of %d", end, from.acked[p], last)
	}
	from.mu.Unlock()
	c, err := Claim(t.Context(), l, journal.Cursor{Partition: p}, epoch, "the next", 1, nil)
	if err != nil || c.Seq != last {
		t.Fatalf("claimed %+v, %v; want seq %d", c, err, last)
	}
	to.mu.Lock()
	to.start[p], to.acked[p], to.durable[p], to.next[p] = c.Seq, c.Seq, c.Seq, c.Seq+1
	to.epochs[p] = epoch
	to.mu.Unlock()
	if err := to.relay.Join(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestAPartitionMovesToAndFro: over a log that goes wrong, nothing is lost, nothing comes twice, and the others go on.
func TestAPartitionMovesToAndFro(t *testing.T) {
	for seed := range uint64(20) {
		l := newFaultLog(newMemLog(3), seed, 0.3)
		rnd := rand.New(rand.NewPCG(seed, 7))
		a := mustKeeper(t, l, 1, 'a', only(0, 2))
		b := mustKeeper(t, newFaultLog(newMemLog(3), seed, 0), 1, 'b', only()) // claims of its own log: only its relay is wanted
		b.relay.cfg.Log = l
		a.epochs, b.epochs = map[int]uint32{}, map[int]uint32{}
		a.run()
		b.run()
		owner := a
		epoch := uint32(1)
		for range 12 {
			for range rnd.IntN(6) {
				owner.work(2, 1+rnd.IntN(3))
				a.work(0, 1)
			}
			next := b
			if owner == b {
				next = a
			}
			epoch++
			give(t, l, owner, next, 2, epoch)
			owner = next
		}
		owner.work(2, 1)
		owner.awaitAcked(2, owner.next[2]-1)
		a.awaitAcked(0, a.next[0]-1)
		a.mustStop()
		b.mustStop()
		if err := l.heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		for p, want := range map[int]uint64{0: a.next[0] - 1, 2: owner.next[2] - 1} {
			if got := len(history(t, l, p)); uint64(got) != want {
				t.Errorf("seed %d: partition %d has %d events, want %d", seed, p, got, want)
			}
		}
	}
}

// TestLeaveWaitsForWhatIsNotDurable, gives up with its caller, and lets nothing go that has come further.
func TestLeaveWaitsForWhatIsNotDurable(t *testing.T) {
	l := newFaultLog(newMemLog(2), 1, 0)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	l.lose(0)
	k.work(0, 3)
	k.work(1, 1)
	k.awaitAcked(1, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := k.relay.Leave(ctx, 0, 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("left a journal that does not take it: %v", err)
	}
	if err := l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.awaitAcked(0, 3) // it is relayed as before
	for _, bad := range []struct {
		partition int
		seq       uint64
	}{{0, 2}, {7, 0}} {
		if _, err := k.relay.Leave(t.Context(), bad.partition, bad.seq); err == nil {
			t.Errorf("left %+v", bad)
		}
	}
	if err := k.relay.Join(t.Context(), journal.Cursor{Partition: 0, Epoch: 1}); err == nil {
		t.Error("joined twice")
	}
	if end, err := k.relay.Leave(t.Context(), 0, 3); err != nil || end.Seq != 3 {
		t.Errorf("%+v, %v", end, err)
	}
	for _, c := range []journal.Cursor{{Partition: 0}, {Partition: 2, Epoch: 1}} {
		if err := k.relay.Join(t.Context(), c); err == nil {
			t.Errorf("joined %+v", c)
		}
	}
	k.mustStop()
	if err := k.relay.Join(t.Context(), journal.Cursor{Partition: 0, Epoch: 2}); !errors.Is(err, ErrEnded) {
		t.Errorf("joined a relay that has ended: %v", err)
	}
	if _, err := k.relay.Leave(t.Context(), 1, 1); !errors.Is(err, ErrEnded) {
		t.Errorf("left a relay that has ended: %v", err)
	}
}
