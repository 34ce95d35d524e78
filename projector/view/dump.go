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
	load(keyAccount, handleSize, func(key, value []byte) (err error) {
		m.Accounts[journal.Handle(key)], err = journal.ParseAccount(value)
		return err
	})
	load(keyDetails, handleSize, func(key, value []byte) error {
		m.DetailsOf[journal.Handle(key)] = append([]byte(nil), value...)
		return nil
	})
	load(keyWindow, 8+idSize, func(key, _ []byte) error {
		id := journal.ID(key[8:])
		k, _, ok, err := r.Keyed(id)
		if err == nil && !ok {
			err = badRecord("key in the window", key)
		}
		k.Content = append([]byte(nil), k.Content...) // without the rest of the row
		m.SetKey(id, k)
		return err
	})
	load(keyLive, idSize, func(key, _ []byte) error {
		id := journal.ID(key)
		k, ok, err := get(r.snap, idKey(nil, keyReservation, partition, id), parseKept)
		if err == nil && !ok {
			err = badRecord("live reservation", key)
		}
		m.SetReservation(id, k.Reservation)
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

// Entry answers one line of a statement by its account, time and version, for auditors.
func (r *Reading) Entry(h journal.Handle, timeMS int64, version uint64) (Entry, bool, error) {
	p, ok := r.partitionOf(h)
	if !ok {
		return Entry{}, false, nil
	}
	key := entryKey(nil, p, h, timeMS, version)
	return get(r.snap, key, func(b []byte) (Entry, error) { return parseEntry(key, b) })
}

// EachEntry calls fn for every entry of the partition, by account, oldest first.
func (r *Reading) EachEntry(partition int, fn func(Entry) error) error {
	return scan(r.snap, prefix(nil, keyEntry, partition), func(key, value []byte) error {
		e, err := parseEntry(key, value)
		if err != nil {
			return err
		}
		return fn(e)
	})
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
