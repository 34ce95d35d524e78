package keeper

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
	"walletd/shardrouter/lane"
)

// soon makes a keeper's patience short.
func soon(k *Config) {
	k.Unreachable, k.Lease, k.ReplicasEvery = 600*time.Millisecond, 400*time.Millisecond, 50*time.Millisecond
}

// linked waits until all of a shard's replicas are.
func (c *cluster) linked(keeper string, n int) {
	c.Helper()
	c.eventually("the replicas are linked", func() bool {
		s := c.keepers[keeper].Stats()
		return len(s.Replicas) == n && !slices.ContainsFunc(s.Replicas, func(r ReplicaStats) bool { return !r.Linked })
	})
}

// A primary that dies for good is replaced by its replica, which is repaired and not rebuilt; when the old one comes back, it
// becomes a replica, and takes over in its turn.
func TestFailover(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, replicas: 1, partitions: 4, config: soon})
	c.keepAll()
	b := c.bank(2, 1000)
	c.linked("k-s1", 1)
	first, second := c.redis[0], c.replicas[0][0]
	primary := func() string { return c.static.Current().Shards["s1"].Primary }
	all := b.run(6, func() {
		time.Sleep(100 * time.Millisecond) // traffic
		first.Kill()
		c.eventually("the replica serves", func() bool { return primary() == second.Addr })
		c.must(first.Restart(t.Context()))
		c.linked("k-s1", 1)
		time.Sleep(100 * time.Millisecond) // traffic
		second.Kill()
		c.eventually("the old primary serves again", func() bool { return primary() == first.Addr })
		time.Sleep(100 * time.Millisecond) // traffic
	})
	b.check(t, c.rest(), 1000, all)
	if s := c.keepers["k-s1"].Stats(); s.Failovers != 2 || s.Repaired != 2 || s.Rebuilt != 1 {
		t.Errorf("%d failovers, %d repaired, %d rebuilt", s.Failovers, s.Repaired, s.Rebuilt)
	}
	if s := c.keepers["k-s2"].Stats(); s.Reigns != 1 {
		t.Errorf("the other shard had %d reigns", s.Reigns)
	}
}

// Two shards that lose their only Redis at one time take one spare each, whichever is first.
func TestSpares(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, spares: 2, partitions: 4, config: soon})
	c.keepAll()
	b := c.bank(1, 1000)
	all := b.run(4, func() {
		c.redis[0].Kill()
		c.redis[1].Kill()
		c.eventually("both serve elsewhere", func() bool {
			m := c.static.Current()
			one, two := m.Shards["s1"], m.Shards["s2"]
			return one.Primary != c.redis[0].Addr && two.Primary != c.redis[1].Addr && one.Primary != two.Primary && len(m.Spares) == 0
		})
		time.Sleep(100 * time.Millisecond) // traffic
	})
	b.check(t, c.rest(), 1000, all)
}

// What a keeper's configuration names is offered to the map once, and what a shard has is nobody's spare.
func TestOffer(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, spares: 1, partitions: 2})
	c.config = func(k *Config) {
		k.Candidates = []string{c.redis[0].Addr, "127.0.0.1:1"}
		k.Spares = []string{c.redis[1].Addr, "127.0.0.1:1", "127.0.0.1:2"}
	}
	c.keep(0, "k")
	c.eventually("it serves", func() bool { return c.keepers["k"].Stats().State == Serving })
	m := c.static.Current()
	if s := m.Shards["s1"]; s.Primary != c.redis[0].Addr || !slices.Equal(s.Replicas, []string{"127.0.0.1:1"}) {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(m.Spares, []string{c.spares[0].Addr, "127.0.0.1:2"}) {
		t.Errorf("spares %v", m.Spares)
	}
}

// P10: a primary that its keeper alone cannot reach, so that the shard is served elsewhere, answers a gateway that has the old
// map neither a write nor a read.
func TestDeposedPrimaryAnswersNobody(t *testing.T) {
	var way *faultproxy.Proxy // the keeper's to the old primary
	c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 1})
	way = faultproxy.ForTest(t, c.redis[0].Addr)
	c.config = func(k *Config) {
		soon(k)
		k.Open = func(addr string) (Shard, error) {
			if addr == c.redis[0].Addr {
				addr = way.Addr()
			}
			return luascripts.Open(luascripts.Config{Addr: addr, ReadTimeout: 300 * time.Millisecond, DialTimeout: 300 * time.Millisecond})
		}
	}
	c.keepAll()
	b := c.bank(2, 100)
	c.linked("k-s1", 1)

	old := c.accomplice()
	look := journal.Row{Op: journal.OpRead, Account: b.customers[0]}
	if o := old.ask(0, look); o.Status != journal.OK {
		t.Fatalf("before: %v", o.Status)
	}
	way.BlackHole(true)
	c.eventually("the replica serves", func() bool { return c.static.Current().Shards["s1"].Primary == c.replicas[0][0].Addr })
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 7, a.sure); s != journal.Confirmed {
		t.Fatalf("%v", s)
	}
	for range 3 {
		if o := old.ask(0, look); o.Status != journal.ShardUnavailable {
			t.Errorf("a read: %v", o.Status)
		}
		if s := old.move(b.customers[0], b.customers[1], "zombie", 1, old.ask); s != journal.ShardUnavailable {
			t.Errorf("a write: %v", s)
		}
	}
}

// accomplice asks through lanes of its own, which will never see another map than that of now.
func (c *cluster) accomplice() *asker {
	c.Helper()
	m := c.static.Current()
	static, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
	c.must(err)
	lanes, err := lane.New(lane.Config{Partitions: c.partitions, Map: static, RetryFor: 200 * time.Millisecond})
	c.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = lanes.Run(ctx) })
	c.Cleanup(func() { cancel(); wg.Wait() })
	other := *c
	other.lanes = lanes
	return &asker{c: &other, stage: rows.NewStage(c.partitions), out: make(chan rows.Outcome, 1)}
}

// A replica never runs a train, whatever a client sends it.
func TestReplicaServesNobody(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 1, config: soon})
	c.keepAll()
	b := c.bank(1, 100)
	c.linked("k-s1", 1)
	replica, err := luascripts.Open(luascripts.Config{Addr: c.replicas[0][0].Addr, Epoch: c.static.Current().Shards["s1"].Epoch})
	c.must(err)
	defer replica.Close()
	var tr luascripts.Train
	tr.Section(0, c.static.Current().Shards["s1"].Epoch)
	tr.Add((&journal.Row{Op: journal.OpRead, Account: b.customers[0]}).Append(nil))
	if _, err := replica.Run(t.Context(), &tr); !luascripts.NothingMoved(err) {
		t.Errorf("%v", err)
	}
}
