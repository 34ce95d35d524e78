package keeper

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/shardrouter"
)

// moveTo asks for a partition to be moved, and waits until it is there and served.
func (c *cluster) moveTo(p int, shard string) {
	c.Helper()
	c.must(shardrouter.RequestMove(c.Context(), c.static, p, shard))
	c.there(p, shard)
}

func (c *cluster) there(p int, shard string) {
	c.Helper()
	c.eventually(fmt.Sprintf("partition %d is at %s", p, shard), func() bool {
		moves, err := c.static.Moves(c.Context())
		c.must(err)
		if m, under := moves[p]; under && m.State == shardrouter.MoveFailed {
			c.Fatalf("partition %d: %s", p, m.Reason)
		}
		return c.static.Current().Partitions[p].Shard == shard && len(moves) == 0
	})
}

// waits measures how long a partition's rows wait, one after the other, while others go on.
func (c *cluster) waits(ctx context.Context, p int) (longest time.Duration, refused int) {
	a := c.asker()
	h := c.account(p, "issuer")
	for ctx.Err() == nil {
		began := time.Now()
		if o := a.ask(p, journal.Row{Op: journal.OpRead, Account: h}); o.Status != journal.OK {
			refused++
			continue
		}
		longest = max(longest, time.Since(began))
	}
	return longest, refused
}

// TestMoveUnderLoad: a partition goes from shard to shard and back while money moves within it, into it and out of it. Nobody is
// refused, the state is the same before and after, the others stand still nowhere, and neither shard begins a new reign.
func TestMoveUnderLoad(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 4})
	c.keepAll()
	b := c.bank(3, 500)
	a := c.asker()
	payer := b.customers[0]
	id := journal.IDOf(payer, "held")
	if o := a.sure(0, journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 50, ExpiresInS: 3600}); o.Status != journal.Tried {
		t.Fatal(o.Status)
	}
	reigns := func() (n uint64) {
		for _, k := range c.keepers {
			n += k.Stats().Reigns
		}
		return n
	}
	before := reigns()
	var longest, others time.Duration
	var refused, othersRefused int
	all := b.run(6, func() {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { longest, refused = c.waits(ctx, 0) })
		wg.Go(func() { others, othersRefused = c.waits(ctx, 2) })
		for i := range 6 {
			time.Sleep(50 * time.Millisecond) // traffic
			c.moveTo(0, shardName(1-i%2))
		}
		stop()
		wg.Wait()
	})
	if s := a.capture(id, b.customers[3], "c", 50, true); s != journal.Confirmed {
		t.Errorf("capture after the moves: %v", s)
	}
	all = append(all, moved{id: journal.ConfirmIDOf(id, "c"), from: payer, to: b.customers[3], amount: 50, status: journal.Confirmed})
	b.check(t, c.rest(), 500, all)
	if refused+othersRefused > 0 {
		t.Errorf("%d rows of the partition were refused, %d of another", refused, othersRefused)
	}
	for name, k := range c.keepers {
		if s := k.Stats(); s.MovesIn != 3 || s.MovesOut != 3 || s.MovesTaken != 0 || s.Counts.Rewinds != 0 {
			t.Errorf("keeper %s: %d in, %d out, %d taken back, %d rewinds", name, s.MovesIn, s.MovesOut, s.MovesTaken, s.Counts.Rewinds)
		}
		t.Logf("keeper %s: frozen for %v at most, the last move took %v", name, k.Stats().FrozenMax, k.Stats().MoveTook)
	}
	if n := reigns(); n != before {
		t.Errorf("%d reigns, %d before", n, before)
	}
	t.Logf("a read of the partition took %v at most, of another one %v", longest, others)
}
