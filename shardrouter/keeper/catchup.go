package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
)

// catchUp reads from the log what channels that fell behind lack, until ctx ends. An error is a damaged log.
func (c *channels) catchUp(ctx context.Context, log journal.Log) error {
	var again *source
	var without uint64
	for ctx.Err() == nil {
		s, from := c.laggard()
		if s == nil {
			select {
			case <-c.behind:
			case <-ctx.Done():
			}
			continue
		}
		c.mu.Lock()
		c.counts.CaughtUp++
		start := s.points.before(s.partition, from)
		c.mu.Unlock()
		if s == again && from == without { // there is too little room for a whole event: wait for more
			pause(ctx, retryMin)
		}
		again, without = s, from
		err := c.read(ctx, log, s, start)
		if errors.Is(err, errUnknownReservation) && start.Offset > 0 {
			err = c.read(ctx, log, s, journal.Cursor{Partition: s.partition})
		}
		switch {
		case errors.Is(err, journal.ErrDamaged):
			return fmt.Errorf("read the legs of partition %d behind seq %d: %w", s.partition, from, err)
		case err != nil && ctx.Err() == nil:
			c.log.Warn("log not read, legs wait", "partition", s.partition, "error", err)
			pause(ctx, time.Second)
		}
	}
	return nil
}

// laggard is a source with a channel that fell behind and has room again, and the seq behind which it lacks legs.
func (c *channels) laggard() (found *source, from uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sources {
		for _, ch := range s.dest {
			behind := ch != nil && ch.known && !ch.live && ch.waiting() <= c.limits.channel/2 && !c.full(ch)
			if behind && (found == nil || (found == s && ch.have < from)) {
				found, from = s, ch.have
			}
		}
	}
	return found, from
}

var errEnough = errors.New("enough read")

// reading is one pass over a source's log.
type reading struct {
	c            *channels
	s            *source
	cursor       journal.Cursor
	reservations *reservations
	partial      bool // it did not begin at the start: reservations may be missing
	legs         []destined
}

// read passes over the source's log from a cursor on, until no channel of it can take more or the end.
func (c *channels) read(ctx context.Context, log journal.Log, s *source, start journal.Cursor) error {
	r := reading{c: c, s: s, cursor: start, reservations: newReservations(), partial: start.Offset > 0}
	_, err := log.Read(ctx, s.partition, start.Offset, r.record)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (r *reading) record(offset int64, record []byte) error {
	frame, verdict, err := r.cursor.Next(offset, record)
	if err != nil || verdict != journal.Accepted || frame.Kind != journal.FrameEvents {
		return err
	}
	r.legs = r.legs[:0]
	if err := frame.EachEvent(r.event); err != nil {
		return err
	}
	return r.hand(frame.FirstSeq)
}

func (r *reading) event(e *journal.Event) error {
	row, err := e.Row()
	if err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	l, ok, err := r.reservations.follow(e, &row)
	switch {
	case errors.Is(err, errUnknownReservation) && r.partial && !r.wanted(e, &row):
		return nil
	case err != nil:
		return fmt.Errorf("event %v: %w", e.Position, err)
	case ok:
		r.legs = append(r.legs, destined{dest: l.Payee.Partition(r.c.partitions), leg: packLeg(e.Seq, l)})
	}
	return nil
}

// wanted reports whether a confirm decides a leg that a channel lacks.
func (r *reading) wanted(e *journal.Event, row *journal.Row) bool {
	if row.Verdict == journal.VerdictLocal {
		return false
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	ch := r.s.dest[row.To.Partition(r.c.partitions)]
	return ch != nil && !ch.live && e.Seq > ch.have
}

// hand gives the channels that fell behind what a frame had for them. It answers errEnough when none can take more.
func (r *reading) hand(first uint64) error {
	c, s, last := r.c, r.s, r.cursor.Seq
	c.mu.Lock()
	defer c.mu.Unlock()
	s.points.add(r.cursor)
	more := false
	for _, ch := range s.dest {
		if ch == nil || ch.live || !ch.known || ch.have+1 < first {
			continue // it has all, or stopped in an earlier frame
		}
		c.changing(ch, func() {
			if last > ch.have {
				c.fill(ch, r.legs, last)
			}
			ch.live = ch.have >= s.durable
		})
		more = more || (!ch.live && !c.full(ch))
		c.queue(ch)
	}
	c.wake()
	if !more {
		return errEnough
	}
	return nil
}

// fill adds the legs for a channel in (have, last], as many as there is room for.
func (c *channels) fill(ch *channel, legs []destined, last uint64) {
	for i := range legs {
		l := &legs[i]
		if l.dest != ch.dest || l.leg.seq <= ch.have {
			continue
		}
		if c.full(ch) {
			ch.fallBehind(l.leg.seq)
			return
		}
		ch.take(l.leg)
	}
	ch.have = last
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
