package keeper

import (
	"context"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// paused is a Store that holds a keeper up: before it asks for an epoch, and before it changes a shard's primary.
type paused struct {
	shardrouter.Store
	epoch, primary func(ctx context.Context)
	current        func() *shardrouter.Map
}

func (s *paused) NextEpoch(ctx context.Context, shard string, partitions []int) (uint32, error) {
	s.epoch(ctx)
	return s.Store.NextEpoch(ctx, shard, partitions)
}

func (s *paused) Publish(ctx context.Context, change func(*shardrouter.Map) (*shardrouter.Map, error)) error {
	m := s.current()
	if next, err := change(m); err == nil && next != nil && next.Shards["s1"].Primary != m.Shards["s1"].Primary {
		s.primary(ctx)
	}
	return s.Store.Publish(ctx, change)
}

// sluggish is a Shard whose Admit is held up on its way: the lease was proven before.
type sluggish struct {
	*luascripts.Shard
	admit func()
}

func (s *sluggish) Admit(ctx context.Context, epoch uint32, untilMS int64) error {
	s.admit()
	return s.Shard.Admit(ctx, epoch, untilMS)
}

// P10: a keeper fails over from a primary that it cannot reach, which it served last, as far as it knows. Another keeper came in
// between: its lease there is longer, and the map shows its epoch late. Whoever believes that map is answered by nobody once
// another primary serves.
func TestLeaseOfAKeeperInBetween(t *testing.T) {
	t.Parallel() // it mostly waits
	const lease = 2 * time.Second
	var way *faultproxy.Proxy // one keeper's to the old primary
	c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 1})
	way = faultproxy.ForTest(t, c.redis[0].Addr)
	proven, failing := make(chan struct{}), make(chan struct{})
	proof := sync.OnceFunc(func() { close(proven) })
	wait := func(ctx context.Context, what <-chan struct{}) {
		select {
		case <-what:
		case <-ctx.Done():
		}
	}
	epochs := 0
	shownLate := func(m *shardrouter.Map) bool { return m.Shards["s1"].Epoch == 2 }
	var accomplice *asker
	c.config = func(k *Config) {
		k.Unreachable, k.Lease = 300*time.Millisecond, lease
		if k.Name == "between" {
			k.Election = &once{Election: k.Election}
			k.Open = func(addr string) (Shard, error) {
				s, err := luascripts.Open(luascripts.Config{Addr: addr})
				return &sluggish{Shard: s, admit: func() { proof(); wait(context.Background(), failing) }}, err
			}
			return
		}
		k.Open = func(addr string) (Shard, error) {
			if addr == c.redis[0].Addr {
				addr = way.Addr()
			}
			return luascripts.Open(luascripts.Config{Addr: addr, ReadTimeout: 300 * time.Millisecond, DialTimeout: 300 * time.Millisecond})
		}
		k.Store = &paused{Store: k.Store, current: c.static.Current,
			epoch: func(ctx context.Context) {
				if epochs++; epochs == 2 {
					wait(ctx, proven)
				}
			},
			primary: func(ctx context.Context) {
				if accomplice != nil {
					return
				}
				close(failing)
				for !shownLate(c.static.Current()) && ctx.Err() == nil {
					pause(ctx, time.Millisecond)
				}
				accomplice = c.accomplice()
			}}
	}
	c.keepAll()
	k := c.keepers["k-s1"]
	b := c.bank(2, 100)
	c.rest()
	c.linked("k-s1", 1)
	way.BlackHole(true)
	c.eventually("its reign is over", func() bool { return k.Stats().State != Serving })
	time.Sleep(lease * 3 / 4) // of its own lease
	c.keep(0, "between")
	c.eventually("the replica serves", func() bool {
		return k.Stats().State == Serving && c.static.Current().Shards["s1"].Primary == c.replicas[0][0].Addr
	})
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 7, a.sure); s != journal.Confirmed {
		t.Fatalf("%v", s)
	}
	look := journal.Row{Op: journal.OpRead, Account: b.customers[0]}
	if o := accomplice.ask(0, look); o.Status != journal.ShardUnavailable {
		t.Errorf("a read at the old primary: %v", o.Status)
	}
}
