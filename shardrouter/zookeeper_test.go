package shardrouter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/deploy/local"

	"github.com/go-zookeeper/zk"
)

func TestAReaderFollowsWithinASecond(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	reader := router(t, devConfig(zoo.Addr), cluster)
	keeper := router(t, devConfig(zoo.Addr), cluster)
	eventually(t, 10*time.Second, "the first map", func() bool { return reader.Current() != nil })
	if m := reader.Current(); m.Version != 1 || m.ShardOf(1).Primary != "127.0.0.1:7002" {
		t.Errorf("the first map is %+v", m)
	}
	var slowest time.Duration
	for _, addr := range []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5"} {
		raise(t, keeper, "s1", addr)
		published := time.Now()
		if got := primary(keeper, "s1"); got != addr {
			t.Errorf("the publisher itself still has %s", got)
		}
		eventually(t, time.Second, "the reader has it", func() bool { return primary(reader, "s1") == addr })
		slowest = max(slowest, time.Since(published))
	}
	// Re-reading alone takes up to two seconds and would not be five times in time.
	if slowest > rereadEvery/2 {
		t.Errorf("the slowest took %s: no watch", slowest)
	}
	if got := reader.Current().Version; got != 6 {
		t.Errorf("version %d", got)
	}
	t.Logf("slowest %s", slowest)
}

func TestWatchOnZooKeeper(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	ctx, cancel := context.WithCancel(t.Context())
	versions := make(chan int32, 16)
	var wg sync.WaitGroup
	wg.Go(func() { z.Watch(ctx, func(m *Map) { versions <- m.Version }) })
	if v := <-versions; v != 1 {
		t.Errorf("first %d", v)
	}
	raise(t, z, "s1", "127.0.0.1:1")
	if v := <-versions; v != 2 {
		t.Errorf("second %d", v)
	}
	cancel()
	wg.Wait()
}

// Watches are a hint: without any, a reader follows every few seconds.
func TestAReaderWithoutWatchesFollows(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	w.deaf.Store(true)
	reader := router(t, devConfig(w.addr), cluster)
	eventually(t, 10*time.Second, "the first map", func() bool { return reader.Current() != nil })
	raise(t, router(t, devConfig(zoo.Addr), cluster), "s1", "127.0.0.1:1")
	eventually(t, 3*time.Second, "the reader has it", func() bool { return primary(reader, "s1") == "127.0.0.1:1" })
}

// A watch that did not tell of what reading found is set anew.
func TestALostWatchIsMadeGoodByReading(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z, err := NewZooKeeper(dial(t, devConfig(zoo.Addr)), cluster)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 10*time.Second)
	var f follower
	if err := z.read(ctx, &f); err != nil || f.watch == nil {
		t.Fatalf("first reading: %v", err)
	}
	f.watch = make(chan zk.Event) // one that never fires
	other := router(t, devConfig(zoo.Addr), cluster)
	raise(t, other, "s1", "127.0.0.1:1")
	if err := z.read(ctx, &f); err != nil {
		t.Fatal(err)
	}
	if got := primary(z, "s1"); got != "127.0.0.1:1" {
		t.Errorf("primary %s", got)
	}
	if f.watch != nil {
		t.Error("the watch that did not tell is still trusted")
	}
	if err := z.read(ctx, &f); err != nil || f.watch == nil {
		t.Errorf("no new watch: %v", err)
	}
}

// A watch stays in the library until it fires: reading again must not add more.
func TestReadingAgainSetsNoMoreWatches(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	z, err := NewZooKeeper(dial(t, devConfig(zoo.Addr)), initialised(t, zoo.Addr))
	if err != nil {
		t.Fatal(err)
	}
	var f follower
	if err := z.read(within(t, 10*time.Second), &f); err != nil {
		t.Fatal(err)
	}
	first := f.watch
	for range 10 {
		if err := z.read(within(t, 10*time.Second), &f); err != nil {
			t.Fatal(err)
		}
		if f.watch != first {
			t.Fatal("another watch")
		}
	}
}

