package reconcile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/projector/view"
)

// viewCheck holds the projection of one partition against the replay. While it comes by, every event is compared with the
// stored one; lines of statements and ids, which lie in other orders, are summed up on both sides. At the projection's cursor
// the sums are compared, and everything else; where they differ, the partition is replayed once more, line by line and id by
// id. A nil viewCheck checks nothing.
type viewCheck struct {
	audit   *audit
	reading *view.Reading
	cursor  journal.Cursor
	done    bool
	lines   sum // of the lines that the events made
	ids     sum // of the key records that they made
}

// sum tells collections apart, whatever their order: against accidents, the chain is against malice.
type sum struct{ n, of uint64 }

func (s *sum) add(words ...uint64) {
	m := uint64(0x243f6a8885a308d3)
	for _, w := range words {
		m = (m ^ w) * 0x9e3779b97f4a7c15
		m ^= m >> 29
	}
	s.n++
	s.of += m ^ m>>32
}

func (s *sum) line(h *journal.Handle, l *view.Line) {
	leg := uint64(l.Leg) << 1
	if l.Flagged {
		leg |= 1
	}
	s.add(binary.BigEndian.Uint64(h[:]), uint64(binary.BigEndian.Uint32(h[8:])), l.Version, l.Seq, uint64(l.TimeMS), leg,
		uint64(l.AvailableChange), uint64(l.ReservedChange), uint64(l.AvailableAfter), uint64(l.ReservedAfter))
}

const projection = "projection"

func (v *viewCheck) reflects(seq uint64) bool { return v != nil && seq <= v.cursor.Seq }

// changed sums up a line of a statement.
func (v *viewCheck) changed(w *walker, e *journal.Event, c *journal.Change, leg int) {
	if !v.reflects(e.Seq) {
		return
	}
	v.lines.line(&c.Account, &view.Line{Version: c.After.Version, Seq: e.Seq, TimeMS: w.timeMS, Leg: leg, Flagged: c.Flagged,
		AvailableChange: c.After.Available - c.Before.Available, ReservedChange: c.After.Reserved - c.Before.Reserved,
		AvailableAfter: c.After.Available, ReservedAfter: c.After.Reserved})
}

// applied compares the event with the one that the projection would answer from.
func (v *viewCheck) applied(w *walker, e *journal.Event) {
	if !v.reflects(e.Seq) {
		return
	}
	keyed := w.row.Op.Keyed() || e.Status == journal.Tombstone
	if keyed {
		v.ids.add(view.HashOf(w.row.ID), e.Seq)
	}
	have, _, ok, err := v.reading.Event(e.Partition, e.Seq)
	if err == nil && ok && have.Position == e.Position && have.TimeMS == e.TimeMS && have.Status == e.Status && string(have.Packed) == string(e.Packed) {
		return
	}
	d := Difference{Where: projection, What: "an event is not the journal's", Partition: e.Partition, Position: e.String(), Have: hexOf(have.Packed), Want: hexOf(e.Packed)}
	switch {
	case err != nil:
		d.Have = err.Error()
	case !ok:
		d.What, d.Have = "an event is missing", ""
	}
	if keyed {
		d.ID = hexOf(w.row.ID[:])
	}
	v.audit.differ(d)
}

func lineText(e *view.Entry) string {
	return fmt.Sprintf("version %d %v id %x amount %d available %+d = %d reserved %+d = %d other %x flagged %v at %v", e.Version, e.Of, e.ID, e.Amount,
		e.AvailableChange, e.AvailableAfter, e.ReservedChange, e.ReservedAfter, e.Counterparty, e.Flagged, e.Position)
}

// arrived compares, once the replay is at the projection's cursor, the cursor itself, the sums, and what must not be there.
func (v *viewCheck) arrived(ctx context.Context, w *walker) error {
	if v == nil || v.done || w.cursor.Offset != v.cursor.Offset {
		return nil
	}
	v.done = true
	if w.cursor != v.cursor {
		v.audit.differ(Difference{Where: projection, What: "its cursor is not the journal's at this record", Partition: v.cursor.Partition,
			Position: journal.Position{Partition: w.cursor.Partition, Epoch: w.cursor.Epoch, Seq: w.cursor.Seq}.String(), Have: cursorText(&v.cursor), Want: cursorText(&w.cursor)})
	}
	same, err := v.summed()
	if err != nil {
		v.audit.unreadable(w, projection, err)
	}
	if !same {
		if err := v.oneByOne(ctx, w); err != nil {
			return err
		}
		err = v.extraEntries(w)
	}
	if err = errors.Join(err, v.listings(w), v.captures(w)); err != nil {
		v.audit.unreadable(w, projection, err)
	}
	return nil
}

// summed compares what the projection has with what came by.
func (v *viewCheck) summed() (same bool, err error) {
	var lines, ids sum
	p := v.cursor.Partition
	err = v.reading.EachLine(p, func(h journal.Handle, l *view.Line) error { lines.line(&h, l); return nil })
	err = errors.Join(err, v.reading.EachID(p, func(hash, seq uint64) error { ids.add(hash, seq); return nil }))
	return err == nil && lines == v.lines && ids == v.ids, err
}

func cursorText(c *journal.Cursor) string {
	return fmt.Sprintf("offset %d epoch %d seq %d chain %x", c.Offset, c.Epoch, c.Seq, c.Chain[:8])
}

// extraEntries finds lines that no event made: the others were looked at as their events came by.
func (v *viewCheck) extraEntries(w *walker) error {
	var account journal.Handle
	first, next := true, uint64(0) // the version that is due, going down
	return v.reading.EachLine(v.cursor.Partition, func(h journal.Handle, l *view.Line) error {
		version := l.Version
		if first || h != account {
			first, account, next = false, h, w.memory.Accounts[h].Version
		}
		if version > 0 && version <= next { // one between is missing, which was said
			next = version - 1
			return nil
		}
		d := Difference{Where: projection, What: "a line of the statement that no event made", Partition: v.cursor.Partition, Account: v.audit.name(account),
			Have: fmt.Sprintf("version %d at %d", version, l.TimeMS)}
		if e, ok, err := v.reading.Entry(h, l.TimeMS, version); err == nil && ok {
			d.Have = lineText(&e)
		}
		v.audit.differ(d)
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
