package view

import (
	"walletd/journal"
)

// effects write what an event did: entries, captures, flagged credits, and the channels' tallies.
type effects struct {
	f       *Fold
	row     journal.Row
	leg     int // of a delivery, the next one
	flagged int
	number  int // of the changes so far
}

// Changed implements journal.Effects.
func (x *effects) Changed(e *journal.Event, c journal.Change) {
	s := x.f.state
	s.line(e, &c, x.leg)
	if x.row.Op == journal.OpDeliver {
		x.leg++
	}
	x.f.tally.add(c.After.Asset, int64(c.After.Available+c.After.Reserved)-int64(c.Before.Available+c.Before.Reserved))
	if x.row.Op == journal.OpConfirm && c.After.Reserved < c.Before.Reserved { // the payer's side
		s.key = captureKey(s.key[:0], s.partition, c.ID, e.Seq)
		s.put(s.key, capture{x.row.ID, c.Amount}.append(nil))
	}
	if c.Flagged {
		s.key = flaggedKey(s.key[:0], s.partition, e.Seq, x.flagged)
		s.val = appendFlagged(s.val[:0], c.Account, s.now.timeMS, c.After.Version)
		s.put(s.key, s.val)
		x.flagged++
	}
	if x.number++; x.f.listener != nil {
		x.f.listener.Changed(e, &x.row, x.number, c)
	}
}

// Leg implements journal.Effects.
func (x *effects) Leg(e *journal.Event, l journal.Leg) { x.f.tally.send(e.Seq, &l) }
