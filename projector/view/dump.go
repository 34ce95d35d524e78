package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"walletd/journal"
)

// Digest is the digest of the partition's state, which equals journal.Book.Digest of a fold up to the same position. It
// loads the partition into memory.
func (v *View) Digest(partition int) (h journal.Hash, at journal.Position, err error) {
	r := v.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := r.Book(partition)
	if err != nil {
		return h, at, err
	}
	return b.Digest(), journal.Position{Partition: partition, Epoch: b.Epoch, Seq: b.Seq}, nil
}

// Book loads the partition into memory as the Book that folding would have given: what has been evicted is not read.
func (r *Reading) Book(partition int) (*journal.Book, error) {
	g, err := r.view.progress(r.snap, partition)
	if err != nil {
		return nil, err
	}
	m := journal.NewMemory()
	b := &journal.Book{Partition: partition, Partitions: r.view.config.Partitions, Epoch: g.book.epoch, Seq: g.book.seq, TimeMS: g.book.timeMS,
		EvictedMS: g.evictedMS, State: m}
	load := func(kind byte, size int, fn func(key, value []byte) error) {
		err = errors.Join(err, scan(r.snap, prefix(nil, kind, partition), func(key, value []byte) error {
			if len(key) != prefixSize+size {
				return badRecord(fmt.Sprintf("key %q", kind), key)
			}
			return fn(key[prefixSize:], value)
		}))
	}
	err = r.newestGroups(partition, func(g *group) error {
		m.Accounts[g.handle] = g.account
		return nil
	})
	load(keyDetails, handleSize, func(key, value []byte) error {
		m.DetailsOf[journal.Handle(key)] = append([]byte(nil), value...)
		return nil
	})
	err = errors.Join(err, r.eachKey(partition, g.windowFrom, func(id journal.ID, e *stored) error {
		m.SetKey(id, e.record())
		return nil
	}))
	load(keyLive, idSize, func(key, value []byte) error {
		k, err := parseKept(value)
		m.SetReservation(journal.ID(key), k.Reservation)
		return err
	})
	load(keyFilter, 2, func(key, value []byte) error {
		b, err := parseFilterBlock(value)
		if err == nil {
			m.Filter.Merge(int(binary.BigEndian.Uint16(key)), &b)
		}
		return err
	})
	load(keyDelivered, 2, func(key, value []byte) error {
		if len(value) != 8 {
			return badRecord("delivered", value)
		}
		m.DeliveredOf[int(binary.BigEndian.Uint16(key))] = binary.BigEndian.Uint64(value)
		return nil
	})
	return b, err
}

// newestGroups calls fn for the newest group of every account of the partition.
func (r *Reading) newestGroups(partition int, fn func(*group) error) error {
	var last journal.Handle
	first := true
	return scan(r.snap, prefix(nil, keyGroup, partition), func(key, value []byte) error {
		if len(key) == groupKeySize && !first && last == journal.Handle(key[prefixSize:]) {
			return nil
		}
		g, err := parseGroup(key, value)
		if err != nil {
			return err
		}
		first, last = false, g.handle
		return fn(&g)
	})
}

// eachKey calls fn for the events that made the key records from a seq on.
func (r *Reading) eachKey(partition int, from uint64, fn func(journal.ID, *stored) error) error {
	if err := r.openChunks(); err != nil {
		return err
	}
	return r.chunks.each(partition, from, func(e *stored) (bool, error) {
		if id, ok := e.keyed(); ok {
			return true, fn(id, e)
		}
		return true, nil
	})
}

// Entry answers one line of a statement by its account, time and version, for auditors: without what other records say (names, reference).
func (r *Reading) Entry(h journal.Handle, timeMS int64, version uint64) (e Entry, ok bool, err error) {
	p, ok := r.partitionOf(h)
	if !ok {
		return e, false, nil
	}
	ok = false
	_, err = r.lines(p, h, span{fromMS: timeMS, beforeMS: timeMS, beforeVersion: version + 1}, func(l *Line) (bool, error) {
		if l.Version != version || l.TimeMS != timeMS {
			return false, nil
		}
		ok = true
		e, err = r.entry(p, h, l)
		e.Reference = ""
		return false, err
	})
	return e, ok && err == nil, err
}

// EachLine calls fn for every line of every statement of the partition, by account, newest first. The line is reused.
func (r *Reading) EachLine(partition int, fn func(journal.Handle, *Line) error) error {
	return scan(r.snap, prefix(nil, keyGroup, partition), func(key, value []byte) error {
		g, err := parseGroup(key, value)
		if err != nil {
			return err
		}
		for {
			l, ok, err := g.next()
			if err != nil || !ok {
				return err
			}
			if err := fn(g.handle, &l); err != nil {
				return err
			}
		}
	})
}

// EachLineOf calls fn for the lines of an account's statement, newest first, until it answers false. The line is reused.
func (r *Reading) EachLineOf(h journal.Handle, fn func(*Line) (bool, error)) error {
	p, ok := r.partitionOf(h)
	if !ok {
		return nil
	}
	_, err := r.lines(p, h, span{}, fn)
	return err
}

// Event answers an event as the store has it, and the detail of the key record that it made, for auditors: in the order of seqs
// at hardly any cost. It is good until the next one is read.
func (r *Reading) Event(partition int, seq uint64) (e journal.Event, detail uint64, ok bool, err error) {
	if err := r.openChunks(); err != nil {
		return e, 0, false, err
	}
	found, ok, err := r.chunks.event(partition, seq)
	return found.Event, found.detail, ok, err
}

// EachID calls fn for every id that can be looked up in the partition, by its hash (HashOf), with the seq of the event that
// made its key record: in no order.
func (r *Reading) EachID(partition int, fn func(hash, seq uint64) error) error {
	d, err := readDirectory(r.snap, partition)
	if err != nil {
		return err
	}
	for i := range d.runs {
		ids, err := readRun(r.snap, partition, &d.runs[i])
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := fn(id.hash, id.seq); err != nil {
				return err
			}
		}
	}
	return nil
}

// EachListed calls fn for every line of the partition's listings of reservations: by payer, status (0: of all) and time.
func (r *Reading) EachListed(partition int, fn func(payer journal.Handle, status journal.Status, id journal.ID) error) error {
	return scan(r.snap, prefix(nil, keyListing, partition), func(key, _ []byte) error {
		if len(key) != prefixSize+handleSize+1+8+idSize {
			return badRecord("listing", key)
		}
		_, id := parseListingKey(key)
		return fn(journal.Handle(key[prefixSize:]), journal.Status(key[prefixSize+handleSize]), id)
	})
}
