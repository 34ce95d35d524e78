package keeper

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// channels are all channels whose source this keeper owns. The relay tells it what has become durable, its pump stages
// what can be sent, and as a rows.Sink it hears what became of it. All of them only take the mutex and none blocks.
type channels struct {
	partitions int
	log        *slog.Logger
	wake       func() // something may be sent
	clock      func() time.Time
	offerAgain time.Duration // what was sent and has no answer
	limits     limits

	behind chan struct{} // wakes catchUp

	mu      sync.Mutex
	sources map[int]*source
	ready   []*channel // may have something to send
	flights uint32     // begun: an answer to a partition's earlier stay with us is none to its next
	asking  int
	legs    int // in memory, of all channels
	newLegs int // decided, and not asked for (decidedSince)
	lagging int // channels that fell behind
	swept   time.Time
	counts  ChannelCounts
	packed  []byte // of the row being staged
}

// source is a partition of this keeper and its channels.
type source struct {
	partition int
	durable   uint64
	dest      []*channel // by partition; to itself only if it ever had a leg for itself
	points    points
	dropped   bool
}

// ChannelCounts count what the channels did since the keeper started.
type ChannelCounts struct {
	Groups       uint64 // delivered, empty ones included
	Legs         uint64 // settled by our deliveries
	Gaps         uint64 // answers that named another number than ours
	Rewinds      uint64 // gaps that named a lower one: a destination that forgot what it had said was durable. An alarm
	SuspenseFull uint64 // a destination had no room even on its suspense account. An alarm
	Retries      uint64 // refused or unknown, offered again
	CaughtUp     uint64 // readings of the log for legs that had left memory
}

func newChannels(partitions int, offerAgain time.Duration, log *slog.Logger, wake func()) *channels {
	return &channels{partitions: partitions, offerAgain: offerAgain, log: log, wake: wake, clock: time.Now, limits: usualLimits,
		behind: make(chan struct{}, 1), sources: map[int]*source{}}
}

// begin takes over a partition whose log has been folded up to seq, with the legs that the fold remembered.
func (c *channels) begin(partition int, seq uint64, r *recent, p points) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &source{partition: partition, durable: seq, dest: make([]*channel, c.partitions), points: p}
	c.sources[partition] = s
	for q := range s.dest {
		if q != partition || r.floor(q) > 0 {
			c.to(s, q, r.since(q))
		}
	}
	r.each(func(dest int, l leg) { c.take(c.to(s, dest, r.since(dest)), l) })
	for _, first := range [...]bool{true, false} { // those with legs ask first
		for _, ch := range s.dest {
			if ch != nil && (ch.waiting() > 0) == first {
				c.queue(ch)
			}
		}
	}
}

// drop forgets a partition's channels.
func (c *channels) drop(partition int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[partition]
	if s == nil {
		return
	}
	delete(c.sources, partition)
	s.dropped = true
	for _, ch := range s.dest {
		if ch == nil {
			continue
		}
		if ch.flight.under {
			c.landed(ch)
		}
		c.legs -= ch.waiting()
		if !ch.live {
			c.lagging--
		}
	}
	c.ready = slices.DeleteFunc(c.ready, func(ch *channel) bool { return ch.source == partition })
}

// to is the channel to a partition; a new one knows of the legs behind from.
func (c *channels) to(s *source, dest int, from uint64) *channel {
	if s.dest[dest] == nil {
		s.dest[dest] = newChannel(s.partition, dest, c.limits.group)
		s.dest[dest].from = from
	}
	return s.dest[dest]
}

// report takes the legs of a frame that is in the log and counts; end is the log's cursor behind it. A frame is taken as
// a whole: a group never moves a destination on into the middle of one.
func (c *channels) report(legs []destined, end journal.Cursor) {
	c.mu.Lock()
	c.newLegs += len(legs)
	s := c.sources[end.Partition]
	for i := range legs {
		c.decided(s, legs[i].dest, legs[i].leg)
	}
	s.durable = end.Seq
	s.points.add(end)
	c.mu.Unlock()
	c.wake()
}

// decidedSince is how many legs have been decided since it was asked last.
func (c *channels) decidedSince() (legs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	legs, c.newLegs = c.newLegs, 0
	return legs
}

// decided takes a leg. Guarded by mu, as all below.
func (c *channels) decided(s *source, dest int, l leg) {
	ch := c.to(s, dest, l.seq-1)
	switch {
	case !ch.live || l.seq <= ch.have: // catchUp reads it
		return
	case c.full(ch):
		c.changing(ch, func() { ch.fallBehind(l.seq) })
		c.wakeReader()
	default:
		c.take(ch, l)
	}
	c.queue(ch)
}

func (c *channels) full(ch *channel) bool {
	return ch.waiting() >= c.limits.channel || c.legs >= c.limits.all && ch.waiting() >= c.limits.group
}

func (c *channels) take(ch *channel, l leg) {
	ch.take(l)
	c.legs++
}

// changing does something to a channel and keeps count of what it has.
func (c *channels) changing(ch *channel, do func()) {
	legs, live := ch.waiting(), ch.live
	do()
	c.legs += ch.waiting() - legs
	switch {
	case live && !ch.live:
		c.lagging++
	case !live && ch.live:
		c.lagging--
	}
}

func (c *channels) queue(ch *channel) {
	if !ch.queued {
		ch.queued = true
		c.ready = append(c.ready, ch)
	}
}

func (c *channels) wakeReader() {
	select {
	case c.behind <- struct{}{}:
	default:
	}
}

