package reconcile

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/projector/view"
)

// oneByOne replays a partition up to the projection's cursor and looks for every line and every id by itself.
type oneByOne struct {
	v      *viewCheck
	book   *journal.Book
	row    journal.Row
	timeMS int64
}

func (v *viewCheck) oneByOne(ctx context.Context, w *walker) error {
	o := &oneByOne{v: v, book: journal.NewBook(v.cursor.Partition, w.book.Partitions)}
	cursor := journal.Cursor{Partition: v.cursor.Partition}
	_, err := v.audit.config.Log.Read(ctx, cursor.Partition, 0, func(offset int64, record []byte) error {
		if offset >= w.cursor.Offset {
			return errEnough
		}
		frame, verdict, err := cursor.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return frame.EachEvent(o.apply)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read partition %d once more: %w", cursor.Partition, err)
	}
	return nil
}

func (o *oneByOne) apply(e *journal.Event) error {
	if _, err := o.row.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	o.timeMS = max(o.book.TimeMS, e.TimeMS)
	if err := o.book.ApplyRow(e, &o.row, o); err != nil {
		return err
	}
	if o.v.reflects(e.Seq) && (o.row.Op.Keyed() || e.Status == journal.Tombstone) {
		o.keyed(e)
	}
	return nil
}

// Changed implements journal.Effects: it compares one line of a statement.
func (o *oneByOne) Changed(e *journal.Event, c journal.Change) {
	v := o.v
	if !v.reflects(e.Seq) {
		return
	}
	want := view.Entry{
		Account: c.Account, Version: c.After.Version, Of: c.Of, ID: c.ID, Counterparty: c.Other, Amount: c.Amount, Flagged: c.Flagged,
		AvailableChange: c.After.Available - c.Before.Available, ReservedChange: c.After.Reserved - c.Before.Reserved,
		AvailableAfter: c.After.Available, ReservedAfter: c.After.Reserved, TimeMS: o.timeMS, Position: e.Position,
	}
	have, ok, err := v.reading.Entry(c.Account, o.timeMS, c.After.Version)
	if err == nil && ok && have == want {
		return
	}
	at := e.Position
	d := Difference{Where: projection, What: "a line of the statement is not what the event did", Partition: e.Partition, Account: v.audit.name(c.Account),
		Position: at.String(), Want: lineText(&want)}
	switch {
	case err != nil:
		d.Have = err.Error()
	case ok:
		d.Have = lineText(&have)
	default:
		d.What = "a line of the statement is missing"
	}
	v.audit.differ(d)
}

// Leg implements journal.Effects.
func (*oneByOne) Leg(*journal.Event, journal.Leg) {}

// keyed looks for the event by its id, as clients do.
func (o *oneByOne) keyed(e *journal.Event) {
	_, row, _, err := o.v.reading.Keyed(o.row.ID)
	if err != nil {
		row = []byte(err.Error())
	}
	if string(row) != string(e.Packed) {
		o.v.audit.differ(Difference{Where: projection, What: "a transfer's row is not the event's", Partition: e.Partition, ID: hexOf(o.row.ID[:]),
			Position: e.String(), Have: hexOf(row), Want: hexOf(e.Packed)})
	}
}
