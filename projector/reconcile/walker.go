package reconcile

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
)

// walker replays one partition.
type walker struct {
	audit  *audit
	cursor journal.Cursor
	book   *journal.Book
	memory *journal.Memory
	end    int64 // of the log, as far as this audit reads it
	report PartitionReport

	damaged bool // it is read no further
	offset  int64
	event   *journal.Event // being applied
	row     journal.Row    // its row
	leg     int            // of a delivery, the next one
	timeMS  int64          // its time, never going back
	sources []*source      // not compared yet, in the order of their `after`
	claims  []Dump         // what shards say of themselves
	view    *viewCheck
}

func newWalker(a *audit, partition int) *walker {
	m := journal.NewMemory()
	w := &walker{audit: a, cursor: journal.Cursor{Partition: partition}, memory: m}
	w.report = PartitionReport{Partition: partition, Dropped: map[journal.Verdict]int64{}}
	w.book = &journal.Book{Partition: partition, Partitions: a.config.Log.Partitions(), State: &watched{m, w}}
	return w
}

// plain is the Book without the watching state: what has a dump and a digest.
func (w *walker) plain() *journal.Book {
	b := *w.book
	b.State = w.memory
	return &b
}

var errEnough = errors.New("enough")

// advance takes records up to end, at most so many (0: all), and no frame behind the one that brings it to the seq until
// (0: no such bound). Damage is noted, not answered: an error is of the reading.
func (w *walker) advance(ctx context.Context, records int, until uint64) error {
	if w.damaged || w.cursor.Offset >= w.end || (until > 0 && w.book.Seq >= until) {
		return nil
	}
	taken := 0
	w.offset = w.cursor.Offset
	_, err := w.audit.config.Log.Read(ctx, w.cursor.Partition, w.cursor.Offset, func(offset int64, record []byte) error {
		if offset >= w.end {
			return errEnough
		}
		w.offset = offset
		if err := w.take(ctx, record); err != nil {
			return err
		}
		w.offset = w.cursor.Offset
		if taken++; taken == records || (until > 0 && w.book.Seq >= until) {
			return errEnough
		}
		return nil
	})
	switch {
	case err == nil || errors.Is(err, errEnough):
		return nil
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrBadFrame):
		w.damage(err)
		return nil
	}
	return fmt.Errorf("read partition %d: %w", w.cursor.Partition, err)
}

// damage says where the journal cannot be believed any more.
func (w *walker) damage(err error) {
	w.damaged = true
	offset := w.offset
	at := journal.Position{Partition: w.cursor.Partition, Epoch: w.cursor.Epoch, Seq: w.book.Seq + 1}
	w.audit.differ(Difference{Where: "journal", What: err.Error(), Partition: at.Partition, Position: at.String(), Offset: &offset})
}

func (w *walker) take(ctx context.Context, record []byte) error {
	before := w.cursor
	frame, verdict, err := w.cursor.Next(w.offset, record)
	if err == nil && verdict == journal.Accepted {
		err = frame.EachEvent(w.apply)
	}
	if err != nil {
		w.cursor = before // a damaged frame does not count
		return err
	}
	if verdict != journal.Accepted {
		w.report.Dropped[verdict]++
	}
	return w.view.arrived(ctx, w)
}

func (w *walker) apply(e *journal.Event) error {
	if _, err := w.row.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	w.suspect(e)
	w.event, w.timeMS, w.leg = e, max(w.book.TimeMS, e.TimeMS), 0
	if err := w.book.ApplyRow(e, &w.row, w); err != nil {
		return err
	}
	if w.row.Op == journal.OpDeliver {
		w.audit.channel(w.row.Source, e.Partition).deliver(e, &w.row)
	}
	w.view.applied(w, e)
	w.compare()
	return nil
}

// suspect looks for what the Book accepts and a shard would not have done.
func (w *walker) suspect(e *journal.Event) {
	offset := w.offset
	d := Difference{Where: "journal", Partition: e.Partition, Position: e.String(), Offset: &offset}
	if e.TimeMS < w.book.TimeMS {
		d.What, d.Have, d.Want = "the partition's time goes back", fmt.Sprint(e.TimeMS), fmt.Sprintf("at least %d", w.book.TimeMS)
		w.audit.differ(d)
	}
	if w.row.Op.Keyed() || e.Status == journal.Tombstone {
		k, ok := w.memory.Key(w.row.ID)
		switch {
		case ok:
			d.What, d.ID = "an id has a second outcome", hexOf(w.row.ID[:])
			d.Have, d.Want = fmt.Sprintf("%v (%v)", e.Status, w.row.Op), fmt.Sprintf("the first one alone: %v (%v) at seq %d", k.Status, k.Op, k.Seq)
			w.audit.differ(d)
		case w.book.EvictedMS > w.row.ClearedMS && w.memory.MaybeEvicted(w.row.ID):
			d.What, d.ID = "an id was executed though it may be one that was evicted, and nobody had looked", hexOf(w.row.ID[:])
			d.Have, d.Want = fmt.Sprintf("%v (%v)", e.Status, w.row.Op), fmt.Sprintf("cleared up to %d", w.book.EvictedMS)
			w.audit.differ(d)
		}
	}
}

// Changed implements journal.Effects.
func (w *walker) Changed(e *journal.Event, c journal.Change) {
	w.view.changed(w, e, &c, w.leg)
	if w.row.Op == journal.OpDeliver {
		w.leg++
	}
}

// Leg implements journal.Effects.
func (w *walker) Leg(e *journal.Event, l journal.Leg) {
	w.audit.channel(e.Partition, l.Payee.Partition(w.book.Partitions)).decide(e, l)
}

// finish completes the partition's report.
func (w *walker) finish() PartitionReport {
	r := &w.report
	digest := w.plain().Digest()
	r.Records, r.Epoch, r.Seq, r.TimeMS = w.cursor.Offset, w.cursor.Epoch, w.book.Seq, w.book.TimeMS
	r.Accounts, r.Chain, r.Digest = len(w.memory.Accounts), hexOf(w.cursor.Chain[:]), hexOf(digest[:])
	return *r
}
