package sim

import (
	"fmt"
	"slices"
	"sync/atomic"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// audit folds the journal as it grows, and holds against it whatever anybody says.
type audit struct {
	world *world
	of    [partitions]*audited
	told  [partitions]uint64 // the highest seq that a client has been told
	keyed map[journal.ID]happened
	ends  map[journal.ID]happened // how reservations ended
	tombs map[journal.ID]bool
}

// audited is one partition's log, folded to its end.
type audited struct {
	*audit
	partition int
	cursor    journal.Cursor
	book      *journal.Book
	durable   atomic.Uint64 // seq: what the wallet's own goroutines ask for, which a clock wakes without a word from the world
	states    map[journal.Handle][]state
	decided   [partitions][]journal.Leg // legs for another partition, with the seqs that decided them
	seqs      [partitions][]uint64
	credited  [partitions]int // legs of another partition that have been credited here
	moved     int64           // of the event: what it adds to this partition's money
	sent      int64           // and what it sends to others
}

// state is an account behind an event.
type state struct {
	seq uint64
	journal.Account
}

// happened is an event that is in the journal.
type happened struct {
	journal.Position
	op     journal.Op
	status journal.Status
}

func newAudit(w *world) *audit {
	a := &audit{world: w, keyed: map[journal.ID]happened{}, ends: map[journal.ID]happened{}, tombs: map[journal.ID]bool{}}
	for p := range a.of {
		a.of[p] = &audited{audit: a, partition: p, cursor: journal.Cursor{Partition: p}, book: journal.NewBook(p, partitions), states: map[journal.Handle][]state{}}
	}
	return a
}

// record takes the next record of a partition's log.
func (a *audit) record(p int, offset int64, record []byte) {
	of := a.of[p]
	if a.world.failure != nil {
		return
	}
	frame, verdict, err := of.cursor.Next(offset, slices.Clone(record))
	if err != nil {
		a.world.fail("P12: %v", err)
		return
	}
	a.world.note("  journal %d/%d: epoch %d seq %d…%d %s", p, offset, frame.Epoch, frame.FirstSeq, frame.LastSeq(), verdict)
	if verdict != journal.Accepted || frame.Kind != journal.FrameEvents {
		return
	}
	if err := frame.EachEvent(of.event); err != nil {
		a.world.fail("%v", err)
	}
	of.durable.Store(of.book.Seq)
}

func (of *audited) event(e *journal.Event) error {
	r, err := e.Row()
	if err != nil {
		return err
	}
	of.moved, of.sent = 0, 0
	if err := of.ids(e, &r); err != nil {
		return err
	}
	if r.Op == journal.OpDeliver {
		if err := of.delivery(e, &r); err != nil {
			return err
		}
	}
	if err := of.book.Apply(e, of); err != nil {
		return err
	}
	for i := range r.LegCount {
		of.moved -= int64(r.Leg(i).Amount)
	}
	if of.moved+of.sent != 0 {
		return fmt.Errorf("P1: event %v (%v, %v) makes %d, and sends %d", e.Position, r.Op, e.Status, of.moved, of.sent)
	}
	return nil
}

// ids: an id has one effect, and a tombstone none behind it.
func (of *audited) ids(e *journal.Event, r *journal.Row) error {
	h := happened{Position: e.Position, op: r.Op, status: e.Status}
	switch {
	case r.Op.Keyed():
		if before, twice := of.keyed[r.ID]; twice {
			return fmt.Errorf("P4: %v (%v, %v) has the id of %v (%v, %v)", e.Position, r.Op, e.Status, before.Position, before.op, before.status)
		}
		if of.tombs[r.ID] {
			return fmt.Errorf("P6: %v (%v, %v) comes behind its tombstone", e.Position, r.Op, e.Status)
		}
		of.keyed[r.ID] = h
		if r.Op == journal.OpConfirm && e.Status == journal.Confirmed {
			return of.ended(r.Reservation, h)
		}
	case e.Status == journal.Tombstone:
		if before, seen := of.keyed[r.ID]; seen {
			return fmt.Errorf("P6: %v puts a tombstone on %v (%v)", e.Position, before.Position, before.status)
		}
		of.tombs[r.ID] = true
	case r.Op == journal.OpCancel || r.Op == journal.OpExpire:
		return of.ended(r.ID, h)
	}
	return nil
}

func (of *audited) ended(id journal.ID, h happened) error {
	if before, twice := of.ends[id]; twice {
		return fmt.Errorf("P6: %v (%v) ends a reservation that %v (%v) ended", h.Position, h.status, before.Position, before.status)
	}
	of.ends[id] = h
	return nil
}

// delivery: the legs are the source's, in order, all of them up to the number that they move it to.
func (of *audited) delivery(e *journal.Event, r *journal.Row) error {
	source := of.of[r.Source]
	legs, seqs := source.decided[of.partition], source.seqs[of.partition]
	if r.UpTo > source.book.Seq {
		return fmt.Errorf("P9: %v delivers up to %d of partition %d, which is durable up to %d", e.Position, r.UpTo, r.Source, source.book.Seq)
	}
	n := of.credited[r.Source]
	for i := range r.LegCount {
		if n == len(legs) || legs[n] != r.Leg(i) {
			return fmt.Errorf("P9: %v credits a leg of partition %d that is not its next one (%d of %d)", e.Position, r.Source, n, len(legs))
		}
		n++
	}
	if n < len(legs) && seqs[n] <= r.UpTo {
		return fmt.Errorf("P9: %v skips the leg of partition %d at seq %d", e.Position, r.Source, seqs[n])
	}
	of.credited[r.Source] = n
	return nil
}

// Changed implements journal.Effects, as Leg does.
func (of *audited) Changed(e *journal.Event, c journal.Change) {
	of.states[c.Account] = append(of.states[c.Account], state{e.Seq, c.After})
	of.moved += int64(c.After.Available+c.After.Reserved) - int64(c.Before.Available+c.Before.Reserved)
}

func (of *audited) Leg(e *journal.Event, l journal.Leg) {
	q := l.Payee.Partition(partitions)
	of.decided[q], of.seqs[q] = append(of.decided[q], l), append(of.seqs[q], e.Seq)
	of.sent += int64(l.Amount)
}

// durable is the seq up to which a partition's journal has everything.
func (a *audit) durable(p int) uint64 { return a.of[p].durable.Load() }

// marks: nobody says that something is durable which is not.
func (a *audit) marks(from *process, marks []luascripts.Mark) {
	for _, m := range marks {
		if m.Seq > a.durable(m.Partition) {
			a.complain("P8: %s says that partition %d is durable up to %d in epoch %d; it is up to %d", from.name, m.Partition, m.Seq, m.Epoch, a.durable(m.Partition))
		}
	}
}

// complain is fail from a goroutine of the wallet.
func (a *audit) complain(format string, args ...any) {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	a.world.fail(format, args...)
}

// outcome: nothing leaves a partition before the journal has what it depends on (design section 4).
func (a *audit) outcome(from *process, o *rows.Outcome) {
	if o.Status.Retryable() || o.Status == journal.OutcomeUnknown {
		return
	}
	need := o.Position.Seq
	if o.Op == journal.OpCheck {
		need = o.Detail
	}
	if p := o.Position.Partition; need > a.durable(p) {
		a.complain("P8: %s answers %v %v at %v, the journal has %d", from.name, o.Op, o.Status, o.Position, a.durable(p))
	}
}

// account is what an account was behind a seq of its partition.
func (a *audit) account(h journal.Handle, seq uint64) (found journal.Account, ok bool) {
	for _, s := range a.of[h.Partition(partitions)].states[h] {
		if s.seq > seq {
			break
		}
		found, ok = s.Account, true
	}
	return found, ok
}
