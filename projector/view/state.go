package view

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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

	accounts     *accounts
	seeking      *pebble.Iterator // over the groups of what is committed; nil: not needed since the last commit
	details      *cache[journal.Handle, []byte]
	reservations *cache[journal.ID, kept] // live ones
	delivered    map[int]uint64
	moved        map[int]bool // delivered numbers that changed since the last commit
	runs         directory    // as committed
	window       window

	// Of the open batch.
	firsts []uint64 // seqs of the chunks' first events
	ids    []idAt
	named  []detail // details of the frame that is being folded

	// Of the event that is being folded.
	op  journal.Op
	now place
	key []byte // scratch
	val []byte // scratch
}

var _ journal.State = (*state)(nil)

func newState(db *pebble.DB, partition, cacheAccounts int) (s *state, err error) {
	s = &state{
		db: db, batch: newBatch(db), partition: partition,
		accounts:     newAccounts(max(cacheAccounts, 512)),
		details:      newCache[journal.Handle, []byte](512),
		reservations: newCache[journal.ID, kept](max(cacheAccounts/8, 512)),
		moved:        map[int]bool{},
		window:       window{filter: map[int]*journal.FilterBlock{}},
	}
	if s.runs, err = readDirectory(db, partition); err != nil {
		return s, err
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
	if s.err == nil && err != nil {
		s.err = err
	}
}

func (s *state) put(key, value []byte) {
	if err := s.batch.Set(key, value, nil); err != nil {
		s.fail(fmt.Errorf("%w: put %q: %w", ErrStore, key[:1], err))
	}
}

func (s *state) remove(key []byte) {
	if err := s.batch.Delete(key, nil); err != nil {
		s.fail(fmt.Errorf("%w: delete %q: %w", ErrStore, key[:1], err))
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
	if slot, ok := s.accounts.get(h); ok {
		return slot.account, true
	}
	if s.accounts.all {
		return journal.Account{}, false
	}
	if s.seeking == nil {
		var err error
		if s.seeking, err = s.db.NewIter(&pebble.IterOptions{LowerBound: prefix(nil, keyGroup, s.partition), UpperBound: behind(prefix(nil, keyGroup, s.partition))}); err != nil {
			s.fail(fmt.Errorf("%w: read accounts: %w", ErrStore, err))
			return journal.Account{}, false
		}
	}
	a, ok, err := newestGroup(s.seeking, s.partition, h)
	if err != nil {
		s.fail(err)
		return a, false
	}
	if ok {
		s.accounts.add(h, a)
	}
	return a, ok
}

func (s *state) SetAccount(h journal.Handle, a journal.Account) { s.accounts.set(h, a) }

// line adds a line to the account's open group.
func (s *state) line(e *journal.Event, c *journal.Change, leg int) {
	slot, _ := s.accounts.get(c.Account)
	l := change{seq: e.Seq, timeMS: s.now.timeMS, available: c.After.Available - c.Before.Available, reserved: c.After.Reserved - c.Before.Reserved,
		leg: uint32(leg) << 1, older: slot.newest}
	if c.Flagged {
		l.leg |= 1
	}
	slot.newest = int32(len(s.accounts.lines))
	s.accounts.lines = append(s.accounts.lines, l)
	if slot.count++; slot.count == groupMax {
		s.putGroup(slot)
	}
}

// putGroup closes the slot's open group.
func (s *state) putGroup(slot *slot) {
	var oldest *change
	s.val, oldest = s.accounts.appendGroup(s.val[:0], slot)
	s.key = groupKey(s.key[:0], s.partition, slot.handle, oldest.timeMS, slot.account.Version+1-uint64(slot.count))
	s.put(s.key, s.val)
	slot.newest, slot.count = -1, 0
}

func (s *state) Details(h journal.Handle) ([]byte, bool) {
	s.key = handleKey(s.key[:0], keyDetails, s.partition, h)
	return cached(s, s.details, h, s.key, copied)
}

func copied(b []byte) ([]byte, error) { return append([]byte(nil), b...), nil }

func (s *state) SetDetails(h journal.Handle, d []byte) { s.details.set(h, d) }

func (s *state) Reservation(id journal.ID) (journal.Reservation, bool) {
	k, ok := s.kept(id)
	return k.Reservation, ok && (k.Status == journal.Tried || k.ResolvedMS >= s.window.evictedMS)
}

func (s *state) kept(id journal.ID) (kept, bool) {
	s.key = idKey(s.key[:0], keyLive, s.partition, id)
	return cached(s, s.reservations, id, s.key, parseKept)
}

// SetReservation keeps the listings of the payer's reservations in step: one of all, one by status. A reserve makes a new
// reservation; looking for an older one in a large store would cost as much as the rest of the event.
func (s *state) SetReservation(id journal.ID, r journal.Reservation) {
	var before kept
	var ok bool
	if s.op != journal.OpReserve {
		before, ok = s.kept(id)
	}
	if !ok {
		s.list(id, &r, journal.None)
	}
	if r.Status != journal.Tried {
		s.window.resolved = append(s.window.resolved, addition{r.ResolvedMS, s.now.seq, id})
	}
	if !ok || before.Status != r.Status {
		s.list(id, &r, r.Status)
	}
	if ok && before.Status != r.Status {
		s.key = listingKey(s.key[:0], s.partition, before.Payer, before.Status, before.CreatedMS, id)
		s.remove(s.key)
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

// flush puts into the batch what changed and is kept unpacked: hot accounts change many times in a batch. It answers the
// directory of runs as the batch makes it.
func (s *state) flush() (runs directory, err error) {
	s.flushAccounts()
	runs = s.addIDs(s.runs, s.ids)
	if len(s.ids) > 0 {
		s.key, s.val = prefix(s.key[:0], keyRuns, s.partition), runs.append(s.val[:0])
		s.put(s.key, s.val)
	}
	err = errors.Join(err, s.details.each(func(h journal.Handle, d []byte) error {
		s.key = handleKey(s.key[:0], keyDetails, s.partition, h)
		s.put(s.key, d)
		return s.err
	}))
	err = errors.Join(err, s.reservations.each(func(id journal.ID, k kept) error {
		s.key, s.val = idKey(s.key[:0], keyLive, s.partition, id), k.append(s.val[:0])
		s.put(s.key, s.val)
		return s.err
	}))
	for source := range s.moved {
		s.key = numberKey(s.key[:0], keyDelivered, s.partition, source)
		s.val = binary.BigEndian.AppendUint64(s.val[:0], s.delivered[source])
		s.put(s.key, s.val)
	}
	s.flushFilter()
	return runs, errors.Join(err, s.err)
}

// held is about how much of the open batch is not in it yet, bytes.
func (s *state) held() int {
	return 24*len(s.accounts.lines) + 64*len(s.accounts.changed) + 13*len(s.ids)
}

// flushAccounts closes the open groups, sorted: the store takes neighbours for less.
func (s *state) flushAccounts() {
	a := s.accounts
	slices.SortFunc(a.changed, func(x, y int32) int { return bytes.Compare(a.slots[x].handle[:], a.slots[y].handle[:]) })
	for _, i := range a.changed {
		if slot := &a.slots[i]; slot.newest >= 0 {
			s.putGroup(slot)
		}
	}
}

// committed says that the store now holds the batch.
func (s *state) committed(runs directory) {
	s.runs = runs
	s.accounts.committed()
	s.details.committed()
	s.reservations.committed()
	clear(s.moved)
	s.window.committed()
	s.renew()
}

// batchBytesKept is how large a batch's buffer may be and still be used again; the projector commits at up to 8 MiB.
const batchBytesKept = 16 << 20

func newBatch(db *pebble.DB) *pebble.Batch {
	return db.NewBatch(pebble.WithInitialSizeBytes(64<<10), pebble.WithMaxRetainedSizeBytes(batchBytesKept))
}

// renew gives up the batch for an empty one; Pebble keeps the buffers.
func (s *state) renew() {
	s.fail(s.close())
	s.batch = newBatch(s.db)
	s.firsts, s.ids, s.named = s.firsts[:0], s.ids[:0], s.named[:0]
}

// close lets go of what is the store's.
func (s *state) close() (err error) {
	if e := s.batch.Close(); e != nil {
		err = fmt.Errorf("%w: close batch: %w", ErrStore, e)
	}
	if s.seeking != nil {
		if e := s.seeking.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("%w: read accounts: %w", ErrStore, e))
		}
		s.seeking = nil
	}
	return err
}

// dropped forgets the open batch.
func (s *state) dropped() error {
	s.accounts.dropped()
	s.details.dropped()
	s.reservations.dropped()
	clear(s.moved)
	_ = s.close() // what failed in it is forgotten, too
	s.err = nil
	s.batch = newBatch(s.db)
	s.firsts, s.ids, s.named = s.firsts[:0], s.ids[:0], s.named[:0]
	return errors.Join(s.err, s.loadDelivered())
}
