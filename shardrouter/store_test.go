package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"walletd/deploy/local"
)

// storesOf are the implementations that must behave alike.
func storesOf(t *testing.T) map[string]func() Store {
	t.Helper()
	zoo := local.SharedZooKeeper(t)
	return map[string]func() Store{
		"static": func() Store { return newStatic(t, StaticConfig{}) },
		"zookeeper": func() Store {
			z, err := NewZooKeeper(dial(t, devConfig(zoo.Addr)), initialised(t, zoo.Addr))
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
}

// Ten at once, from two connections, for two shards: no epoch is given twice, and
// whoever asks after an answer gets a higher one.
func TestConcurrentNextEpochs(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	var routers []*ZooKeeper
	for range 2 {
		routers = append(routers, router(t, devConfig(zoo.Addr), cluster))
	}
	var mu sync.Mutex
	var given []uint32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			var last uint32
			for range 3 {
				e, err := routers[i%2].NextEpoch(within(t, 20*time.Second), fmt.Sprintf("s%d", 1+i%3/2), []int{i % 4})
				if err != nil || e <= last {
					t.Errorf("epoch %d after %d, %v", e, last, err)
					return
				}
				last = e
				mu.Lock()
				given = append(given, e)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(given)
	for i, e := range given {
		if e != uint32(i+1) {
			t.Fatalf("given: %v", given)
		}
	}
	if len(given) != 30 {
		t.Errorf("%d were given", len(given))
	}
	// The record of a shard keeps the highest that it was given.
	rec, err := routers[0].readRecord(within(t, 5*time.Second), "s2")
	if err != nil || rec.shard.Epoch == 0 || rec.shard.Primary != "127.0.0.1:7002" {
		t.Errorf("record %+v, %v", rec, err)
	}
}

func TestNextEpochRefuses(t *testing.T) {
	t.Parallel()
	for name, store := range storesOf(t) {
		s := store()
		ctx := within(t, 10*time.Second)
		if e, err := s.NextEpoch(ctx, "s9", nil); !errors.Is(err, ErrUnknownShard) {
			t.Errorf("%s: unknown shard: %d, %v", name, e, err)
		}
		for _, p := range []int{-1, 4} {
			if e, err := s.NextEpoch(ctx, "s1", []int{p}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: partition %d: %d, %v", name, p, e, err)
			}
		}
		if err := s.Publish(ctx, func(m *Map) (*Map, error) { return m.WithPartitions("s1", 4294967295, 0), nil }); err != nil {
			t.Fatal(err)
		}
		if e, err := s.NextEpoch(ctx, "s1", []int{0}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: after the last epoch comes %d, %v", name, e, err)
		}
	}
}

func TestADeposedKeeperCannotPublish(t *testing.T) {
	t.Parallel()
	for name, store := range storesOf(t) {
		s := store()
		ctx := within(t, 20*time.Second)
		own := []int{0, 2}
		take := func(epoch uint32, addr string) func(*Map) (*Map, error) {
			return func(m *Map) (*Map, error) {
				return m.WithShard(Shard{ID: "s1", Primary: addr, Epoch: epoch, State: StateServing}).
					WithPartitions("s1", epoch, own...), nil
			}
		}
		old, err := s.NextEpoch(ctx, "s1", own)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Publish(ctx, take(old, "127.0.0.1:1")); err != nil {
			t.Fatal(err)
		}
		newer, err := s.NextEpoch(ctx, "s1", own)
		if err != nil || newer <= old {
			t.Fatalf("epoch %d after %d, %v", newer, old, err)
		}
		// Not yet replaced: it may still say what it has to say.
		if err := s.Publish(ctx, take(old, "127.0.0.1:3")); err != nil {
			t.Errorf("%s: before it is replaced: %v", name, err)
		}
		if err := s.Publish(ctx, take(newer, "127.0.0.1:2")); err != nil {
			t.Fatal(err)
		}
		before := s.(Source).Current()
		for what, change := range map[string]func(*Map) (*Map, error){
			"all of it":     take(old, "127.0.0.1:1"),
			"the shard":     func(m *Map) (*Map, error) { return m.WithShard(Shard{ID: "s1", Epoch: old, State: StateDown}), nil },
			"one partition": func(m *Map) (*Map, error) { return m.WithPartitions("s1", old, 2), nil },
			"by another":    func(m *Map) (*Map, error) { return m.WithPartitions("s2", newer, 2), nil },
		} {
			if err := s.Publish(ctx, change); !errors.Is(err, ErrDeposed) {
				t.Errorf("%s: deposed, %s: %v", name, what, err)
			}
		}
		if now := s.(Source).Current(); now != before {
			t.Errorf("%s: the map is now %+v", name, now)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	refusal := errors.New("no")
	for name, store := range storesOf(t) {
		s := store()
		ctx := within(t, 20*time.Second)
		current := func() *Map {
			var m *Map
			if err := s.Publish(ctx, func(now *Map) (*Map, error) { m = now; return nil, nil }); err != nil {
				t.Fatal(err)
			}
			return m
		}
		if err := s.Publish(ctx, func(m *Map) (*Map, error) { return m.WithPartitions("s2", 0, 1), nil }); err != nil || current().Version != 1 {
			t.Errorf("%s: the same again: %v, version %d", name, err, current().Version)
		}
		if err := s.Publish(ctx, func(*Map) (*Map, error) { return nil, refusal }); !errors.Is(err, refusal) {
			t.Errorf("%s: a change that refuses: %v", name, err)
		}
		for what, change := range map[string]func(*Map) (*Map, error){
			"a partition that does not exist": func(m *Map) (*Map, error) { return m.WithPartitions("s1", 1, 4), nil },
			"a shard that does not exist":     func(m *Map) (*Map, error) { return m.WithPartitions("s9", 1, 0), nil },
			"partitions of nobody":            func(m *Map) (*Map, error) { return m.WithoutShard("s1"), nil },
			"fewer partitions": func(m *Map) (*Map, error) {
				return &Map{Version: 1, Partitions: m.Partitions[:1], Shards: m.Shards}, nil
			},
		} {
			if err := s.Publish(ctx, change); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if v := current().Version; v != 1 {
			t.Errorf("%s: refusals left version %d", name, v)
		}
		// A shard that is added later, with everything that a new one needs.
		if err := s.Publish(ctx, func(m *Map) (*Map, error) { return m.WithShard(Shard{ID: "s3", State: StateNew}), nil }); err != nil {
			t.Fatal(err)
		}
		if e, err := s.NextEpoch(ctx, "s3", []int{3}); err != nil || e == 0 {
			t.Errorf("%s: epoch %d, %v", name, e, err)
		}
		if m := current(); m.Version != 2 || m.Shards["s3"].State != StateNew {
			t.Errorf("%s: now %+v", name, m)
		}
	}
}

// Many publish at once; every change is in the last map.
func TestConcurrentPublishes(t *testing.T) {
	t.Parallel()
	for name, store := range storesOf(t) {
		s := store()
		const rounds = 4
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for range rounds {
					err := s.Publish(within(t, 20*time.Second), func(m *Map) (*Map, error) {
						own := m.Partitions[p]
						return m.WithPartitions(own.Shard, own.Epoch+1, p), nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		m := s.(Source).Current()
		for p, owner := range m.Partitions {
			if owner.Epoch != rounds {
				t.Errorf("%s: partition %d is in epoch %d", name, p, owner.Epoch)
			}
		}
		if m.Version != 1+4*rounds {
			t.Errorf("%s: version %d", name, m.Version)
		}
	}
}

// losing makes the n-th call lose its request or its reply, once.
type losing struct {
	mu    sync.Mutex
	at    int // calls from arm to the one that is lost
	what  loss
	calls int
	armed bool
	hit   bool
}

func (l *losing) arm(n int, what loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.what, l.calls, l.armed, l.hit = n, what, 0, true, false
}

// disarm lets the calls that follow be, and tells whether one was lost.
func (l *losing) disarm() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	return l.hit
}

func (l *losing) lose() loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if !l.armed || l.calls != l.at {
		return loseNothing
	}
	l.hit = true
	return l.what
}

// eachLoss runs try with the n-th call after arm lost, for every n and both ways,
// until there are fewer calls than that before disarm.
func eachLoss(t *testing.T, addr string, try func(t *testing.T, c *Conn, arm func(), disarm func() bool)) {
	t.Helper()
	var l losing
	cfg := devConfig(addr)
	cfg.lose = l.lose
	c := dial(t, cfg)
	for _, what := range []loss{loseRequest, loseReply} {
		n := 1
		for ; ; n++ {
			try(t, c, func() { l.arm(n, what) }, l.disarm)
			if t.Failed() {
				t.Fatalf("with call %d lost (%d)", n, what)
			}
			if !l.disarm() {
				break
			}
		}
		if n == 1 {
			t.Fatal("nothing was called")
		}
	}
}

// Whatever call is lost, no epoch is given twice, and asking again works.
func TestNextEpochWithLostCalls(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	var last uint32
	eachLoss(t, zoo.Addr, func(t *testing.T, c *Conn, arm func(), disarm func() bool) {
		z, err := NewZooKeeper(c, cluster)
		if err != nil {
			t.Fatal(err)
		}
		arm()
		e, err := z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
		if disarm() {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("a lost call: %v", err)
			}
			e, err = z.NextEpoch(within(t, 10*time.Second), "s1", []int{0})
		}
		if err != nil || e <= last {
			t.Fatalf("epoch %d after %d, %v", e, last, err)
		}
		last = e
	})
}

// Whatever call is lost, repeating a Publish applies it once.
func TestPublishWithLostCalls(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	published := uint32(0)
	eachLoss(t, zoo.Addr, func(t *testing.T, c *Conn, arm func(), disarm func() bool) {
		z, err := NewZooKeeper(c, cluster)
		if err != nil {
			t.Fatal(err)
		}
		published++
		change := func(m *Map) (*Map, error) {
			return m.WithShard(Shard{ID: "s1", Epoch: published, State: StateServing}).WithPartitions("s1", published, 0, 2), nil
		}
		arm()
		err = z.Publish(within(t, 10*time.Second), change)
		if disarm() {
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("a lost call: %v", err)
			}
			err = z.Publish(within(t, 10*time.Second), change)
		}
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := z.readMap(within(t, 10*time.Second))
		if err != nil || m.Version != int32(1+published) || m.Partitions[2].Epoch != published {
			t.Fatalf("after %d: %+v, %v", published, m, err)
		}
		rec, err := z.readRecord(within(t, 10*time.Second), "s1")
		if err != nil || rec.shard.Epoch != published || rec.shard.State != StateServing {
			t.Fatalf("record %+v, %v", rec, err)
		}
	})
}

func TestCallersWhoLeave(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, store := range storesOf(t) {
		s := store()
		if _, err := s.NextEpoch(over, "s1", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: epoch: %v", name, err)
		}
		if err := s.Publish(over, func(m *Map) (*Map, error) { return m, nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: publish: %v", name, err)
		}
	}
}
