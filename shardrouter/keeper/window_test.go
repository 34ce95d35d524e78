package keeper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// shortWindow is a key window of seconds.
func shortWindow(k *Config) {
	k.KeyWindow = 2 * time.Second
	k.Open = func(addr string) (Shard, error) {
		return luascripts.Open(luascripts.Config{Addr: addr, KeySlice: time.Second})
	}
}

// remembered are transfers with their first answers.
type remembered struct {
	mu   sync.Mutex
	rows []journal.Row
	outs []rows.Outcome
}

func (m *remembered) add(r journal.Row, o rows.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows, m.outs = append(m.rows, r), append(m.outs, o)
}

func (m *remembered) pick(rng *rand.Rand) (r journal.Row, o rows.Outcome, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rows) == 0 {
		return r, o, false
	}
	i := rng.IntN(len(m.rows))
	return m.rows[i], m.outs[i], true
}

// again repeats a transfer of any age: it is answered its first outcome, or that its key is old, and never happens again.
func (b *bank) again(t *testing.T, a *asker, r journal.Row, first *rows.Outcome) (old bool) {
	o := a.sure(r.ID.Partition(b.c.partitions), r)
	switch {
	case o.Replayed && o.Status == first.Status && o.Position == first.Position && o.Detail == first.Detail:
	case o.Status == journal.KeyOld:
		return true
	default:
		t.Errorf("%x: first %+v, again %+v", r.ID, first, o)
	}
	return false
}

// trickle makes new transfers, reservations that end, and repeats of every age.
func (b *bank) trickle(ctx context.Context, t *testing.T, m *remembered, worker int) (old int) {
	a, rng := b.c.asker(), rand.New(rand.NewPCG(uint64(worker), 11))
	for i := 0; ctx.Err() == nil; i++ {
		p := rng.IntN(b.c.partitions)
		from, to := b.customers[2*p], b.customers[2*p+1] // see bank
		key := fmt.Sprintf("t%d-%d", worker, i)
		id := journal.IDOf(from, key)
		switch rng.IntN(4) {
		case 0:
			a.sure(p, journal.Row{Op: journal.OpReserve, ID: id, Account: from, Amount: 1, ExpiresInS: 3600, Key: []byte(key)})
			if o := a.sure(p, journal.Row{Op: journal.OpCancel, ID: id}); o.Status != journal.Cancelled && o.Status != journal.OK {
				t.Errorf("cancel: %v", o.Status)
			}
		case 1, 2:
			if r, o, ok := m.pick(rng); ok && b.again(t, a, r, &o) {
				old++
			}
		default:
			r := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: id, Account: from, To: to, Amount: 1, Key: []byte(key)}
			m.add(r, a.sure(p, r))
		}
	}
	return old
}

// TestKeyWindow: under load, keys and resolved reservations leave a shard as fast as they come, and none is ever executed
// again; nor after the Redis was lost with all it knew.
func TestKeyWindow(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, partitions: 3, config: shortWindow})
	c.keepAll()
	b := c.bank(2, 1_000_000)
	k := c.keepers["k-s1"]
	m := &remembered{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	var mu sync.Mutex
	old := 0
	for w := range 3 {
		workers.Go(func() {
			n := b.trickle(ctx, t, m, w)
			mu.Lock()
			defer mu.Unlock()
			old += n
		})
	}
	shard := c.shard(0)
	held := func() luascripts.Held {
		h, err := shard.Held(ctx, 3)
		c.must(err)
		return h
	}
	c.eventually("slices are dropped", func() bool { return k.Stats().Window.Dropped > 0 && k.Stats().Window.Swept > 0 })
	c.eventually("far more has been dropped than is held", func() bool { return int64(k.Stats().Window.Dropped) > held().Keys })
	last := held()
	stop()
	workers.Wait()
	c.eventually("nothing is held any more", func() bool { w := k.Stats().Window; return w.Keys == 0 && w.Reservations == 0 })
	if old < 20 {
		t.Errorf("%d repeats met an old key: the test shows less than it should", old)
	}
	c.rest()
	c.redisCLI(0, "flushall")
	c.redisCLI(0, "script", "flush")
	c.eventually("it is rebuilt", func() bool { return k.Stats().Rebuilt >= 1 && k.Stats().State == Serving && k.Stats().Reigns > 1 })
	a := c.asker()
	for i := range m.rows {
		if i%5 == 0 && !b.again(t, a, m.rows[i], &m.outs[i]) {
			t.Errorf("transfer %d of %d is in the window of a shard that was rebuilt", i, len(m.rows))
		}
	}
	if h := func() luascripts.Held { h, err := c.shard(0).Held(t.Context(), 3); c.must(err); return h }(); h.FilterFill == 0 {
		t.Error("the rebuilt shard has no filter")
	}
	c.rest()
	t.Logf("%d transfers, %d old repeats, held %+v, %+v", len(m.rows), old, last, k.Stats().Window)
}

// TestKeyWindowOverMovesAndFailovers: keys go while partitions move to and fro and primaries die, and none is executed again,
// wherever its partition is by then.
func TestKeyWindowOverMovesAndFailovers(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, replicas: 1, partitions: 4, config: shortWindow})
	c.keepAll()
	b := c.bank(2, 1_000_000)
	m := &remembered{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for w := range 3 {
		workers.Go(func() { b.trickle(ctx, t, m, w) })
	}
	dropped := func() (n uint64) {
		for _, k := range c.keepers {
			n += k.Stats().Window.Dropped
		}
		return n
	}
	for i := range 2 {
		before := dropped()
		c.eventually("slices are dropped", func() bool { return dropped() > before })
		c.moveTo(0, shardName(1-i))
		if i == 0 {
			c.redis[0].Kill()
		}
	}
	stop()
	workers.Wait()
	c.eventually("nothing is held any more", func() bool {
		for _, k := range c.keepers {
			if w := k.Stats().Window; k.Stats().State != Serving || w.Keys+w.Reservations > 0 {
				return false
			}
		}
		return true
	})
	a := c.asker()
	for i := range m.rows {
		if i%7 == 0 && !b.again(t, a, m.rows[i], &m.outs[i]) {
			t.Errorf("transfer %d of %d is in a window", i, len(m.rows))
		}
	}
	if s := c.keepers["k-s1"].Stats(); s.Failovers != 1 {
		t.Errorf("%d failovers", s.Failovers)
	}
}
