package shardrouter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

var (
	_ interface {
		Source
		Store
		Election
	} = (*Static)(nil)
	_ interface {
		Source
		Store
		Election
	} = (*ZooKeeper)(nil)
)

func newStatic(t *testing.T, cfg StaticConfig) *Static {
	t.Helper()
	if cfg.Initial == nil {
		cfg.Initial = twoShards(t)
	}
	s, err := NewStatic(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStaticUpdateComparesTheVersion(t *testing.T) {
	s := newStatic(t, StaticConfig{})
	next := s.Current().WithPartitions("s1", 1, 0)
	if err := s.Update(2, next); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2 is not there yet: %v", err)
	}
	if err := s.Update(1, next); err != nil {
		t.Fatal(err)
	}
	if got := s.Current(); got.Version != 2 || got.Partitions[0].Epoch != 1 {
		t.Errorf("now %+v", got)
	}
	if err := s.Update(1, next); !errors.Is(err, ErrVersion) {
		t.Errorf("version 1 has gone: %v", err)
	}
	if err := s.Update(2, s.Current().WithPartitions("s1", 0, 0)); !errors.Is(err, ErrDeposed) {
		t.Errorf("an epoch fell: %v", err)
	}
	if err := s.Update(2, s.Current().WithoutShard("s1")); !errors.Is(err, ErrInvalid) {
		t.Errorf("partitions of nobody: %v", err)
	}
	if got := s.Current().Version; got != 2 {
		t.Errorf("a refusal left version %d", got)
	}
}

func TestStaticEpochsRiseOverRestarts(t *testing.T) {
	var saved []byte
	persist := func(b []byte) error { saved = slices.Clone(b); return nil }
	s := newStatic(t, StaticConfig{Persist: persist})
	raise(t, s, "s1", "127.0.0.1:9")
	var last uint32
	for range 3 {
		for _, shard := range []string{"s1", "s2"} {
			e, err := s.NextEpoch(t.Context(), shard, []int{0})
			if err != nil || e <= last {
				t.Fatalf("epoch %d after %d, %v", e, last, err)
			}
			last = e
		}
		s = newStatic(t, StaticConfig{Persist: persist, Saved: saved})
	}
	if got := s.Current(); got.Version != 2 || got.Shards["s1"].Primary != "127.0.0.1:9" {
		t.Errorf("the map came back as %+v", got)
	}
	if _, err := NewStatic(StaticConfig{Initial: mustMap(t, 8), Saved: saved}); !errors.Is(err, ErrMismatch) {
		t.Errorf("8 partitions instead of 4: %v", err)
	}
	if _, err := NewStatic(StaticConfig{Initial: twoShards(t), Saved: saved[:len(saved)-2]}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cut state: %v", err)
	}
}

func mustMap(t *testing.T, partitions int) *Map {
	t.Helper()
	m, err := NewMap(partitions, Shard{ID: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// An epoch is higher than what the map shows, whoever put it there.
func TestStaticEpochFollowsTheMap(t *testing.T) {
	s := newStatic(t, StaticConfig{Initial: twoShards(t).WithPartitions("s1", 41, 2)})
	if e, err := s.NextEpoch(t.Context(), "s2", []int{2}); err != nil || e != 42 {
		t.Errorf("epoch %d, %v", e, err)
	}
	for name, ask := range map[string]func() (uint32, error){
		"an unknown shard":     func() (uint32, error) { return s.NextEpoch(t.Context(), "s9", nil) },
		"an unknown partition": func() (uint32, error) { return s.NextEpoch(t.Context(), "s1", []int{4}) },
	} {
		if e, err := ask(); err == nil {
			t.Errorf("%s was given epoch %d", name, e)
		}
	}
}

func TestStaticKeepsNothingThatCouldNotBePersisted(t *testing.T) {
	full := errors.New("disk full")
	var fault error
	s := newStatic(t, StaticConfig{Persist: func([]byte) error { return fault }})
	fault = full
	if _, err := s.NextEpoch(t.Context(), "s1", nil); !errors.Is(err, full) {
		t.Errorf("epoch: %v", err)
	}
	err := s.Publish(t.Context(), func(m *Map) (*Map, error) { return m.WithPartitions("s1", 1, 0), nil })
	if !errors.Is(err, full) || s.Current().Version != 1 {
		t.Errorf("publish: %v, version %d", err, s.Current().Version)
	}
	fault = nil
	if e, err := s.NextEpoch(t.Context(), "s1", nil); err != nil || e != 1 {
		t.Errorf("epoch %d, %v", e, err)
	}
	if _, err := NewStatic(StaticConfig{Initial: twoShards(t), Persist: func([]byte) error { return full }}); !errors.Is(err, full) {
		t.Errorf("first start: %v", err)
	}
}

func TestWatchGivesTheCurrentAndEveryNewerMap(t *testing.T) {
	s := newStatic(t, StaticConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan int32) // unbuffered: the watcher is slow
	var wg sync.WaitGroup
	wg.Go(func() {
		s.Watch(ctx, func(m *Map) {
			select {
			case seen <- m.Version:
			case <-ctx.Done():
			}
		})
	})
	if v := <-seen; v != 1 {
		t.Errorf("first %d", v)
	}
	for range 50 {
		epoch, err := s.NextEpoch(ctx, "s1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(s.Current().Version, s.Current().WithPartitions("s1", epoch, 0)); err != nil {
			t.Fatal(err)
		}
	}
	last := int32(1)
	for last != 51 {
		v := <-seen
		if v <= last {
			t.Fatalf("version %d after %d", v, last)
		}
		last = v
	}
	cancel()
	wg.Wait()
}

func TestStaticElect(t *testing.T) {
	s := newStatic(t, StaticConfig{})
	l, err := s.Elect(t.Context(), "s1", "me")
	if err != nil || closed(l.Lost()) || l.Err() != nil {
		t.Fatalf("not elected: %v", err)
	}
	l.Resign()
	l.Resign()
	if !closed(l.Lost()) || !errors.Is(l.Err(), ErrResigned) {
		t.Errorf("after it resigned: %v", l.Err())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Elect(over, "s1", "me"); !errors.Is(err, context.Canceled) {
		t.Errorf("elected in a context that is over: %v", err)
	}
}

// What the map says of a shard is looked at while it changes: run with -race.
func TestReadersNeedNoLock(t *testing.T) {
	s := newStatic(t, StaticConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if m := s.Current(); m.ShardOf(0).ID == "" || len(m.PartitionsOf("s1")) == 0 {
					t.Error("half a map")
					return
				}
			}
		})
	}
	for ctx.Err() == nil {
		err := s.Publish(ctx, func(m *Map) (*Map, error) {
			sh := m.Shards["s1"]
			sh.Epoch++
			return m.WithShard(sh).WithPartitions("s1", sh.Epoch, 0), nil
		})
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
