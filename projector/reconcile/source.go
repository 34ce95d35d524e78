package reconcile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"walletd/journal"
)

// record names one record of a partition's state.
type record struct {
	kind kind
	key  string
}

type kind byte

const (
	accountRecord kind = iota
	detailsRecord
	keyRecord
	reservationRecord
	deliveredRecord
)

var kindNames = [...]string{"account", "account details", "key record", "reservation", "delivered number"}

func (k kind) String() string { return kindNames[k] }

// source is a state that is compared with the replay: a shard's dump, or the projection's, where before = after.
type source struct {
	where         string
	epoch         uint32 // in which a shard serves; 0: no shard
	before, after uint64
	load          func() (*journal.Memory, error)
	// legal are the values that a record had in (before, after], and at before, for records that changed there.
	legal map[record][]string
}

// active reports whether the event with this seq may have run while the source was read.
func (s *source) active(seq uint64) bool { return s.before < seq && seq <= s.after }

// watched is the replay's state, which tells what changes.
type watched struct {
	*journal.Memory
	w *walker
}

func (s *watched) changing(r record, to string) {
	for _, src := range s.w.sources {
		if !src.active(s.w.book.Seq + 1) {
			continue
		}
		if _, ok := src.legal[r]; !ok {
			src.legal[r] = append(src.legal[r], valueOf(s.Memory, r))
		}
		src.legal[r] = append(src.legal[r], to)
	}
	s.w.audit.located(s.w, r, to)
}

// watching reports whether anyone wants to know what changes: mostly nobody does.
func (s *watched) watching() bool {
	return len(s.w.audit.search[s.w.cursor.Partition]) > 0 || slices.ContainsFunc(s.w.sources, func(src *source) bool { return src.active(s.w.book.Seq + 1) })
}

func (s *watched) SetAccount(h journal.Handle, a journal.Account) {
	if s.watching() {
		s.changing(record{accountRecord, string(h[:])}, string(a.Append(nil)))
	}
	s.Memory.SetAccount(h, a)
}

func (s *watched) SetDetails(h journal.Handle, d []byte) {
	if s.watching() {
		s.changing(record{detailsRecord, string(h[:])}, string(d))
	}
	s.Memory.SetDetails(h, d)
}

func (s *watched) SetKey(id journal.ID, k journal.KeyRecord) {
	if s.watching() {
		s.changing(record{keyRecord, string(id[:])}, string(k.Append(nil)))
	}
	s.Memory.SetKey(id, k)
}

func (s *watched) SetReservation(id journal.ID, r journal.Reservation) {
	if s.watching() {
		s.changing(record{reservationRecord, string(id[:])}, string(r.Append(nil)))
	}
	s.Memory.SetReservation(id, r)
}

// Evict tells what goes.
func (s *watched) Evict(beforeMS int64) {
	if s.watching() {
		for id, k := range s.Keys {
			if k.TimeMS < beforeMS {
				s.changing(record{keyRecord, string(id[:])}, "")
			}
		}
		for id, r := range s.Reservations {
			if r.Status != journal.Tried && r.ResolvedMS < beforeMS {
				s.changing(record{reservationRecord, string(id[:])}, "")
			}
		}
	}
	s.Memory.Evict(beforeMS)
}

func (s *watched) SetDelivered(source int, seq uint64) {
	if s.watching() {
		s.changing(deliveredOf(source), number(seq))
	}
	s.Memory.SetDelivered(source, seq)
}

