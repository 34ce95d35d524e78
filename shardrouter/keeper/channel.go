package keeper

import (
	"time"

	"walletd/journal"
)

// leg is a decided credit on its way: the seq of the event that decided it, and the leg as deliver rows carry it.
type leg struct {
	seq    uint64
	packed [journal.LegSize]byte
}

// sum is an amount of one asset.
type sum struct {
	asset  journal.Asset
	amount int64
}

// channel is one channel p→q (design section 6) as its source's keeper sees it. It is a value without clock, lock or
// network: the caller tells it what happened and asks it what to send.
//
// legs holds, in order, every leg of p's durable accepted events in (delivered, have] for q; before delivered is known,
// from the first that the start-up fold still had. A channel is live while have is p's durable seq; one that had no room
// falls behind, and what it lacks is read from the log again (catchup.go).
type channel struct {
	source, dest int

	known     bool   // delivered has been learnt from q
	delivered uint64 // settled: q has credited the legs up to it, durably
	have      uint64
	live      bool
	legs      []leg
	next      int   // of legs; those before are gone
	inFlight  []sum // of legs

	flight  flight
	attempt uint32    // of the flight under way, so that a late answer to an older one is told from it
	limit   int       // legs in the next group, lower after a refusal
	retryAt time.Time // nothing is sent before
	pause   time.Duration
	queued  bool // in the list of channels that may have something to send
	broken  bool // q claims to have credited more than the log holds: nothing is sent, people must look
}

// flight is the one deliver row of a channel that is under way.
type flight struct {
	under bool
	ask   bool // asks for delivered, moves nothing
	to    uint64
	legs  int
	since time.Time
}

func newChannel(source, dest int) *channel {
	return &channel{source: source, dest: dest, live: true, limit: groupLegsMax}
}

// waiting is the number of legs in memory.
func (c *channel) waiting() int { return len(c.legs) - c.next }

// take appends a leg that follows what the channel has. have is moved on by the caller, when the event's frame is done.
func (c *channel) take(seq uint64, l journal.Leg) {
	next := leg{seq: seq}
	journal.AppendLeg(next.packed[:0], l)
	c.legs = append(c.legs, next)
	c.count(l.Asset, int64(l.Amount))
}

func (c *channel) count(asset journal.Asset, amount int64) {
	for i := range c.inFlight {
		if c.inFlight[i].asset == asset {
			c.inFlight[i].amount += amount
			return
		}
	}
	c.inFlight = append(c.inFlight, sum{asset, amount})
}

// group is what the next delivery carries: all legs up to and with seq to. Legs of one event stay together, for delivered
// counts events. Without legs, to is as far as the channel has looked.
func (c *channel) group() (legs []leg, to uint64) {
	waiting := c.legs[c.next:]
	if len(waiting) <= c.limit {
		return waiting, c.have
	}
	n := c.limit
	for n < len(waiting) && waiting[n].seq == waiting[n-1].seq {
		n++
	}
	if n == len(waiting) {
		return waiting, c.have
	}
	return waiting[:n], waiting[n-1].seq
}

// settled notes that q has credited everything up to seq, durably; what the channel had up to there is gone.
func (c *channel) settled(seq uint64) {
	var r journal.Row
	for c.next < len(c.legs) && c.legs[c.next].seq <= seq {
		r.SetLegs(c.legs[c.next].packed[:])
		l := r.Leg(0)
		c.count(l.Asset, -int64(l.Amount))
		c.next++
	}
	switch {
	case c.waiting() == 0:
		c.legs, c.next = c.legs[:0], 0
		if cap(c.legs) > legsKept {
			c.legs = nil
		}
	case c.next >= len(c.legs)/2:
		c.legs, c.next = c.legs[:copy(c.legs, c.legs[c.next:])], 0
	}
	c.delivered, c.known = seq, true
	c.have = max(c.have, seq)
}

// restart goes on from the number that q says it has; false when the channel lacks legs behind it, which then have to be
// read from the log.
func (c *channel) restart(delivered, first uint64) bool {
	if delivered >= first {
		c.settled(delivered)
		return true
	}
	c.legs, c.next, c.inFlight = nil, 0, nil
	c.delivered, c.known, c.have, c.live = delivered, true, delivered, false
	return false
}

// first is the seq behind which the channel has every leg: delivered, once that is known.
func (c *channel) first(ring uint64) uint64 {
	if c.known {
		return c.delivered
	}
	return ring
}

// fallBehind notes that there was no room for a leg; the channel has all legs before it.
func (c *channel) fallBehind() { c.live = false }

// back off doubles the pause before the next try, within bounds.
func (c *channel) backOff(now time.Time) {
	c.pause = min(max(2*c.pause, retryMin), retryMax)
	c.retryAt = now.Add(c.pause)
}

// goOn ends the backing off.
func (c *channel) goOn() { c.pause, c.retryAt, c.limit = 0, time.Time{}, groupLegsMax }
