package lane

import (
	"sync"
	"time"
)

// How trains are spaced (hotpath.md, Timetable; decision 19). A train costs its shard some 100 µs whatever is in it, and
// everything behind it as much again: a frame of the log, marks, a reply to each connection. So under load it is worth a
// small wait to be full; a process that is nearly idle does not wait.
const (
	paceIdle = 3_000  // acts a second that somebody waits for: below, no wait
	paceFull = 30_000 // from here on the longest wait
	paceMin  = 1 * time.Millisecond
	paceMax  = 2 * time.Millisecond
)

// interval is the length of a slot at this load, in acts a second.
func interval(load float64) time.Duration {
	switch {
	case load < paceIdle:
		return 0
	case load >= paceFull:
		return paceMax
	}
	return paceMin + time.Duration(float64(paceMax-paceMin)*(load-paceIdle)/(paceFull-paceIdle))
}

// paceMemory is how far back the load is remembered: long against a train, short against a change that a person notices.
const paceMemory = 20 * time.Millisecond

// timetable says when the trains of all lanes leave. Time is cut into slots, and of each lane one train leaves in a slot:
// at once when it has not had one, else with the next slot. So lanes under load leave together, what they bring back goes into one
// write of the log and one reply to each connection, and a lane that was idle does not wait. A slot begins with the first train
// behind the last one's end; while the load is low its length is 0.
//
// It is pure: the caller tells it the time.
type timetable struct {
	mu    sync.Mutex
	began time.Time // the slot
	ends  time.Time

	load  float64   // acts a second, over about paceMemory
	since time.Time // acts are counted for the next look at the load
	acts  int
}

// next is when a lane may leave whose last train left then: never later than paceMax behind that.
func (t *timetable) next(departed time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if departed.Before(t.began) {
		return t.began
	}
	return t.ends
}

// depart notes that a train leaves now, with so many acts that somebody waits for.
func (t *timetable) depart(now time.Time, acts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.ends) {
		t.acts += acts
		return
	}
	t.look(now)
	t.acts += acts
	t.began, t.ends = now, now.Add(interval(t.load))
}

// look brings the load up to date: what has left since the last look over that time, mixed into what was before by the
// share of paceMemory that has passed.
func (t *timetable) look(now time.Time) {
	since := now.Sub(t.since)
	switch {
	case since < paceMemory/20: // too short to say anything about a rate
		return
	case since >= 10*paceMemory: // idle meanwhile
		t.load = 0
	default:
		share := float64(since) / float64(since+paceMemory)
		t.load += share * (float64(t.acts)/since.Seconds() - t.load)
	}
	t.since, t.acts = now, 0
}