func deliveredOf(source int) record {
	return record{deliveredRecord, string(binary.BigEndian.AppendUint16(nil, uint16(source)))}
}

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// valueOf is the packed record, "" when there is none.
func valueOf(m *journal.Memory, r record) string {
	switch r.kind {
	case accountRecord:
		if a, ok := m.Accounts[journal.Handle([]byte(r.key))]; ok {
			return string(a.Append(nil))
		}
	case detailsRecord:
		return string(m.DetailsOf[journal.Handle([]byte(r.key))])
	case keyRecord:
		if k, ok := m.Keys[journal.ID([]byte(r.key))]; ok {
			return string(k.Append(nil))
		}
	case reservationRecord:
		if res, ok := m.Reservations[journal.ID([]byte(r.key))]; ok {
			return string(res.Append(nil))
		}
	case deliveredRecord:
		if n := m.DeliveredOf[int(binary.BigEndian.Uint16([]byte(r.key)))]; n > 0 {
			return number(n)
		}
	}
	return ""
}

// unequal calls fn for the name of every record that two states do not have in common. Nearly all they have, and a name is made
// only of those that they do not.
func unequal(a, b *journal.Memory, fn func(record)) {
	eachUnequal(a.Accounts, b.Accounts, func(x, y journal.Account) bool { return x == y }, func(h journal.Handle) { fn(record{accountRecord, string(h[:])}) })
	eachUnequal(a.DetailsOf, b.DetailsOf, bytes.Equal, func(h journal.Handle) { fn(record{detailsRecord, string(h[:])}) })
	eachUnequal(a.Keys, b.Keys, sameKey, func(id journal.ID) { fn(record{keyRecord, string(id[:])}) })
	eachUnequal(a.Reservations, b.Reservations, func(x, y journal.Reservation) bool { return x == y }, func(id journal.ID) { fn(record{reservationRecord, string(id[:])}) })
	eachUnequal(a.DeliveredOf, b.DeliveredOf, func(x, y uint64) bool { return x == y }, func(p int) { fn(deliveredOf(p)) })
}

func sameKey(x, y journal.KeyRecord) bool {
	return x.Status == y.Status && x.Op == y.Op && x.TimeMS == y.TimeMS && x.Epoch == y.Epoch && x.Seq == y.Seq && x.Detail == y.Detail && bytes.Equal(x.Content, y.Content)
}

func eachUnequal[K comparable, V any](a, b map[K]V, same func(x, y V) bool, fn func(K)) {
	for k, x := range a {
		if y, ok := b[k]; !ok || !same(x, y) {
			fn(k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			fn(k)
		}
	}
}

// compare holds every source that is due against the replay, which has come exactly to its `after`.
func (w *walker) compare() {
	for len(w.sources) > 0 && w.sources[0].after <= w.book.Seq {
		s := w.sources[0]
		w.sources = slices.Delete(w.sources, 0, 1) // nothing holds what was compared: a partition's state may be gigabytes
		state, err := s.load()
		if err != nil {
			w.audit.unreadable(w, s.where, err)
			continue
		}
		w.contrast(s, state)
		if s.epoch != 0 && s.epoch < w.book.Epoch {
			at := w.event.Position
			w.audit.differ(Difference{Where: s.where, What: "it holds events of an epoch in which it does not serve", Partition: w.cursor.Partition,
				Position: at.String(), Have: fmt.Sprintf("epoch %d", s.epoch), Want: fmt.Sprintf("at least %d", w.book.Epoch)})
		}
		if s.before == s.after {
			w.report.Compared = append(w.report.Compared, fmt.Sprintf("%s at seq %d", s.where, s.after))
		} else {
			w.report.Compared = append(w.report.Compared, fmt.Sprintf("%s at seq %d to %d", s.where, s.before, s.after))
		}
	}
}

// contrast finds every record that is not as the replay has it, nor as it was while the source was read.
func (w *walker) contrast(s *source, state *journal.Memory) {
	var wrong []record
	look := func(r record) {
		if have := valueOf(state, r); have != valueOf(w.memory, r) && !slices.Contains(s.legal[r], have) {
			wrong = append(wrong, r)
		}
	}
	unequal(state, w.memory, look)
	slices.SortFunc(wrong, func(a, b record) int {
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return strings.Compare(a.key, b.key)
	})
	for _, r := range slices.Compact(wrong) {
		w.audit.differs(w, s, r, valueOf(state, r))
	}
}
