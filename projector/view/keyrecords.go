package view

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// Key reads a key record. Folding never does, so what the open batch holds is found by reading through it.
func (s *state) Key(id journal.ID) (journal.KeyRecord, bool) {
	r := s.db.NewSnapshot()
	k, ok, err := s.openKey(id)
	if err == nil && !ok {
		k, _, ok, err = findKey(r, s.partition, &s.runs, id)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		s.fail(err)
	}
	return k, err == nil && ok && k.TimeMS >= s.window.evictedMS
}

// openKey looks for a key record in the open batch.
func (s *state) openKey(id journal.ID) (k journal.KeyRecord, ok bool, err error) {
	for _, first := range s.firsts {
		key := chunkKey(nil, s.partition, first)
		value, _, err := pending(s.batch, key)
		if err != nil {
			return k, false, fmt.Errorf("%w: read the open batch: %w", ErrStore, err)
		}
		c, err := parseChunk(key, value)
		if err != nil {
			return k, false, err
		}
		err = c.frame.EachEvent(func(ev *journal.Event) error {
			e := stored{Event: *ev, detail: c.detail(ev.Seq)}
			_, err := e.row.Parse(e.Packed)
			if of, keyed := e.keyed(); keyed && of == id {
				k, ok = e.record(), true
			}
			return err
		})
		if err != nil {
			return k, false, notStored(err)
		}
	}
	return k, ok, nil
}

// pending finds the last value that a batch sets for key.
func pending(b *pebble.Batch, key []byte) (value []byte, ok bool, err error) {
	for r := b.Reader(); ; {
		_, k, v, more, err := r.Next()
		if err != nil || !more {
			return value, ok, err
		}
		if string(k) == string(key) {
			value, ok = append([]byte(nil), v...), true
		}
	}
}

// SetKey notes where the act's first outcome is: in its event.
func (s *state) SetKey(id journal.ID, k journal.KeyRecord) {
	s.ids = append(s.ids, idAt{HashOf(id), k.Seq})
	s.window.keys = append(s.window.keys, addition{k.TimeMS, k.Seq, id})
	if k.Detail != 0 {
		s.named = append(s.named, detail{k.Seq, k.Detail})
	}
}

// putChunk writes a frame's events, after they have been folded.
func (s *state) putChunk(f *journal.Frame) {
	s.key, s.val = chunkKey(s.key[:0], s.partition, f.FirstSeq), appendChunk(s.val[:0], f, s.named)
	s.put(s.key, s.val)
	s.firsts, s.named = append(s.firsts, f.FirstSeq), s.named[:0]
}
