package shardrouter

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/local"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for sessions to expire, they do not compute: more of them at
	// once than the two that two cores would get.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(local.M{M: m})
}

// session is the shortest that a ZooKeeper with ticks of a second allows.
const session = 2 * time.Second

// eventually waits until ok, and fails the test with what it waited for.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %s", limit, what)
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

var clusters atomic.Int64

// freshCluster is a cluster name that no other test uses.
func freshCluster() string { return fmt.Sprintf("c%d", clusters.Add(1)) }

func devConfig(addr string) ConnConfig {
	return ConnConfig{Servers: []string{addr}, SessionTimeout: session, CallTimeout: time.Second, Dev: true}
}

func dial(t testing.TB, cfg ConnConfig) *Conn {
	t.Helper()
	c, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var testConfig = Config{Partitions: 4, Hash: HashV1, Assets: []Asset{{"USD", 2}, {"KRW", 0}}}

func twoShards(t testing.TB) *Map {
	t.Helper()
	m, err := NewMap(4, Shard{ID: "s1", Primary: "127.0.0.1:7001"}, Shard{ID: "s2", Primary: "127.0.0.1:7002", Replicas: []string{"127.0.0.1:7003"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// initialised is a cluster of two shards and four partitions on a server.
func initialised(t testing.TB, addr string) (cluster string) {
	t.Helper()
	cluster = freshCluster()
	if err := Init(within(t, 20*time.Second), dial(t, devConfig(addr)), cluster, testConfig, twoShards(t)); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// router is a member of the cluster, running.
func router(t testing.TB, cfg ConnConfig, cluster string) *ZooKeeper {
	t.Helper()
	z, err := NewZooKeeper(dial(t, cfg), cluster)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- z.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return z
}

// raise publishes a map in which the shard's primary is addr.
func raise(t testing.TB, s Store, shard, addr string) {
	t.Helper()
	err := s.Publish(within(t, 10*time.Second), func(m *Map) (*Map, error) {
		next := m.Shards[shard]
		next.Primary = addr
		return m.WithShard(next), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func primary(s Source, shard string) string {
	m := s.Current()
	if m == nil {
		return ""
	}
	return m.Shards[shard].Primary
}

// election lists the raw queue of a shard.
func election(t testing.TB, c *Conn, cluster, shard string) []string {
	t.Helper()
	p, err := pathsOf(cluster)
	if err != nil {
		t.Fatal(err)
	}
	names, err := c.children(within(t, 10*time.Second), p.keeper(shard))
	if err != nil && !strings.Contains(err.Error(), ErrNoNode.Error()) {
		t.Fatal(err)
	}
	return names
}
