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

func packLeg(seq uint64, l journal.Leg) leg {
	next := leg{seq: seq}
	journal.AppendLeg(next.packed[:0], l)
	return next
}

// money is the asset and the amount of a packed leg.
func (l *leg) money() (journal.Asset, journal.Amount) {
	var r journal.Row
	r.SetLegs(l.packed[:])
	unpacked := r.Leg(0)
	return unpacked.Asset, unpacked.Amount
}

// sum is an amount of one asset.
type sum struct {
	asset  journal.Asset
	amount int64
}

// channel is one channel p→q (design section 6) as its source's keeper sees it: a value without clock, lock or network.
// The caller tells it what happened and asks it what to send.
//
// legs holds, in order, every leg of p's durable accepted events for q in (from, have]. A live channel has all there is:
// have is p's durable seq. One that had no room for a leg falls behind, and what it lacks is read from the log again
// (catchup.go). from is what q has settled; before that is known, it is where the start-up fold's memory begins.
type channel struct {
	source, dest int

	known bool // from is what q said
	from  uint64
	live  bool
	have  uint64 // while not live
	legs  []leg
	next  int   // of legs; those before are gone
	money []sum // of legs

	flight  flight
	limit   int // legs in the next group: fewer after a refusal
	retryAt time.Time
	pause   time.Duration
	queued  bool // in the list of channels that may have something to send
	broken  bool // q claims to have credited what the log does not hold: nothing is sent, people must look
}

// flight is the one deliver row of a channel that is under way.
type flight struct {
	number uint32 // tells a late answer to an older one from its own
	under  bool
	ask    bool // asks what q has, moves nothing
	to     uint64
	legs   int
	since  time.Time
}

func newChannel(source, dest, limit int) *channel {
	return &channel{source: source, dest: dest, live: true, limit: limit}
}

// waiting is the number of legs in memory.
func (c *channel) waiting() int { return len(c.legs) - c.next }

// take appends the next leg.
func (c *channel) take(l leg) {
	c.legs = append(c.legs, l)
	asset, amount := l.money()
	c.count(asset, int64(amount))
}

func (c *channel) count(asset journal.Asset, amount int64) {
	for i := range c.money {
		if c.money[i].asset == asset {
			c.money[i].amount += amount
			return
		}
	}
	c.money = append(c.money, sum{asset, amount})
}

// fallBehind notes that there is no room for a leg of the event seq. Legs of one event stay together: those of it that the
// channel has already are given up, too.
func (c *channel) fallBehind(seq uint64) {
	for c.waiting() > 0 && c.legs[len(c.legs)-1].seq >= seq {
		asset, amount := c.legs[len(c.legs)-1].money()
		c.count(asset, -int64(amount))
		c.legs = c.legs[:len(c.legs)-1]
	}
	c.live, c.have = false, seq-1
}

// end is how far the channel has every leg, when p is durable up to there.
func (c *channel) end(durable uint64) uint64 {
	if c.live {
		return max(durable, c.have)
	}
	return c.have
}

// group is what the next delivery carries, and up to which seq it moves q on. Legs of one event stay together, for q
// counts events.
func (c *channel) group(durable uint64) (legs []leg, to uint64) {
	waiting := c.legs[c.next:]
	if len(waiting) <= c.limit {
		return waiting, c.end(durable)
	}
	n := c.limit
	for n < len(waiting) && waiting[n].seq == waiting[n-1].seq {
		n++
	}
	if n == len(waiting) {
		return waiting, c.end(durable)
	}
	return waiting[:n], waiting[n-1].seq
}

// settled notes that q has credited everything up to seq, durably.
func (c *channel) settled(seq uint64) {
	for c.next < len(c.legs) && c.legs[c.next].seq <= seq {
		asset, amount := c.legs[c.next].money()
		c.count(asset, -int64(amount))
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
	c.from, c.known = seq, true
	c.have = max(c.have, seq)
}

// restart goes on from the number that q says it has. False: the channel has not got all legs behind it, and has fallen
// behind.
func (c *channel) restart(delivered uint64) bool {
	if delivered >= c.from {
		c.settled(delivered)
		return true
	}
	c.legs, c.next, c.money = nil, 0, nil
	c.from, c.known, c.have, c.live = delivered, true, delivered, false
	return false
}

// backOff doubles the pause before the next try, within bounds.
func (c *channel) backOff(now time.Time, least time.Duration) {
	c.pause = min(max(2*c.pause, least), retryMax)
	c.retryAt = now.Add(c.pause)
}

// goOn ends the backing off.
func (c *channel) goOn() { c.pause, c.retryAt = 0, time.Time{} }
