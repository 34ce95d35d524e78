package keeper

import (
	"bytes"
	"container/heap"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// due says when to send the expire of a reservation. The shard's clock decides; ours only says when to ask.
type due struct {
	id journal.ID
	ms int64
}

// dues is a heap by time that knows where each reservation stands in it.
type dues struct {
	heap []due
	at   map[journal.ID]int
}

func (d *dues) Len() int { return len(d.heap) }
func (d *dues) Less(i, j int) bool { // a total order, so that what is due goes in the same order in every run
	a, b := &d.heap[i], &d.heap[j]
	return a.ms < b.ms || (a.ms == b.ms && bytes.Compare(a.id[:], b.id[:]) < 0)
}
func (d *dues) Swap(i, j int) {
	d.heap[i], d.heap[j] = d.heap[j], d.heap[i]
	d.at[d.heap[i].id], d.at[d.heap[j].id] = i, j
}

// Push implements heap.Interface, as Pop does.
func (d *dues) Push(x any) {
	e := x.(due)
	d.at[e.id] = len(d.heap)
	d.heap = append(d.heap, e)
}

func (d *dues) Pop() any {
	last := len(d.heap) - 1
	e := d.heap[last]
	d.heap = d.heap[:last]
	delete(d.at, e.id)
	return e
}

// set moves a reservation to another time, or adds it.
func (d *dues) set(id journal.ID, ms int64) {
	if i, ok := d.at[id]; ok {
		d.heap[i].ms = ms
		heap.Fix(d, i)
		return
	}
	heap.Push(d, due{id, ms})
}

func (d *dues) remove(id journal.ID) {
	if i, ok := d.at[id]; ok {
		heap.Remove(d, i)
	}
}

// flying is an expire under way.
type flying struct {
	id    journal.ID
	since time.Time
}

// expiry sends an expire for every open reservation whose time has come, and asks again until it is over. Its memory is
// what is open.
type expiry struct {
	partitions int
	offerAgain time.Duration // without an answer
	wake       func()

	mu     sync.Mutex
	dues   dues
	flying map[uint64]flying // rows under way, by tag
	tags   map[journal.ID]uint64
	last   uint64 // tag
	done   uint64 // reservations that expired by our act
}

func newExpiry(partitions int, offerAgain time.Duration, wake func()) *expiry {
	return &expiry{partitions: partitions, offerAgain: offerAgain, wake: wake, dues: dues{at: map[journal.ID]int{}},
		flying: map[uint64]flying{}, tags: map[journal.ID]uint64{}}
}

// opened notes a reservation; closed, that it is over.
func (x *expiry) opened(id journal.ID, o open) {
	x.mu.Lock()
	x.dues.set(id, o.expiresMS)
	first := x.dues.heap[0].id == id
	x.mu.Unlock()
	if first {
		x.wake()
	}
}

func (x *expiry) closed(id journal.ID) {
	x.mu.Lock()
	x.dues.remove(id)
	x.mu.Unlock()
}

// pump stages what is due, and says when to come again: zero when nothing is open. What is sent becomes due again later,
// in case no answer comes.
func (x *expiry) pump(now time.Time, stage *rows.Stage) (next time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ms := now.UnixMilli()
	for len(x.dues.heap) > 0 && x.dues.heap[0].ms <= ms {
		id := x.dues.heap[0].id
		x.landed(x.tags[id]) // its answer is lost
		if len(x.flying) >= expiresMax && !x.reap(now) {
			return now.Add(x.offerAgain) // or when an answer wakes us
		}
		x.dues.set(id, ms+x.offerAgain.Milliseconds())
		x.last++
		x.flying[x.last], x.tags[id] = flying{id, now}, x.last
		stage.Add(id.Partition(x.partitions), &journal.Row{Op: journal.OpExpire, ID: id}, x, x.last)
	}
	if len(x.dues.heap) == 0 {
		return next
	}
	return time.UnixMilli(x.dues.heap[0].ms)
}

// reap forgets the rows whose answers are lost, and reports whether there were any.
func (x *expiry) reap(now time.Time) bool {
	before := len(x.flying)
	for tag, f := range x.flying {
		if now.Sub(f.since) >= x.offerAgain {
			x.landed(tag)
		}
	}
	return len(x.flying) < before
}

// landed forgets a row that was under way.
func (x *expiry) landed(tag uint64) (id journal.ID, ok bool) {
	f, ok := x.flying[tag]
	if ok {
		delete(x.flying, tag)
		delete(x.tags, f.id)
	}
	return f.id, ok
}

// Settle implements rows.Sink.
func (x *expiry) Settle(outs []rows.Outcome) {
	x.mu.Lock()
	now := time.Now().UnixMilli()
	for i := range outs {
		id, ok := x.landed(outs[i].Tag)
		if !ok {
			continue
		}
		status := outs[i].Status
		if status == journal.Expired {
			x.done++
			x.dues.remove(id) // its event may have done so before us
		}
		if _, open := x.dues.at[id]; !open {
			continue
		}
		if status == journal.NotDue { // our clock is ahead, or its end is on the way to us
			x.dues.set(id, now+notDueAgain.Milliseconds())
		} else {
			x.dues.set(id, now+retryMin.Milliseconds())
		}
	}
	x.mu.Unlock()
	x.wake()
}

// stats are the open reservations, and how many expired by our act.
func (x *expiry) stats() (open int, expired uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.dues.heap), x.done
}
