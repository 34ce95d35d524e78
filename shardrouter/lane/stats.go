package lane

import (
	"sync/atomic"
	"time"
)

// Stats is what a lane has done and has, at one moment.
type Stats struct {
	Shard string // id; "" for partitions that the map gives to nobody

	Trains      uint64 // answered
	Acts        uint64 // in them
	ScriptTime  time.Duration
	Faults      uint64 // trains not answered, per attempt
	Unknown     uint64 // of these, trains that may have run
	OutOfMemory uint64 // trains refused by a full Redis
	Refused     uint64 // sections whose partition did not serve
	BadReplies  uint64

	Queued int // acts that wait for a train
	Held   int // outcomes that wait for the journal
}

// counts are a lane's counters. They are read while it runs.
type counts struct {
	trains, acts, scriptTime                          atomic.Uint64
	faults, unknown, outOfMemory, refused, badReplies atomic.Uint64
}

func (c *counts) train(acts int, took time.Duration) {
	c.trains.Add(1)
	c.acts.Add(uint64(acts))
	c.scriptTime.Add(uint64(took))
}

// Stats are the lanes' figures, one element a shard that the map ever had.
func (l *Lanes) Stats() []Stats {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	stats := make([]Stats, 0, len(all))
	for _, ln := range all {
		ln.mu.Lock()
		queued := ln.acts
		ln.mu.Unlock()
		c := &ln.counts
		stats = append(stats, Stats{
			Shard: ln.shard, Trains: c.trains.Load(), Acts: c.acts.Load(), ScriptTime: time.Duration(c.scriptTime.Load()),
			Faults: c.faults.Load(), Unknown: c.unknown.Load(), OutOfMemory: c.outOfMemory.Load(), Refused: c.refused.Load(),
			BadReplies: c.badReplies.Load(), Queued: queued, Held: int(ln.held.Load()),
		})
	}
	return stats
}
