package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// state is one partition's journal.State over the store and the open batch, so that the very same Book folds it.
// State's methods answer no errors: the first one is kept in err, and the fold looks at it after every event.
type state struct {
	db        *pebble.DB
	batch     *pebble.Batch
	partition int
	err       error

	accounts     *cache[journal.Handle, journal.Account]
	details      *cache[journal.Handle, []byte]
	reservations *cache[journal.ID, kept]
	delivered    map[int]uint64
	moved        map[int]bool // delivered numbers that changed since the last commit
	window       window

	// Of the event that is being folded.
	row []byte
	now place
	key []byte // scratch
	val []byte // scratch
}

var _ journal.State = (*state)(nil)

func newState(db *pebble.DB, partition, cacheAccounts int) (*state, error) {
	s := &state{
		db: db, batch: newBatch(db), partition: partition,
		accounts:     newCache[journal.Handle, journal.Account](max(cacheAccounts/2, 512)),
		details:      newCache[journal.Handle, []byte](512),
		reservations: newCache[journal.ID, kept](max(cacheAccounts/8, 512)),
		moved:        map[int]bool{},
		window:       window{filter: map[int]*journal.FilterBlock{}},
	}
	return s, s.loadDelivered()
}

func (s *state) loadDelivered() (err error) {
	s.delivered, err = delivered(s.db, s.partition)
	return err
}

// delivered reads how far the partition has credited every other one's legs.
func delivered(r reader, partition int) (map[int]uint64, error) {
	m := map[int]uint64{}
	return m, scan(r, prefix(nil, keyDelivered, partition), func(key, value []byte) error {
		if len(key) != prefixSize+2 || len(value) != 8 {
			return badRecord("delivered", value)
		}
		m[int(binary.BigEndian.Uint16(key[prefixSize:]))] = binary.BigEndian.Uint64(value)
		return nil
	})
}

// scan calls fn for every record whose key begins with p, in order. fn must copy what it keeps.
func scan(r reader, p []byte, fn func(key, value []byte) error) error {
	return scanRange(r, p, behind(p), fn)
}

