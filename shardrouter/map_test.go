package shardrouter

import (
	"errors"
	"slices"
	"testing"
)

func TestNewMapDealsPartitionsOutInTurn(t *testing.T) {
	m, err := NewMap(5, Shard{ID: "b"}, Shard{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != 1 {
		t.Errorf("version %d", m.Version)
	}
	if got := m.PartitionsOf("b"); !slices.Equal(got, []int{0, 2, 4}) {
		t.Errorf("b owns %v", got)
	}
	if got := m.PartitionsOf("a"); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("a owns %v", got)
	}
	if s := m.ShardOf(3); s.ID != "a" || s.State != StateNew {
		t.Errorf("partition 3 is of %+v", s)
	}
	for _, p := range []int{-1, 5} {
		if s := m.ShardOf(p); s.ID != "" {
			t.Errorf("partition %d is of %+v, it does not exist", p, s)
		}
	}
}

func TestNewMapRefuses(t *testing.T) {
	for name, make := range map[string]func() (*Map, error){
		"no partitions":       func() (*Map, error) { return NewMap(0, Shard{ID: "a"}) },
		"too many partitions": func() (*Map, error) { return NewMap(1025, Shard{ID: "a"}) },
		"no shards":           func() (*Map, error) { return NewMap(1) },
		"a shard twice":       func() (*Map, error) { return NewMap(1, Shard{ID: "a"}, Shard{ID: "a"}) },
		"no id":               func() (*Map, error) { return NewMap(1, Shard{}) },
		"a path as an id":     func() (*Map, error) { return NewMap(1, Shard{ID: "a/b"}) },
		"dots as an id":       func() (*Map, error) { return NewMap(1, Shard{ID: ".."}) },
		"an address of two":   func() (*Map, error) { return NewMap(1, Shard{ID: "a", Primary: "h"}) },
		"port 0":              func() (*Map, error) { return NewMap(1, Shard{ID: "a", Primary: "h:0"}) },
	} {
		if m, err := make(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestWithMethodsLeaveTheOriginalAlone(t *testing.T) {
	m := twoShards(t)
	before := m.clone()
	replicas := []string{"127.0.0.1:1"}
	next := m.WithShard(Shard{ID: "s3", Replicas: replicas, Epoch: 9, State: StateServing}).
		WithPartitions("s3", 9, 0, 1).WithoutShard("s2").withVersion(7)
	replicas[0] = "changed"
	if !m.Equal(before) {
		t.Errorf("the original is now %+v", m)
	}
	want := &Map{
		Version:    7,
		Partitions: []Partition{{"s3", 9}, {"s3", 9}, {"s1", 0}, {"s2", 0}},
		Shards: map[string]Shard{
			"s1": {ID: "s1", Primary: "127.0.0.1:7001", State: StateNew},
			"s3": {ID: "s3", Replicas: []string{"127.0.0.1:1"}, Epoch: 9, State: StateServing},
		},
	}
	if !next.Equal(want) {
		t.Errorf("got %+v, want %+v", next, want)
	}
	if err := next.Validate(); !errors.Is(err, ErrInvalid) {
		t.Errorf("partition 3 names a shard that is gone: %v", err)
	}
}

func TestAWrongPartitionIsToldByValidate(t *testing.T) {
	for _, p := range []int{-1, 4} {
		m := twoShards(t).WithPartitions("s1", 1, p).WithPartitions("s1", 1, 0)
		if err := m.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("partition %d: %v", p, err)
		}
		if _, err := m.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("partition %d is encoded: %v", p, err)
		}
	}
}

func TestEqual(t *testing.T) {
	m := twoShards(t)
	for name, other := range map[string]*Map{
		"another version": m.withVersion(2),
		"another owner":   m.WithPartitions("s2", 0, 0),
		"another epoch":   m.WithPartitions("s1", 1, 0),
		"another state":   m.WithShard(Shard{ID: "s1", Primary: "127.0.0.1:7001", State: StateDown}),
		"one shard more":  m.WithShard(Shard{ID: "s3", State: StateNew}),
		"nil":             nil,
	} {
		if m.Equal(other) {
			t.Errorf("equal to one with %s", name)
		}
	}
	same := m.WithShard(Shard{ID: "s1", Primary: "127.0.0.1:7001", State: StateNew, Replicas: []string{}})
	if !m.Equal(same) {
		t.Error("no replicas differ from nil replicas")
	}
}

func TestAdvances(t *testing.T) {
	old := twoShards(t).WithPartitions("s1", 5, 0, 2).WithShard(Shard{ID: "s1", Epoch: 5, State: StateServing})
	for name, c := range map[string]struct {
		next *Map
		want error
	}{
		"the same":                         {old, nil},
		"a higher epoch":                   {old.WithPartitions("s1", 6, 0), nil},
		"another owner, higher epoch":      {old.WithPartitions("s2", 6, 0), nil},
		"another owner, same epoch":        {old.WithPartitions("s2", 5, 0), ErrDeposed},
		"another owner, lower epoch":       {old.WithPartitions("s2", 4, 0), ErrDeposed},
		"a lower epoch":                    {old.WithPartitions("s1", 4, 0), ErrDeposed},
		"a shard in a lower epoch":         {old.WithShard(Shard{ID: "s1", Epoch: 4, State: StateDown}), ErrDeposed},
		"a shard's state, same epoch":      {old.WithShard(Shard{ID: "s1", Epoch: 5, State: StateDown}), nil},
		"a shard more":                     {old.WithShard(Shard{ID: "s3", State: StateNew}), nil},
		"a partition fewer":                {&Map{Version: 2, Partitions: old.Partitions[:3], Shards: old.Shards}, ErrInvalid},
		"an epoch 0 owner changes nothing": {old.WithPartitions("s2", 0, 0), ErrDeposed},
	} {
		if err := advances(old, c.next); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
