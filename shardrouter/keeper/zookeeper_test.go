package keeper

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/shardrouter"
)

// A ZooKeeper that is away for longer than the session, and comes back without it, ends no reign: transfers go on all the time.
func TestZooKeeperAway(t *testing.T) {
	const session = 2 * time.Second
	zoo := local.SharedZooKeeper(t)
	way := faultproxy.ForTest(t, zoo.Addr)
	name := fmt.Sprintf("keeper%x", time.Now().UnixNano())
	dial := func(addr string) *shardrouter.Conn {
		conn, err := shardrouter.Dial(shardrouter.ConnConfig{Servers: []string{addr}, SessionTimeout: session, Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	c := newCluster(t, clusterOptions{servers: 1, partitions: 2, log: kafkaLog(t, 2)})
	initial, err := shardrouter.NewMap(2, shardrouter.Shard{ID: "s1", Primary: c.redis[0].Addr})
	c.must(err)
	cfg := shardrouter.Config{Partitions: 2, Hash: shardrouter.HashV1, Assets: []shardrouter.Asset{{Code: "USD", Exponent: 2}}}
	c.must(shardrouter.Init(t.Context(), dial(zoo.Addr), name, cfg, initial))
	conn := dial(way.Addr())
	router, err := shardrouter.NewZooKeeper(conn, name)
	c.must(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = router.Run(ctx) })
	t.Cleanup(func() { c.stopKeepers(); stop(); running.Wait() })
	c.config = func(k *Config) {
		soon(k)
		k.Store, k.Election = router, router
		k.Map = router
	}
	running.Go(func() { // the lanes follow the same map
		router.Watch(ctx, func(m *shardrouter.Map) {
			_ = c.static.Publish(ctx, func(old *shardrouter.Map) (*shardrouter.Map, error) {
				return old.WithShard(m.Shards["s1"]).WithPartitions("s1", m.Partitions[0].Epoch, 0, 1), nil
			})
		})
	})
	k := c.keep(0, "k")
	c.eventually("it serves", func() bool { return k.Stats().State == Serving })
	b := c.bank(2, 1000)
	owned := conn.SessionID()
	all := b.run(2, func() {
		way.BlackHole(true)
		for since := time.Now(); time.Since(since) < 2*session; {
			before := k.Stats().Relay.Events
			c.eventually("transfers go on", func() bool { return k.Stats().Relay.Events > before+10 })
		}
		way.Heal()
		way.Cut()
		c.eventually("its session is another one", func() bool { return conn.SessionID() != owned && router.Health() == nil })
		before := k.Stats().Relay.Events
		c.eventually("transfers go on", func() bool { return k.Stats().Relay.Events > before+100 })
	})
	b.check(t, c.rest(), 1000, all)
	if s := k.Stats(); s.Reigns != 1 || s.State != Serving {
		t.Errorf("%+v", s)
	}
	next := c.keep(0, "next") // it takes over when the first is gone, and not before
	_ = k.stop()
	delete(c.keepers, "k")
	c.eventually("the next one serves", func() bool { return next.Stats().State == Serving })
}
