package luascripts

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"walletd/journal"
)

// Dump reads the whole shard into Books in memory, by partition; partitions is the number of the whole wallet's. It is not
// atomic: while trains run, it shows no moment that ever was. A partition of which there are records but no part record
// has epoch 0 and seq 0. What a partition has evicted is not in its Book, whether it is still in the shard or not; the filter
// is the shard's, which may know more ids than were evicted.
func (s *Shard) Dump(ctx context.Context, partitions int) (map[int]*journal.Book, error) {
	d := dumper{Shard: s, partitions: partitions, books: map[int]*journal.Book{}}
	parts, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	for p, part := range parts {
		b := d.book(p)
		b.Epoch, b.Seq, b.TimeMS, b.EvictedMS = part.Epoch, part.Seq, part.TimeMS, part.EvictedMS
	}
	return d.books, s.fault("dump", d.all(ctx))
}

// all reads every hash.
func (d *dumper) all(ctx context.Context) error {
	slices, err := d.sliceKeys(ctx)
	if err == nil {
		err = d.scan(ctx, accountsKey, ofHandle, d.account)
	}
	for _, key := range slices {
		if err == nil {
			err = d.scan(ctx, key, ofID, d.key)
		}
	}
	if err == nil {
		err = d.scan(ctx, detailsKey, ofHandle, d.details)
	}
	if err == nil {
		err = d.scan(ctx, reservationsKey, ofID, d.reservation)
	}
	if err == nil {
		err = d.scan(ctx, deliveredKey, ofChannel, d.delivered)
	}
	if err == nil {
		err = d.scan(ctx, filterKey, ofChannel, d.filter)
	}
	return err
}

type dumper struct {
	*Shard
	partitions int
	books      map[int]*journal.Book
	only       func(kind fieldKind, field string) bool // nil = all
	pace       func(ctx context.Context, took time.Duration)
}

func (d *dumper) book(partition int) *journal.Book {
	b := d.books[partition]
	if b == nil {
		b = journal.NewBook(partition, d.partitions)
		d.books[partition] = b
	}
	return b
}

func (d *dumper) scan(ctx context.Context, key string, kind fieldKind, take func(field, value []byte) error) error {
	return d.eachPage(ctx, key, d.pace, func(words []string) error {
		for i := 0; i+1 < len(words); i += 2 {
			if d.only != nil && !d.only(kind, words[i]) {
				continue
			}
			if err := take([]byte(words[i]), []byte(words[i+1])); err != nil {
				return fmt.Errorf("%s %x: %w", key, words[i], err)
			}
		}
		return nil
	})
}

func badField(field []byte) error {
	return fmt.Errorf("%w: field of %d bytes", journal.ErrBadRecord, len(field))
}

func (d *dumper) owner(field []byte) (journal.Handle, *journal.Book, error) {
	if len(field) != len(journal.Handle{}) {
		return journal.Handle{}, nil, badField(field)
	}
	h := journal.Handle(field)
	return h, d.book(h.Partition(d.partitions)), nil
}

func (d *dumper) home(field []byte) (journal.ID, *journal.Book, error) {
	if len(field) != len(journal.ID{}) {
		return journal.ID{}, nil, badField(field)
	}
	id := journal.ID(field)
	return id, d.book(id.Partition(d.partitions)), nil
}

func (d *dumper) account(field, value []byte) error {
	h, b, err := d.owner(field)
	if err != nil {
		return err
	}
	a, err := ParseAccount(value)
	if err == nil {
		b.State.SetAccount(h, a)
	}
	return err
}

func (d *dumper) details(field, value []byte) error {
	h, b, err := d.owner(field)
	if err == nil {
		b.State.SetDetails(h, value)
	}
	return err
}

func (d *dumper) key(field, value []byte) error {
	id, b, err := d.home(field)
	if err != nil {
		return err
	}
	k, err := ParseKey(value)
	if err == nil && k.TimeMS >= b.EvictedMS {
		b.State.SetKey(id, k)
	}
	return err
}

func (d *dumper) reservation(field, value []byte) error {
	id, b, err := d.home(field)
	if err != nil {
		return err
	}
	r, err := journal.ParseReservation(value)
	if err == nil && (r.Status == journal.Tried || r.ResolvedMS >= b.EvictedMS) {
		b.State.SetReservation(id, r)
	}
	return err
}

func (d *dumper) delivered(field, value []byte) error {
	if len(field) != 4 || len(value) != 7 {
		return badField(field)
	}
	b := d.book(int(binary.BigEndian.Uint16(field)))
	b.State.SetDelivered(int(binary.BigEndian.Uint16(field[2:])), u56(value))
	return nil
}

func (d *dumper) filter(field, value []byte) error {
	if len(field) != 4 || len(value) != journal.FilterBlockSize {
		return badField(field)
	}
	b := d.book(int(binary.BigEndian.Uint16(field)))
	block := journal.FilterBlock(value)
	b.State.(*journal.Memory).Filter.Merge(int(binary.BigEndian.Uint16(field[2:])), &block)
	return nil
}
