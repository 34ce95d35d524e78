package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
	"walletd/shardrouter"
)

// A shard without partitions has no log that could prove anything. When its keeper's election is over, waiting does not help, and a
// new reign does; while ZooKeeper is only away, it is waited for.
func TestWithoutPartitionsTheElectionDecides(t *testing.T) {
	elected, _, end := shardrouter.NewLeadership()
	r := &reign{Keeper: &Keeper{}, held: newHoldings(1, nil), elected: elected}
	if err := r.prove(t.Context()); err != nil {
		t.Errorf("while it is elected: %v", err)
	}
	end(errors.New("the session is gone"))
	if err := r.prove(t.Context()); !errors.Is(err, errUnelected) {
		t.Errorf("when the election is over: %v", err)
	}
	r.elected = nil
	if err := r.prove(t.Context()); !errors.Is(err, errUnelected) {
		t.Errorf("without an election: %v", err)
	}
}

// A destination that takes an old attempt back may see the next move already, by which the partition is to leave it again: it is
// done with the old one then, or it never begins to give.
func TestTheNextMoveIsSeenInPlaceOfTheOld(t *testing.T) {
	for name, next := range map[string]*shardrouter.Move{
		"no move":                 nil,
		"away again":              {Partition: 1, From: "s1", To: "s2", State: shardrouter.MoveFreezing},
		"to us, from its start":   {Partition: 1, From: "s2", To: "s1", State: shardrouter.MoveCopying},
		"away, and frozen by now": {Partition: 1, From: "s1", To: "s2", State: shardrouter.MoveFrozen},
	} {
		moves := newIntentions()
		var kept *shardrouter.Move
		if next != nil {
			moves.all = map[int]shardrouter.Move{1: *next}
		}
		r := &reign{Keeper: &Keeper{cfg: Config{Shard: "s1", Moves: &between{change: func(_ context.Context, _ int, change func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) (err error) {
			kept, err = change(nil, next)
			return err
		}}}}, moves: moves}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := r.beginAgain(ctx, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if kept != next {
			t.Errorf("%s: it was changed into %+v", name, kept)
		}
		cancel()
	}
}

// A keeper that begins with an older map than the one that is kept leaves a partition alone that has moved away meanwhile: it starts
// no epoch in its log, and thaws nothing of it.
func TestAnOldMapClaimsNothing(t *testing.T) {
	old := &agedMap{}
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2, config: func(k *Config) {
		if k.Name == "k-late" {
			old.Source, k.Map = k.Map, old
		}
	}})
	c.keepAll()
	b := c.bank(1, 100)
	old.first = c.static.Current()
	c.moveTo(0, "s2")
	c.keepers["k-s1"].stop()
	late := c.keep(0, "k-late")
	c.eventually("it has tried more than once", func() bool { return old.asked.Load() > 3 })
	if s := late.Stats(); s.Reigns != 0 {
		t.Errorf("%d epochs were started by an old map", s.Reigns)
	}
	a := c.asker()
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	if s := c.keepers["k-s2"].Stats(); s.Reigns != 1 {
		t.Errorf("the partition's new shard has begun %d reigns", s.Reigns)
	}
	old.now.Store(true)
	c.eventually("it serves what is left", func() bool { return late.Stats().State == Serving })
	c.rest()
}

// agedMap shows the first map until it may show the present one.
type agedMap struct {
	shardrouter.Source
	first *shardrouter.Map
	asked atomic.Int64
	now   atomic.Bool
}

func (m *agedMap) Current() *shardrouter.Map {
	if m.now.Load() {
		return m.Source.Current()
	}
	return m.first
}

func (m *agedMap) Watch(ctx context.Context, fn func(*shardrouter.Map)) {
	if m.now.Load() {
		m.Source.Watch(ctx, fn)
		return
	}
	m.asked.Add(1)
	fn(m.first)
	<-ctx.Done()
}

// A keeper without partitions that finds its shard another's does not flush the scripts there: they may be its successor's.
func TestNothingIsStoppedForNoPartitions(t *testing.T) {
	shard := &stopped{}
	r := &reign{Keeper: &Keeper{cfg: Config{}.withDefaults()}, held: newHoldings(1, nil), shard: shard}
	if err := r.lost(t.Context(), errShardLost); !errors.Is(err, errShardLost) || shard.times != 0 {
		t.Errorf("%v, stopped %d times", err, shard.times)
	}
	if !r.distrusted() {
		t.Error("it would be adopted")
	}
}

type stopped struct {
	Shard
	times int
}

func (s *stopped) Stop(context.Context, ...uint32) (bool, error) { s.times++; return true, nil }

// A shard that was emptied while it had no partitions is noticed, and a partition that comes is not loaded into it as if nothing had
// happened: its outbox begins anew, and whoever waited behind the old end would never see what happens there.
func TestAShardIsEmptiedWhileItHasNoPartitions(t *testing.T) {
	c := newCluster(t, clusterOptions{servers: 2, partitions: 2})
	c.keepAll()
	b := c.bank(1, 100)
	a := c.asker()
	for i := range 20 { // its outbox has a past
		if s := a.move(b.customers[0], b.customers[1], fmt.Sprint("before", i), 1, a.sure); s != journal.Confirmed {
			t.Fatalf("%v", s)
		}
	}
	c.moveTo(0, "s2")
	c.redisCLI(0, "flushall")
	c.moveTo(0, "s1")
	if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
		t.Errorf("%v", s)
	}
	c.rest()
}
