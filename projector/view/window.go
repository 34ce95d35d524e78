package view

import (
	"errors"

	"walletd/journal"
)

// window is what a fold knows about the key window beyond the store: what the open batch has put into it. The store keeps
// every event for ever; progress says where the window begins, so that a snapshot or an eviction costs what is in the window,
// not what is in the history.
type window struct {
	evictedMS int64
	from      uint64     // the seq from which on events' keys, and reservations that they ended, are in the window
	keys      []addition // since the last commit
	resolved  []addition
	filter    map[int]*journal.FilterBlock // that the open batch has changed
}

type addition struct {
	ms  int64
	seq uint64
	id  journal.ID
}

func (w *window) committed() {
	w.keys, w.resolved = w.keys[:0], w.resolved[:0]
	clear(w.filter)
}

// rewind goes back to what is committed.
func (w *window) rewind(at *progress) {
	w.evictedMS, w.from = at.evictedMS, at.windowFrom
	w.committed()
}

// Evict implements journal.State. The ids go from the window into the filter; the acts themselves stay. A partition's time does
// not go back, so what is older lies in front.
func (s *state) Evict(beforeMS int64) {
	from := s.now.seq
	events, err := openChunks(s.db)
	if err == nil {
		err = events.each(s.partition, s.window.from, func(e *stored) (bool, error) {
			of, keyed := e.keyed()
			ended, resolved := e.resolved()
			if (keyed || resolved) && e.TimeMS >= beforeMS {
				from = e.Seq
				return false, nil
			}
			if keyed {
				s.evictKey(of)
			}
			if resolved {
				s.evictReservation(ended)
			}
			return true, s.err
		})
		err = errors.Join(err, events.close())
	}
	s.fail(err)
	s.window.keys = oldOf(s.window.keys, beforeMS, &from, s.evictKey)
	s.window.resolved = oldOf(s.window.resolved, beforeMS, &from, s.evictReservation)
	s.window.evictedMS, s.window.from = beforeMS, from
}

// oldOf gives what is older than beforeMS to evict, and answers the rest; from is then not behind it.
func oldOf(list []addition, beforeMS int64, from *uint64, evict func(journal.ID)) (rest []addition) {
	rest = list[:0]
	for _, a := range list {
		if a.ms < beforeMS {
			evict(a.id)
			continue
		}
		rest, *from = append(rest, a), min(*from, a.seq)
	}
	return rest
}

func (s *state) evictKey(id journal.ID) {
	if b := s.block(journal.FilterBlockOf(id)); b != nil {
		b.Add(id)
	}
}

// evictReservation puts a reservation where those lie that no act sees any more.
func (s *state) evictReservation(id journal.ID) {
	k, ok := s.kept(id)
	if !ok || k.Status == journal.Tried {
		return
	}
	s.key = idKey(s.key[:0], keyLive, s.partition, id)
	s.remove(s.key)
	s.key, s.val = idKey(s.key[:0], keyReservation, s.partition, id), k.append(s.val[:0])
	s.put(s.key, s.val)
	s.reservations.forget(id)
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
	k, ok, err := r.kept(id)
	p.Reservation, p.Reserved = k.Reservation, ok
	return p, err
}
