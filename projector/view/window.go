package view

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
)

// window is what a fold knows about the key window beyond the store: what the open batch has put into it. The store keeps
// every key for ever; the window's own records say which of them a shard has, so that a snapshot or an eviction costs what is
// in the window, not what is in the history.
type window struct {
	evictedMS int64
	added     []addition                   // to keyWindow and keyResolved since the last commit
	filter    map[int]*journal.FilterBlock // that the open batch has changed
}

type addition struct {
	kind byte
	ms   int64
	id   journal.ID
}

func (w *window) committed() {
	w.added = w.added[:0]
	clear(w.filter)
}

// rewind goes back to what is committed.
func (w *window) rewind(evictedMS int64) {
	w.evictedMS = evictedMS
	w.committed()
}

// within notes a key record, or a resolved reservation, by its time.
func (s *state) within(kind byte, ms int64, id journal.ID) {
	s.key = timeKey(s.key[:0], kind, s.partition, ms, id)
	s.put(s.key, nil)
	s.window.added = append(s.window.added, addition{kind, ms, id})
}

// Evict implements journal.State. The ids go from the window into the filter; the acts themselves stay.
func (s *state) Evict(beforeMS int64) {
	s.old(keyWindow, beforeMS, func(id journal.ID) {
		if b := s.block(journal.FilterBlockOf(id)); b != nil {
			b.Add(id)
		}
	})
	s.old(keyResolved, beforeMS, func(id journal.ID) {
		s.key = idKey(s.key[:0], keyLive, s.partition, id)
		if err := s.batch.Delete(s.key, nil); err != nil {
			s.fail(fmt.Errorf("%w: evict: %w", ErrStore, err))
		}
	})
	s.window.evictedMS = beforeMS
}

// old takes out of the window what is older than beforeMS.
func (s *state) old(kind byte, beforeMS int64, fn func(journal.ID)) {
	from := binary.BigEndian.AppendUint64(prefix(nil, kind, s.partition), uint64(s.window.evictedMS))
	to := binary.BigEndian.AppendUint64(prefix(nil, kind, s.partition), uint64(beforeMS))
	err := scanRange(s.db, from, to, func(key, _ []byte) error {
		if len(key) != timeKeySize {
			return badRecord("key of the window", key)
		}
		fn(journal.ID(key[prefixSize+8:]))
		return nil
	})
	if err != nil {
		s.fail(err)
	}
	rest := s.window.added[:0]
	for _, a := range s.window.added {
		switch {
		case a.kind != kind || a.ms >= beforeMS:
			rest = append(rest, a)
		default:
			fn(a.id)
		}
	}
	s.window.added = rest
	if err := s.batch.DeleteRange(from, to, nil); err != nil {
		s.fail(fmt.Errorf("%w: evict: %w", ErrStore, err))
	}
}

// MaybeEvicted implements journal.State.
func (s *state) MaybeEvicted(id journal.ID) bool {
	n := journal.FilterBlockOf(id)
	if b, changed := s.window.filter[n]; changed {
		return b.Has(id)
	}
	b, _, err := get(s.db, numberKey(nil, keyFilter, s.partition, n), parseFilterBlock)
	if err != nil {
		s.fail(err)
	}
	return b.Has(id)
}

// block is a block of the filter, to be changed; nil when the store fails.
func (s *state) block(n int) *journal.FilterBlock {
	if b, changed := s.window.filter[n]; changed {
		return b
	}
	b, _, err := get(s.db, numberKey(nil, keyFilter, s.partition, n), parseFilterBlock)
	if err != nil {
		s.fail(err)
		return nil
	}
	s.window.filter[n] = &b
	return &b
}

func (s *state) flushFilter() {
	for n, b := range s.window.filter {
		s.key = numberKey(s.key[:0], keyFilter, s.partition, n)
		s.put(s.key, b[:])
	}
}

func parseFilterBlock(b []byte) (block journal.FilterBlock, err error) {
	if copy(block[:], b) != len(b) || len(b) != len(block) {
		return block, badRecord("filter block", b)
	}
	return block, nil
}

// Past is what the journal says of an id, however old.
type Past struct {
	Seen        bool
	Key         journal.KeyRecord // with its content
	Row         []byte            // as it came
	Reserved    bool
	Reservation journal.Reservation // as it is now
	EvictedMS   int64               // of its partition
	Position    journal.Position    // that the answer reflects
}

// Past answers what is known of an id: the key record that a shard had under it, and the reservation.
func (v *View) Past(id journal.ID) (Past, error) {
	p, _, err := reading(v, func(r *Reading) (Past, bool, error) {
		p, err := r.Past(id)
		return p, true, err
	})
	return p, err
}

// Past is as View.Past.
func (r *Reading) Past(id journal.ID) (p Past, err error) {
	home := id.Partition(r.view.config.Partitions)
	g, err := r.view.progress(r.snap, home)
	if err != nil {
		return p, err
	}
	p.Position, p.EvictedMS = g.book.position(home), g.evictedMS
	if p.Key, p.Row, p.Seen, err = r.Keyed(id); err != nil {
		return p, err
	}
	k, ok, err := get(r.snap, idKey(nil, keyReservation, home, id), parseKept)
	p.Reservation, p.Reserved = k.Reservation, ok
	return p, err
}
