package keeper

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// Config says what a keeper stands on. Zero values get the defaults named here.
type Config struct {
	Shard      string // that it keeps, as the map names it
	Name       string // its own, for elections and epoch frames
	Partitions int    // of the wallet

	Map      shardrouter.Source
	Store    shardrouter.Store
	Election shardrouter.Election
	Journal  journal.Log
	// Shards carries deliveries and expiries, to any shard of the map: lane.Lanes.
	Shards rows.Shards
	// Moves, if set, says which partitions are to change their shard; nil = none ever does.
	Moves shardrouter.Moves
	// Snapshots, if set, are where folds begin.
	Snapshots Snapshots

	// Candidates are host:port of every Redis that may be the shard's primary, as the configuration has them; Spares those of the
	// whole wallet. What the map knows already stays; what it does not know is added.
	Candidates []string
	Spares     []string

	// Open makes the client of the shard; nil = luascripts.Open with its defaults.
	Open func(addr string) (Shard, error)
	// Marks, if set, is told of what has become durable, on a goroutine of its own: the way to lanes in this process, which
	// need not wait for what is published at the shard. It must not keep the slice. While those lanes are the only ones who listen
	// there, marks are published every MarksEvery only.
	Marks func([]luascripts.Mark)
	// Progress, if set, is told what the keeper does, and while it folds a log how far it is. It must not block.
	Progress func(Progress)

	OfferAgain    time.Duration // 15 s: what was sent and has no answer is sent again
	MarksEvery    time.Duration // 200 ms: all marks are published again
	WatchEvery    time.Duration // 100 ms: the shard is asked whether it still serves our epoch
	Unreachable   time.Duration // 3 s: a shard out of reach for so long ends the reign
	Lease         time.Duration // 2 s: how long the shard may run trains without being proven ours, in its own clock; all keepers of a wallet have the same
	ReplicasEvery time.Duration // 2 s: replicas are looked at
	KeyWindow     time.Duration // 72 h: how long keys stay in the shard, in its own clock; negative = for ever
	RestMin       time.Duration // 50 ms: between two reigns, doubling
	RestMax       time.Duration // 2 s: at most
	// Jitter spreads the relay's pauses; nil = at random (relay.Config).
	Jitter func(time.Duration) time.Duration

	Log *slog.Logger // nil = none

	ownEars  int64             // who listens at the shard and is told by Marks: the lanes in this process
	sumUpMax int               // digestRecords; tests take less
	atStep   func(step string) // of a move: tests break it off there
}

func (c Config) withDefaults() Config {
	if c.Open == nil {
		c.Open = func(addr string) (Shard, error) { return luascripts.Open(luascripts.Config{Addr: addr}) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("shard", c.Shard)
	if c.Marks == nil {
		c.Marks = func([]luascripts.Mark) {}
	} else {
		c.ownEars = 1
	}
	if c.sumUpMax == 0 {
		c.sumUpMax = digestRecords
	}
	if c.atStep == nil {
		c.atStep = func(string) {}
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.OfferAgain, 15 * time.Second}, {&c.MarksEvery, 200 * time.Millisecond}, {&c.WatchEvery, 100 * time.Millisecond},
		{&c.Unreachable, 3 * time.Second}, {&c.Lease, 2 * time.Second},
		{&c.ReplicasEvery, 2 * time.Second}, {&c.KeyWindow, 72 * time.Hour}, {&c.RestMin, 50 * time.Millisecond}, {&c.RestMax, 2 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	missing := func(is bool, what string) {
		if is {
			errs = append(errs, errors.New("no "+what))
		}
	}
	missing(c.Shard == "", "shard")
	missing(c.Name == "", "name")
	missing(c.Map == nil, "map")
	missing(c.Store == nil, "store")
	missing(c.Election == nil, "election")
	missing(c.Journal == nil, "journal")
	missing(c.Shards == nil, "way to the shards")
	if c.Partitions < 1 || c.Partitions > shardrouter.PartitionsMax {
		errs = append(errs, fmt.Errorf("%d partitions", c.Partitions))
	}
	if c.Journal != nil && c.Journal.Partitions() != c.Partitions {
		errs = append(errs, fmt.Errorf("a journal of %d partitions for a wallet of %d", c.Journal.Partitions(), c.Partitions))
	}
	for _, d := range []time.Duration{c.OfferAgain, c.MarksEvery, c.WatchEvery, c.Unreachable, c.Lease, c.ReplicasEvery, c.RestMin, c.RestMax} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("a time of %v", d))
		}
	}
	return errors.Join(errs...)
}
