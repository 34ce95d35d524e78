package reconcile

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"walletd/journal"
)

// seek looks for the first event after which a record of a compared state cannot be right: the one after the last at which
// the journal gave the record this value; if it never did, the last event that touched the record.
type seek struct {
	difference *Difference
	partition  int
	record     record
	have       string
	upTo       uint64

	matched bool // the journal gave it this value
	behind  *journal.Position
	last    *journal.Position
}

func (s *seek) changed(at journal.Position, to string) {
	if at.Seq > s.upTo {
		return
	}
	s.last = &at
	switch {
	case to == s.have:
		s.matched, s.behind = true, nil
	case s.matched && s.behind == nil:
		s.behind = &at
	}
}

func (s *seek) found() *journal.Position {
	if s.matched {
		return s.behind
	}
	return s.last
}

// differs notes a record that is not right; the event is found later.
func (a *audit) differs(w *walker, s *source, r record, have string) {
	d := Difference{Where: s.where, Partition: w.cursor.Partition, Have: describe(r, have), Want: describe(r, valueOf(w.memory, r))}
	switch {
	case have == "":
		d.What = fmt.Sprintf("a missing %v", r.kind)
	case d.Want == "":
		d.What = fmt.Sprintf("a %v that no event made", r.kind)
	default:
		d.What = fmt.Sprintf("a wrong %v", r.kind)
	}
	switch r.kind {
	case accountRecord, detailsRecord:
		d.Account = a.name(journal.Handle([]byte(r.key)))
	case keyRecord, reservationRecord:
		d.ID = hexOf([]byte(r.key))
	case deliveredRecord:
		d.What += fmt.Sprintf(" of source %d", binary.BigEndian.Uint16([]byte(r.key)))
	}
	if noted := a.differ(d); noted != nil {
		a.pending = append(a.pending, seek{difference: noted, partition: w.cursor.Partition, record: r, have: have, upTo: s.after, matched: have == ""})
	}
}

// searching reports whether this is the second pass.
func (a *audit) searching() bool { return a.search != nil }

// located tells the seeks of a record that it changes.
func (a *audit) located(w *walker, r record, to string) {
	for _, s := range a.search[w.cursor.Partition][r] {
		s.changed(w.event.Position, to)
	}
}

// locate replays once more what has a difference, to find the events: nothing of that is remembered the first time, when
// there is mostly nothing to find.
func (a *audit) locate(ctx context.Context) error {
	second := newAudit(a.config)
	second.search = map[int]map[record][]*seek{}
	upTo := map[int]uint64{}
	for i := range a.pending {
		s := &a.pending[i]
		p := s.partition
		if second.search[p] == nil {
			second.search[p] = map[record][]*seek{}
		}
		second.search[p][s.record] = append(second.search[p][s.record], s)
		upTo[p] = max(upTo[p], s.upTo)
	}
	for _, first := range a.walkers {
		p := first.cursor.Partition
		if upTo[p] == 0 {
			continue
		}
		w := newWalker(second, p)
		w.end = first.cursor.Offset
		if err := w.advance(ctx, 0, upTo[p]); err != nil {
			return err
		}
	}
	for i := range a.pending {
		s := &a.pending[i]
		if at := s.found(); at != nil {
			s.difference.Position = at.String()
		}
	}
	return nil
}

// describe renders a packed record for people; "" for none.
func describe(r record, value string) string {
	if value == "" {
		return ""
	}
	b := []byte(value)
	switch r.kind {
	case accountRecord:
		if a, err := journal.ParseAccount(b); err == nil {
			return fmt.Sprintf("available %d reserved %d version %d flags %d status_seq %d asset %d overdraft_limit %d", a.Available, a.Reserved, a.Version, a.Flags, a.StatusSeq, a.Asset, a.OverdraftLimit)
		}
	case detailsRecord:
		if len(b) > 7 {
			return strings.ToValidUTF8(string(b[7:]), "?")
		}
	case keyRecord:
		if k, err := journal.ParseKeyRecord(b); err == nil {
			return fmt.Sprintf("%v %v at seq %d epoch %d time_ms %d detail %d content %x", k.Op, k.Status, k.Seq, k.Epoch, k.TimeMS, k.Detail, k.Content)
		}
	case reservationRecord:
		if x, err := journal.ParseReservation(b); err == nil {
			return fmt.Sprintf("%v amount %d remaining %d captured %d asset %d payer %x to %x created_ms %d expires_ms %d", x.Status, x.Amount, x.Remaining, x.Captured, x.Asset, x.Payer, x.To, x.CreatedMS, x.ExpiresMS)
		}
	case deliveredRecord:
		if len(b) == 8 {
			return fmt.Sprintf("seq %d", binary.BigEndian.Uint64(b))
		}
	}
	return hexOf(b)
}
