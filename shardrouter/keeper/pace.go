package keeper

import "time"

// How deliveries are spaced (hotpath.md, Timetable). Nobody waits for them, and a deliver row costs its destination as much as
// several legs, an event and an answer: under load legs wait to travel in fewer, larger groups. A keeper that is nearly idle
// sends at once.
const (
	paceIdle = 500   // legs a second: below, no wait
	paceFull = 5_000 // from here on the longest wait
	paceMin  = 5 * time.Millisecond
	paceMax  = 10 * time.Millisecond

	paceMemory = 50 * time.Millisecond // how far back the load is remembered
)

// pace knows how many legs are decided and says when the next may leave. It is pure: the caller tells it the time.
type pace struct {
	load     float64 // legs a second, over about paceMemory
	departed time.Time
}

// next is the time at which the next deliveries may leave.
func (p *pace) next() time.Time {
	switch {
	case p.load < paceIdle:
		return p.departed
	case p.load >= paceFull:
		return p.departed.Add(paceMax)
	}
	return p.departed.Add(paceMin + time.Duration(float64(paceMax-paceMin)*(p.load-paceIdle)/(paceFull-paceIdle)))
}

// depart notes that deliveries leave now, when so many legs have been decided since they last did: that is the load, mixed into
// what was before by the share of paceMemory that has passed.
func (p *pace) depart(now time.Time, legs int) {
	since := now.Sub(p.departed)
	p.departed = now
	switch {
	case since <= 0:
	case since >= 10*paceMemory: // idle meanwhile: a few legs say nothing about a rate
		p.load = 0
	default:
		share := float64(since) / float64(since+paceMemory)
		p.load += share * (float64(legs)/since.Seconds() - p.load)
	}
}