// pump stages what can be sent, one row a channel, and says when to come again at the latest.
func (c *channels) pump(now time.Time, stage *rows.Stage) (next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := min(sweepEvery, c.offerAgain/2)
	if now.Sub(c.swept) >= every {
		c.swept = now
		c.sweep(now)
	}
	next = now.Add(every)
	later := c.ready[:0]
	for _, ch := range c.ready {
		switch {
		case ch.flight.under: // its answer queues it again
			ch.queued = false
		case now.Before(ch.retryAt):
			if ch.retryAt.Before(next) {
				next = ch.retryAt
			}
			later = append(later, ch)
		case !ch.known && c.asking >= asksMax:
			later = append(later, ch) // an answer wakes us
		default:
			ch.queued = false
			c.send(ch, now, stage)
		}
	}
	clear(c.ready[len(later):])
	c.ready = later
	return next
}

// sweep looks at every channel: for answers that never came, and for destinations that have not been told for long how
// far the source has come, so that a restart would read far back.
func (c *channels) sweep(now time.Time) {
	for _, p := range ordered(c.sources) {
		for _, ch := range c.sources[p].dest {
			if ch == nil {
				continue
			}
			if ch.flight.under && now.Sub(ch.flight.since) >= c.offerAgain {
				c.landed(ch)
				c.counts.Retries++
				c.queue(ch)
			}
			if c.emptyDue(c.sources[p], ch) {
				c.queue(ch)
			}
		}
	}
}

// emptyDue reports whether a channel without legs is to tell its destination how far it has come. The more channels a
// source has, the rarer, so that its share of the events stays small.
func (c *channels) emptyDue(s *source, ch *channel) bool {
	return ch.known && ch.waiting() == 0 && ch.end(s.durable) >= ch.from+uint64(max(emptyAfter, 64*c.partitions))
}

// send stages a channel's next row, if there is one.
func (c *channels) send(ch *channel, now time.Time, stage *rows.Stage) {
	s := c.sources[ch.source]
	row := journal.Row{Op: journal.OpDeliver, Source: ch.source, From: askSeq, UpTo: askSeq}
	c.flights++
	f := flight{number: c.flights, under: true, ask: !ch.known, since: now}
	if ch.known {
		if ch.waiting() == 0 && !c.emptyDue(s, ch) {
			return
		}
		legs, to := ch.group(s.durable)
		c.packed = c.packed[:0]
		for i := range legs {
			c.packed = append(c.packed, legs[i].packed[:]...)
		}
		f.to, f.legs = to, len(legs)
		row.From, row.UpTo = ch.from, to
		row.SetLegs(c.packed)
	} else {
		c.asking++
	}
	ch.flight = f
	stage.Add(ch.dest, &row, c, uint64(f.number)<<32|uint64(ch.source)<<16|uint64(ch.dest))
}

// landed ends a channel's flight.
func (c *channels) landed(ch *channel) flight {
	f := ch.flight
	ch.flight.under = false
	if f.ask {
		c.asking--
	}
	return f
}

// Settle implements rows.Sink: the outcomes are durable, or nobody knows.
func (c *channels) Settle(outs []rows.Outcome) {
	now := c.clock()
	c.mu.Lock()
	for i := range outs {
		o := &outs[i]
		s := c.sources[int(o.Tag>>16&0xffff)]
		if s == nil {
			continue // it has left us
		}
		ch := s.dest[int(o.Tag&0xffff)]
		if ch == nil || !ch.flight.under || ch.flight.number != uint32(o.Tag>>32) {
			continue // an answer to what has been given up
		}
		c.changing(ch, func() { c.settle(s, ch, o, now) })
		if c.lagging > 0 { // there may be room
			c.wakeReader()
		}
		c.queue(ch)
	}
	c.mu.Unlock()
	c.wake()
}

func (c *channels) settle(s *source, ch *channel, o *rows.Outcome, now time.Time) {
	f := c.landed(ch)
	switch o.Status {
	case journal.Delivered:
		c.counts.Groups++
		c.counts.Legs += uint64(f.legs)
		ch.settled(f.to)
		ch.goOn()
		ch.limit = c.limits.group
	case journal.DeliveryGap:
		c.gap(s, ch, f, o.Detail, now)
	case journal.SuspenseFull: // less at a time gets as far as there is room
		c.counts.SuspenseFull++
		c.log.Error("no room on a suspense account, legs wait", "source", ch.source, "dest", ch.dest, "legs", f.legs)
		ch.limit = max(1, f.legs/2)
		if f.legs > 1 {
			ch.goOn()
		} else {
			ch.backOff(now, suspenseAgain)
		}
	default:
		c.counts.Retries++
		ch.backOff(now, retryMin)
	}
}

// gap goes on from the number that the destination names.
func (c *channels) gap(s *source, ch *channel, f flight, delivered uint64, now time.Time) {
	if !f.ask {
		c.counts.Gaps++
	}
	if delivered > max(s.durable, ch.have) {
		if !ch.broken {
			c.log.Error("a destination has credited more than the source's log holds; nothing more is delivered",
				"source", ch.source, "dest", ch.dest, "delivered", delivered, "durable", s.durable)
		}
		ch.broken, ch.known = true, false
		ch.backOff(now, retryMax)
		return
	}
	if ch.known && delivered < ch.from {
		c.counts.Rewinds++
		c.log.Error("a destination has less than it said was durable", "source", ch.source, "dest", ch.dest,
			"delivered", delivered, "before", ch.from)
	}
	ch.broken = false
	ch.goOn()
	ch.restart(delivered)
}

// moved says that a destination has a new epoch: what is on the way to it may be lost, and what it has is asked again.
func (c *channels) moved(dest int) {
	c.mu.Lock()
	for _, p := range ordered(c.sources) {
		if ch := c.sources[p].dest[dest]; ch != nil {
			ch.known = false
			ch.goOn()
			c.queue(ch)
		}
	}
	c.mu.Unlock()
	c.wake()
}
