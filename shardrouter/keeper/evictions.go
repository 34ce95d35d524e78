package keeper

import (
	"maps"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// evictions sends evict rows, one under way per partition, until the cut-off that is wanted is durable. Its memory is a few
// numbers a partition.
type evictions struct {
	offerAgain time.Duration // without an answer
	wake       func()

	mu     sync.Mutex
	wanted int64             // cut-off, ms
	done   map[int]int64     // durable cut-offs, of the partitions that are ours
	again  map[int]time.Time // not before: a row is under way, or was refused
}

func newEvictions(offerAgain time.Duration, wake func()) *evictions {
	return &evictions{offerAgain: offerAgain, wake: wake, done: map[int]int64{}, again: map[int]time.Time{}}
}

// begin takes a partition over, whose log has evicted so far.
func (x *evictions) begin(partition int, evictedMS int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done[partition] = evictedMS
}

// end gives a partition up.
func (x *evictions) end(partition int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.done, partition)
	delete(x.again, partition)
}

// want has every partition evict what is before a cut-off.
func (x *evictions) want(cutoffMS int64) {
	x.mu.Lock()
	news := cutoffMS > x.wanted
	x.wanted = max(x.wanted, cutoffMS)
	x.mu.Unlock()
	if news {
		x.wake()
	}
}

// durable takes an eviction that is in the log.
func (x *evictions) durable(partition int, cutoffMS int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ms, ours := x.done[partition]; ours {
		x.done[partition] = max(ms, cutoffMS)
	}
}

// passed are the durable cut-offs by partition.
func (x *evictions) passed() map[int]int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.done)
}

// pump stages what is wanted, and says when to come again: zero when nothing is.
func (x *evictions) pump(now time.Time, stage *rows.Stage) (next time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range ordered(x.done) {
		if x.done[p] >= x.wanted {
			continue
		}
		if !now.Before(x.again[p]) {
			x.again[p] = now.Add(x.offerAgain)
			stage.Add(p, &journal.Row{Op: journal.OpEvict, CutoffMS: x.wanted}, x, uint64(p))
		}
		if at := x.again[p]; next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Settle implements rows.Sink. What was evicted is done when its event comes by as durable.
func (x *evictions) Settle(outs []rows.Outcome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range outs {
		wait := retryMax
		if outs[i].Status == journal.Evicted {
			wait = x.offerAgain
		}
		x.again[int(outs[i].Tag)] = time.Now().Add(wait)
	}
}
