package lane

import "time"

// How trains are spaced (hotpath.md, Timetable). A train costs its shard some 100 µs whatever is in it, so under load it
// is worth a small wait to be full; a lane that is nearly idle leaves at once.
const (
	paceIdle = 2_000   // rows a second: below, no wait
	paceFull = 100_000 // rows a second: from here on the longest wait
	paceMin  = 500 * time.Microsecond
	paceMax  = 3 * time.Millisecond
)

// interval is the least time between the departures of two trains at this load, in acts a second.
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

// pace knows a lane's load and says when its next train may leave. The zero value is an idle lane. It is pure: the caller
// tells it the time.
type pace struct {
	load     float64 // acts a second, over about paceMemory
	departed time.Time
}

// next is the time at which the next train may leave, never later than paceMax from the last one.
func (p *pace) next() time.Time { return p.departed.Add(interval(p.load)) }

// depart notes that a train with so many acts leaves now. What a train carries arrived since the one before it, so the
// load is its acts over that time, mixed into what was before by the share of paceMemory that has passed.
func (p *pace) depart(now time.Time, acts int) {
	since := now.Sub(p.departed)
	p.departed = now
	if since <= 0 {
		return
	}
	if since >= 10*paceMemory { // idle meanwhile: one train says nothing about a rate
		p.load = 0
		return
	}
	share := float64(since) / float64(since+paceMemory)
	p.load += share * (float64(acts)/since.Seconds() - p.load)
}