// scanRange calls fn for every record from one key on and before another.
func scanRange(r reader, from, to []byte, fn func(key, value []byte) error) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("%w: scan %q: %w", ErrStore, from[:1], err)
	}
	defer func() {
		if e := it.Close(); err == nil && e != nil {
			err = fmt.Errorf("%w: scan %q: %w", ErrStore, from[:1], e)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%w: scan %q: %w", ErrStore, from[:1], err)
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *state) put(key, value []byte) {
	if err := s.batch.Set(key, value, nil); err != nil {
		s.fail(fmt.Errorf("%w: put %q: %w", ErrStore, key[:1], err))
	}
}

// cached reads through a cache.
func cached[K comparable, V any](s *state, c *cache[K, V], k K, key []byte, parse func([]byte) (V, error)) (V, bool) {
	if v, ok := c.get(k); ok {
		return v, true
	}
	v, ok, err := get(s.db, key, parse)
	if err != nil {
		s.fail(err)
	} else if ok {
		c.keep(k, v)
	}
	return v, ok
}

// Account implements journal.State, as the methods below do.
func (s *state) Account(h journal.Handle) (journal.Account, bool) {
	s.key = handleKey(s.key[:0], keyAccount, s.partition, h)
	return cached(s, s.accounts, h, s.key, journal.ParseAccount)
}

func (s *state) SetAccount(h journal.Handle, a journal.Account) { s.accounts.set(h, a) }

func (s *state) Details(h journal.Handle) ([]byte, bool) {
	s.key = handleKey(s.key[:0], keyDetails, s.partition, h)
	return cached(s, s.details, h, s.key, copied)
}

func copied(b []byte) ([]byte, error) { return append([]byte(nil), b...), nil }

func (s *state) SetDetails(h journal.Handle, d []byte) { s.details.set(h, d) }

// Key reads a key record. Folding never does, so what the open batch holds is found by reading through it.
func (s *state) Key(id journal.ID) (journal.KeyRecord, bool) {
	key := idKey(nil, keyTransfer, s.partition, id)
	value, ok, err := pending(s.batch, key)
	if err == nil && !ok {
		value, ok, err = get(s.db, key, copied)
	}
	if err != nil || !ok {
		if err != nil {
			s.fail(err)
		}
		return journal.KeyRecord{}, false
	}
	k, _, err := parseTransfer(value)
	if err != nil {
		s.fail(err)
	}
	return k, err == nil && k.TimeMS >= s.window.evictedMS
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

// SetKey writes the act's first outcome together with its row: everything that a look-up of the transfer answers.
func (s *state) SetKey(id journal.ID, k journal.KeyRecord) {
	s.key = idKey(s.key[:0], keyTransfer, s.partition, id)
	s.val = appendTransfer(s.val[:0], k, s.row)
	s.put(s.key, s.val)
	s.within(keyWindow, k.TimeMS, id)
}

func (s *state) Reservation(id journal.ID) (journal.Reservation, bool) {
	k, ok := s.kept(id)
	return k.Reservation, ok && (k.Status == journal.Tried || k.ResolvedMS >= s.window.evictedMS)
}

func (s *state) kept(id journal.ID) (kept, bool) {
	s.key = idKey(s.key[:0], keyReservation, s.partition, id)
	return cached(s, s.reservations, id, s.key, parseKept)
}

// SetReservation keeps the listings of the payer's reservations in step: one of all, one by status. A reserve makes a new
// reservation; looking for an older one in a large store would cost as much as the rest of the event.
func (s *state) SetReservation(id journal.ID, r journal.Reservation) {
	var before kept
	var ok bool
	if journal.Op(s.row[2]) != journal.OpReserve {
		before, ok = s.kept(id)
	}
	if !ok {
		s.list(id, &r, journal.None)
		s.key = idKey(s.key[:0], keyLive, s.partition, id)
		s.put(s.key, nil)
	}
	if r.Status != journal.Tried {
		s.within(keyResolved, r.ResolvedMS, id)
	}
	if !ok || before.Status != r.Status {
		s.list(id, &r, r.Status)
	}
	if ok && before.Status != r.Status {
		s.key = listingKey(s.key[:0], s.partition, before.Payer, before.Status, before.CreatedMS, id)
		if err := s.batch.Delete(s.key, nil); err != nil {
			s.fail(fmt.Errorf("%w: delete from listing: %w", ErrStore, err))
		}
	}
	s.reservations.set(id, kept{r, s.now})
}

func (s *state) list(id journal.ID, r *journal.Reservation, status journal.Status) {
	s.key = listingKey(s.key[:0], s.partition, r.Payer, status, r.CreatedMS, id)
	s.put(s.key, nil)
}

func (s *state) Delivered(source int) uint64 { return s.delivered[source] }

func (s *state) SetDelivered(source int, seq uint64) {
	s.delivered[source] = seq
	s.moved[source] = true
}

// flush puts into the batch what changed and is kept unpacked: hot accounts change many times in a batch.
func (s *state) flush() error {
	err := s.accounts.each(func(h journal.Handle, a journal.Account) error {
		s.key, s.val = handleKey(s.key[:0], keyAccount, s.partition, h), a.Append(s.val[:0])
		s.put(s.key, s.val)
		return s.err
	})
	err = errors.Join(err, s.details.each(func(h journal.Handle, d []byte) error {
		s.key = handleKey(s.key[:0], keyDetails, s.partition, h)
		s.put(s.key, d)
		return s.err
	}))
	err = errors.Join(err, s.reservations.each(func(id journal.ID, k kept) error {
		s.key, s.val = idKey(s.key[:0], keyReservation, s.partition, id), k.append(s.val[:0])
		s.put(s.key, s.val)
		return s.err
	}))
	for source := range s.moved {
		s.key = numberKey(s.key[:0], keyDelivered, s.partition, source)
		s.val = binary.BigEndian.AppendUint64(s.val[:0], s.delivered[source])
		s.put(s.key, s.val)
	}
	s.flushFilter()
	return errors.Join(err, s.err)
}

// committed says that the store now holds the batch.
func (s *state) committed() {
	s.accounts.committed()
	s.details.committed()
	s.reservations.committed()
	clear(s.moved)
	s.window.committed()
	s.renew()
}

// batchBytesKept is how large a batch's buffer may be and still be used again; the projector commits at about 1 MiB.
const batchBytesKept = 4 << 20

func newBatch(db *pebble.DB) *pebble.Batch {
	return db.NewBatch(pebble.WithInitialSizeBytes(64<<10), pebble.WithMaxRetainedSizeBytes(batchBytesKept))
}

// renew gives up the batch for an empty one; Pebble keeps the buffers.
func (s *state) renew() {
	if err := s.batch.Close(); err != nil {
		s.fail(fmt.Errorf("%w: close batch: %w", ErrStore, err))
	}
	s.batch = newBatch(s.db)
}

// dropped forgets the open batch.
func (s *state) dropped() error {
	s.accounts.dropped()
	s.details.dropped()
	s.reservations.dropped()
	clear(s.moved)
	s.err = nil
	s.renew()
	return errors.Join(s.err, s.loadDelivered())
}
