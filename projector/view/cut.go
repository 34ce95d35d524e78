package view

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// Cut is one state of all partitions, and of the channels between them, for a snapshot. Folding goes on meanwhile.
type Cut struct {
	*Reading
	behind map[int]map[int]uint64
	legs   map[int][]Sent
}

// Sent is a decided leg with the seq of its event.
type Sent struct {
	Seq uint64
	Leg journal.Leg
}

// Records are a partition's state, record by record.
type Records interface {
	Account(journal.Handle, journal.Account)
	Details(journal.Handle, []byte)
	Key(journal.ID, journal.KeyRecord)
	Reservation(journal.ID, journal.Reservation)
	Delivered(source int, seq uint64)
	// Filter takes a block of the filter of evicted ids.
	Filter(n int, b *journal.FilterBlock)
}

// Cut takes a state. Commits wait while the legs in flight are copied: milliseconds at the very most.
func (v *View) Cut() *Cut {
	v.cutting.Lock()
	defer v.cutting.Unlock()
	c := &Cut{Reading: v.Read()}
	c.behind, c.legs = v.channels.inFlight()
	return c
}

// Progress is a partition's place in its log, and where its Book stands: without State.
func (c *Cut) Progress(partition int) (at journal.Cursor, b journal.Book, err error) {
	g, err := c.view.progress(c.snap, partition)
	return g.cursor, journal.Book{Partition: partition, Partitions: c.view.config.Partitions, Epoch: g.book.epoch, Seq: g.book.seq, TimeMS: g.book.timeMS,
		EvictedMS: g.evictedMS}, err
}

// Genesis is as View.Genesis.
func (c *Cut) Genesis(partition int) (journal.Hash, bool, error) {
	return get(c.snap, prefix(nil, keyGenesis, partition), parseGenesis)
}

// InFlight answers the legs that a partition decided and that are not known to be credited, in order, and per destination
// the seq behind which they are all there (0 where it is not named): a store that has just been opened knows of none.
func (c *Cut) InFlight(partition int) (behind map[int]uint64, legs []Sent) {
	return c.behind[partition], c.legs[partition]
}

// Each gives every record of a partition's Book, each kind sorted, in the order of Records' methods. What into is given it
// must copy. In memory are the ids in the window, 16 bytes each.
func (c *Cut) Each(partition int, into Records) (err error) {
	each := func(kind byte, size int, fn func(key, value []byte) error) {
		if err != nil {
			return
		}
		err = scan(c.snap, prefix(nil, kind, partition), func(key, value []byte) error {
			if len(key) != prefixSize+size {
				return badRecord(fmt.Sprintf("key %q", kind), key)
			}
			return fn(key[prefixSize:], value)
		})
	}
	each(keyAccount, handleSize, func(key, value []byte) error {
		a, err := journal.ParseAccount(value)
		into.Account(journal.Handle(key), a)
		return err
	})
	each(keyDetails, handleSize, func(key, value []byte) error {
		into.Details(journal.Handle(key), value)
		return nil
	})
	var ids []journal.ID
	each(keyWindow, 8+idSize, func(key, _ []byte) error {
		ids = append(ids, journal.ID(key[8:]))
		return nil
	})
	slices.SortFunc(ids, func(a, b journal.ID) int { return bytes.Compare(a[:], b[:]) })
	if err == nil {
		err = c.named(keyTransfer, partition, ids, func(id journal.ID, value []byte) error {
			k, _, err := parseTransfer(value)
			if err == nil {
				into.Key(id, k)
			}
			return err
		})
	}
	ids = ids[:0]
	each(keyLive, idSize, func(key, _ []byte) error {
		ids = append(ids, journal.ID(key))
		return nil
	})
	if err == nil {
		err = c.named(keyReservation, partition, ids, func(id journal.ID, value []byte) error {
			k, err := parseKept(value)
			into.Reservation(id, k.Reservation)
			return err
		})
	}
	each(keyDelivered, 2, func(key, value []byte) error {
		if len(value) != 8 {
			return badRecord("delivered", value)
		}
		into.Delivered(int(binary.BigEndian.Uint16(key)), binary.BigEndian.Uint64(value))
		return nil
	})
	each(keyFilter, 2, func(key, value []byte) error {
		b, err := parseFilterBlock(value)
		into.Filter(int(binary.BigEndian.Uint16(key)), &b)
		return err
	})
	if err != nil && !errors.Is(err, ErrStore) {
		err = fmt.Errorf("%w: partition %d: %w", ErrStore, partition, err)
	}
	return err
}

// named reads the records of a kind under these ids, which are sorted and all there: one way through the store, in whose
// caches neighbours lie together.
func (c *Cut) named(kind byte, partition int, ids []journal.ID, fn func(journal.ID, []byte) error) (err error) {
	p := prefix(nil, kind, partition)
	it, err := c.snap.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: behind(p)})
	if err != nil {
		return fmt.Errorf("%w: scan %q: %w", ErrStore, kind, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var key []byte
	for _, id := range ids {
		key = idKey(key[:0], kind, partition, id)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			return errors.Join(it.Error(), badRecord(fmt.Sprintf("%q that is in the window", kind), key))
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%w: read %q: %w", ErrStore, kind, err)
		}
		if err := fn(id, value); err != nil {
			return err
		}
	}
	return nil
}

// inFlight copies what the channels remember one by one.
func (c *channels) inFlight() (behind map[int]map[int]uint64, legs map[int][]Sent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind, legs = map[int]map[int]uint64{}, map[int][]Sent{}
	for w, ch := range c.ways {
		if behind[w.from] == nil {
			behind[w.from] = map[int]uint64{}
		}
		behind[w.from][w.to] = max(behind[w.from][w.to], ch.floor)
	}
	for w, ch := range c.ways {
		for i := range ch.inFlight {
			if p := &ch.inFlight[i]; p.seq > behind[w.from][w.to] {
				var row journal.Row
				row.SetLegs(p.packed[:])
				legs[w.from] = append(legs[w.from], Sent{p.seq, row.Leg(0)})
			}
		}
	}
	for _, l := range legs {
		slices.SortFunc(l, func(a, b Sent) int { return cmp.Compare(a.Seq, b.Seq) })
	}
	return behind, legs
}
