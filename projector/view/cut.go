package view

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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
// must copy.
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
	err = c.newestGroups(partition, func(g *group) error {
		into.Account(g.handle, g.account)
		return nil
	})
	each(keyDetails, handleSize, func(key, value []byte) error {
		into.Details(journal.Handle(key), value)
		return nil
	})
	if err == nil {
		err = c.keys(partition, into)
	}
	each(keyLive, idSize, func(key, value []byte) error {
		k, err := parseKept(value)
		into.Reservation(journal.ID(key), k.Reservation)
		return err
	})
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

// passIDs is about how many key records of a window are held in memory to be sorted (some 100 bytes each). A window of more is
// read in several passes, each of which takes the ids of one range.
var passIDs = 1 << 18

// sampleEvery is how many ids stand behind one that is looked at to divide a window.
const sampleEvery = 64

// keys gives the key records of the window, sorted by id.
func (c *Cut) keys(partition int, into Records) error {
	g, err := c.view.progress(c.snap, partition)
	if err != nil {
		return err
	}
	bounds, err := c.passes(partition, g.windowFrom)
	if err != nil {
		return err
	}
	type named struct {
		id     journal.ID
		record journal.KeyRecord
	}
	var held []named
	for i, from := range bounds {
		held = held[:0]
		last := i == len(bounds)-1
		var room []byte // of contents: given up with the pass
		err := c.eachKey(partition, g.windowFrom, func(id journal.ID, e *stored) error {
			if bytes.Compare(id[:], from[:]) < 0 || (!last && bytes.Compare(id[:], bounds[i+1][:]) >= 0) {
				return nil
			}
			k := e.record()
			room = append(room, k.Content...)
			k.Content = room[len(room)-len(k.Content):]
			held = append(held, named{id, k})
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(held, func(a, b named) int { return bytes.Compare(a.id[:], b.id[:]) })
		for i := range held {
			if k := &held[i].record; len(k.Content) == 0 {
				k.Content = nil
			}
			into.Key(held[i].id, held[i].record)
		}
	}
	return nil
}

// passes answers where the ranges of ids begin that a window is read in.
func (c *Cut) passes(partition int, from uint64) (bounds []journal.ID, err error) {
	var sample []journal.ID
	n := 0
	err = c.eachKey(partition, from, func(id journal.ID, _ *stored) error {
		if n++; n%sampleEvery == 0 {
			sample = append(sample, id)
		}
		return nil
	})
	slices.SortFunc(sample, func(a, b journal.ID) int { return bytes.Compare(a[:], b[:]) })
	bounds = []journal.ID{{}}
	for i := passIDs / sampleEvery; i > 0 && i < len(sample); i += passIDs / sampleEvery {
		if sample[i] != bounds[len(bounds)-1] {
			bounds = append(bounds, sample[i])
		}
	}
	return bounds, err
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