func TestAPausedZooKeeperLeavesTheLastMap(t *testing.T) {
	t.Parallel()
	zoo := local.ZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	eventually(t, 10*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	last := z.Current()

	if err := zoo.Pause(); err != nil {
		t.Fatal(err)
	}
	paused := time.Now()
	eventually(t, 5*time.Second, "it is not healthy", func() bool { return z.Health() != nil })
	if took := time.Since(paused); took > 2*time.Second {
		t.Errorf("noticed after %s", took)
	}
	if z.Current() != last {
		t.Error("the last map has gone")
	}
	if _, err := z.NextEpoch(t.Context(), "s1", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an epoch from a paused server: %v", err)
	}
	// Long enough for the library to lose its connection and reconnect in vain.
	eventually(t, 10*time.Second, "the library has noticed, too", func() bool {
		return z.conn.handle().zk.State() != zk.StateHasSession
	})
	if z.Current() != last {
		t.Error("the last map has gone")
	}
	if err := zoo.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
	raise(t, router(t, devConfig(zoo.Addr), cluster), "s1", "127.0.0.1:1")
	eventually(t, 3*time.Second, "it follows again", func() bool { return primary(z, "s1") == "127.0.0.1:1" })
}

func TestARestartedZooKeeper(t *testing.T) {
	t.Parallel()
	zoo := local.ZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	before, err := z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	last := z.Current()
	zoo.Kill()
	eventually(t, 5*time.Second, "it is not healthy", func() bool { return z.Health() != nil })
	if z.Current() != last {
		t.Error("the last map has gone")
	}
	if err := zoo.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
	after, err := z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
	if err != nil || after <= before {
		t.Errorf("epoch %d after %d, %v", after, before, err)
	}
	raise(t, router(t, devConfig(zoo.Addr), cluster), "s1", "127.0.0.1:1")
	eventually(t, 3*time.Second, "it follows again", func() bool { return primary(z, "s1") == "127.0.0.1:1" })
	if err := Init(within(t, 10*time.Second), z.conn, cluster, testConfig, twoShards(t)); err != nil {
		t.Errorf("the cluster is not the same any more: %v", err)
	}
}

// put overwrites the raw map node, as an operator's hand does.
func put(t *testing.T, z *ZooKeeper, data string) {
	t.Helper()
	err := z.conn.transact(within(t, 10*time.Second), write{path: z.paths.clusterMap(), data: []byte(data), version: -1})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMapThatDoesNotFollowIsRefused(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	raise(t, z, "s1", "127.0.0.1:1")
	last := z.Current()
	good, err := last.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"no map":              `{"version":9}`,
		"an older version":    strings.Replace(string(good), `"version":2`, `"version":1`, 1),
		"the same, otherwise": strings.Replace(string(good), `127.0.0.1:1`, `127.0.0.1:2`, 1),
	} {
		put(t, z, data)
		eventually(t, 5*time.Second, name+" is told by health", func() bool { return errors.Is(z.Health(), ErrInvalid) })
		if z.Current() != last {
			t.Errorf("%s: now %+v", name, z.Current())
		}
		put(t, z, string(good))
		eventually(t, 5*time.Second, "it is healthy again after "+name, func() bool { return z.Health() == nil })
	}
}

func TestNoMapYet(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := freshCluster()
	z := router(t, devConfig(zoo.Addr), cluster)
	eventually(t, 5*time.Second, "it is told", func() bool { return errors.Is(z.Health(), ErrNoNode) })
	if z.Current() != nil {
		t.Errorf("a map from nowhere: %+v", z.Current())
	}
	if _, err := z.NextEpoch(t.Context(), "s1", nil); !errors.Is(err, ErrNoNode) {
		t.Errorf("epoch: %v", err)
	}
	if err := Init(within(t, 20*time.Second), z.conn, cluster, testConfig, twoShards(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "it is healthy", func() bool { return z.Health() == nil && z.Current() != nil })
	if _, err := NewZooKeeper(z.conn, "a/b"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a path as a name: %v", err)
	}
}

// The server that we talk to dies: the session moves to another one, and with it
// the watch, the credential and the leadership.
func TestAMemberOfTheQuorumDies(t *testing.T) {
	t.Parallel()
	servers, err := local.StartZooKeeperQuorum(t.Context(), t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range servers {
			s.Kill()
		}
	})
	cfg := credential(servers[0].Addr, "wallet", "secret")
	cfg.Servers = []string{servers[0].Addr, servers[1].Addr, servers[2].Addr}
	cfg.SessionTimeout = 15 * time.Second
	c := dial(t, cfg)
	cluster := freshCluster()
	eventually(t, 30*time.Second, "the cluster is initialised", func() bool { // three servers on a busy disk: unavailable asks for a repeat
		err := Init(within(t, 20*time.Second), c, cluster, testConfig, twoShards(t))
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	z := router(t, cfg, cluster)
	other := router(t, cfg, cluster)
	l := elect(t, z, "me")
	before, err := z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	owned := z.conn.SessionID()

	server := func() string { return z.conn.handle().zk.Server() }
	dead := server()
	for _, s := range servers {
		if s.Addr == dead {
			s.Kill()
		}
	}
	died := time.Now()
	eventually(t, 14*time.Second, "it is healthy at another one", func() bool { return server() != dead && z.Health() == nil })
	t.Logf("after %s", time.Since(died))
	if closed(l.Lost()) || z.conn.SessionID() != owned {
		t.Errorf("the leadership did not survive: %v", l.Err())
	}
	after, err := z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
	if err != nil || after <= before {
		t.Errorf("epoch %d after %d, %v", after, before, err)
	}
	eventually(t, 14*time.Second, "the other is healthy", func() bool { return other.Health() == nil })
	raise(t, other, "s1", "127.0.0.1:1")
	eventually(t, 3*time.Second, "it follows", func() bool { return primary(z, "s1") == "127.0.0.1:1" })
	l.Resign()
}
