package reconcile

import (
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/projector/view"
)

// viewCheck holds the projection of one partition against the replay: while it comes by, every line of every statement
// and every row; at the projection's cursor, everything else. A nil viewCheck checks nothing.
type viewCheck struct {
	audit   *audit
	reading *view.Reading
	cursor  journal.Cursor
	done    bool
}

const projection = "projection"

func (v *viewCheck) reflects(seq uint64) bool { return v != nil && seq <= v.cursor.Seq }

// changed compares one line of a statement.
func (v *viewCheck) changed(w *walker, e *journal.Event, c *journal.Change) {
	if !v.reflects(e.Seq) {
		return
	}
	want := view.Entry{
		Account: c.Account, Version: c.After.Version, Of: c.Of, ID: c.ID, Counterparty: c.Other, Amount: c.Amount, Flagged: c.Flagged,
		AvailableChange: c.After.Available - c.Before.Available, ReservedChange: c.After.Reserved - c.Before.Reserved,
		AvailableAfter: c.After.Available, ReservedAfter: c.After.Reserved, TimeMS: w.timeMS, Position: e.Position,
	}
	have, ok, err := v.reading.Entry(c.Account, w.timeMS, c.After.Version)
	if err == nil && ok && have == want {
		return
	}
	at := e.Position
	d := Difference{Where: projection, What: "a line of the statement is not what the event did", Partition: e.Partition, Account: v.audit.name(c.Account),
		Position: at.String(), Want: line(&want)}
	switch {
	case err != nil:
		d.Have = err.Error()
	case ok:
		d.Have = line(&have)
	default:
		d.What = "a line of the statement is missing"
	}
	v.audit.differ(d)
}

func line(e *view.Entry) string {
	return fmt.Sprintf("version %d %v id %x amount %d available %+d = %d reserved %+d = %d other %x flagged %v at %v", e.Version, e.Of, e.ID, e.Amount,
		e.AvailableChange, e.AvailableAfter, e.ReservedChange, e.ReservedAfter, e.Counterparty, e.Flagged, e.Position)
}

// applied compares the row that a look-up of the transfer would answer from.
func (v *viewCheck) applied(w *walker, e *journal.Event) {
	if !v.reflects(e.Seq) || (!w.row.Op.Keyed() && e.Status != journal.Tombstone) {
		return
	}
	_, row, _, err := v.reading.Keyed(w.row.ID)
	if err != nil {
		row = []byte(err.Error())
	}
	if string(row) != string(e.Packed) {
		v.audit.differ(Difference{Where: projection, What: "a transfer's row is not the event's", Partition: e.Partition, ID: hexOf(w.row.ID[:]),
			Position: e.String(), Have: hexOf(row), Want: hexOf(e.Packed)})
	}
}

// arrived compares, once the replay is at the projection's cursor, the cursor itself and what must not be there.
func (v *viewCheck) arrived(w *walker) {
	if v == nil || v.done || w.cursor.Offset != v.cursor.Offset {
		return
	}
	v.done = true
	if w.cursor != v.cursor {
		v.audit.differ(Difference{Where: projection, What: "its cursor is not the journal's at this record", Partition: v.cursor.Partition,
			Position: journal.Position{Partition: w.cursor.Partition, Epoch: w.cursor.Epoch, Seq: w.cursor.Seq}.String(), Have: cursorText(&v.cursor), Want: cursorText(&w.cursor)})
	}
	if err := errors.Join(v.extraEntries(w), v.listings(w), v.captures(w)); err != nil {
		v.audit.unreadable(w, projection, err)
	}
}

func cursorText(c *journal.Cursor) string {
	return fmt.Sprintf("offset %d epoch %d seq %d chain %x", c.Offset, c.Epoch, c.Seq, c.Chain[:8])
}

// extraEntries finds lines that no event made: the others were looked at as their events came by.
func (v *viewCheck) extraEntries(w *walker) error {
	var account journal.Handle
	next := uint64(1)
	return v.reading.EachEntry(v.cursor.Partition, func(e view.Entry) error {
		if e.Account != account {
			account, next = e.Account, 1
		}
		if e.Version == next && next <= w.memory.Accounts[account].Version {
			next++
			return nil
		}
		if e.Version > next && e.Version <= w.memory.Accounts[account].Version { // one before it is missing, which was said
			next = e.Version + 1
			return nil
		}
		v.audit.differ(Difference{Where: projection, What: "a line of the statement that no event made", Partition: v.cursor.Partition,
			Account: v.audit.name(account), Have: line(&e)})
		return nil
	})
}

// listings compares the lists of reservations: every one stands in its payer's list of all, and in the one of its status.
func (v *viewCheck) listings(w *walker) error {
	type listed struct {
		status journal.Status
		id     journal.ID
	}
	seen := map[listed]bool{}
	differ := func(what string, id journal.ID) {
		v.audit.differ(Difference{Where: projection, What: what, Partition: v.cursor.Partition, ID: hexOf(id[:])})
	}
	err := v.reading.EachListed(v.cursor.Partition, func(payer journal.Handle, status journal.Status, id journal.ID) error {
		r, ok := w.memory.Reservations[id]
		if !ok {
			var err error
			if r, ok, err = v.evicted(w, id); err != nil {
				return err
			}
		}
		if !ok || r.Payer != payer || (status != journal.None && status != r.Status) {
			differ(fmt.Sprintf("a reservation is listed where it does not belong (status %v)", status), id)
		}
		seen[listed{status, id}] = true
		return nil
	})
	for _, id := range sortedIDs(w.memory.Reservations) {
		for _, status := range []journal.Status{journal.None, w.memory.Reservations[id].Status} {
			if err == nil && !seen[listed{status, id}] {
				differ(fmt.Sprintf("a reservation is not listed (status %v)", status), id)
			}
		}
	}
	return err
}

// evicted is a reservation that the replay has forgotten: the projection has it for ever.
func (v *viewCheck) evicted(w *walker, id journal.ID) (journal.Reservation, bool, error) {
	r, ok, err := v.reading.Reservation(id)
	ok = ok && r.Reservation.Status != journal.Tried && r.ResolvedMS < w.book.EvictedMS && w.memory.Filter.Has(id)
	return r.Reservation, ok, err
}

// captures compares what each reservation's captures sum up to.
func (v *viewCheck) captures(w *walker) error {
	for _, id := range sortedIDs(w.memory.Reservations) {
		want := w.memory.Reservations[id].Captured
		if want == 0 {
			continue
		}
		r, _, err := v.reading.Reservation(id)
		if err != nil {
			return err
		}
		var have journal.Amount
		for _, c := range r.Captures {
			have += c.Amount
		}
		if have != want {
			v.audit.differ(Difference{Where: projection, What: "a reservation's captures are not what was captured", Partition: v.cursor.Partition,
				ID: hexOf(id[:]), Have: fmt.Sprint(have), Want: fmt.Sprint(want)})
		}
	}
	return nil
}
