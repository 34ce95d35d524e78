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
	for _, p := range ordered(c.sources) {
		s := c.sources[p]
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
	partial      bool       // it did not begin at the start: reservations may be missing
	legs         []destined // of the frame
	unknown      []place    // of the frame: confirms whose leg cannot be told, since their reservation is older than the start
}

// place is where a leg goes, and the seq that decided it.
type place struct {
	dest int
	seq  uint64
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
	r.legs, r.unknown = r.legs[:0], r.unknown[:0]
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
	case errors.Is(err, errUnknownReservation) && r.partial:
		if row.Verdict != journal.VerdictLocal {
			r.unknown = append(r.unknown, place{row.To.Partition(r.c.partitions), e.Seq})
		}
		return nil
	case err != nil:
		return fmt.Errorf("event %v: %w", e.Position, err)
	case ok:
		r.legs = append(r.legs, destined{dest: l.Payee.Partition(r.c.partitions), leg: packLeg(e.Seq, l)})
	}
	return nil
}

// lacks reports whether a channel is to get the legs of a frame that begins with the seq first: it has not got all, and did
// not stop in an earlier frame.
func (ch *channel) lacks(first uint64) bool { return !ch.live && ch.known && ch.have+1 >= first }

// hand gives the channels that fell behind what a frame had for them. It answers errEnough when none can take more, and
// errUnknownReservation when one lacks a leg that cannot be told. Which channels lack what is looked at only here, under one
// lock: it changes while the frame is read.
func (r *reading) hand(first uint64) error {
	c, s, last := r.c, r.s, r.cursor.Seq
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.dropped {
		return errEnough
	}
	for _, u := range r.unknown {
		if ch := s.dest[u.dest]; ch != nil && ch.lacks(first) && u.seq > ch.have {
			return errUnknownReservation
		}
	}
	s.points.add(r.cursor)
	more := false
	for _, ch := range s.dest {
		if ch == nil || !ch.lacks(first) {
			continue
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
