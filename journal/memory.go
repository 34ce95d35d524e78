package journal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"slices"
)

// Memory is a partition's State in maps.
type Memory struct {
	Accounts     map[Handle]Account
	DetailsOf    map[Handle][]byte
	Keys         map[ID]KeyRecord
	Reservations map[ID]Reservation
	DeliveredOf  map[int]uint64
	Filter       Filter // of the ids that were evicted

	keyTimes timeline // of Keys
	resTimes timeline // of resolved Reservations
	contents contents // of Keys
}

// NewMemory is an empty State.
func NewMemory() *Memory {
	return &Memory{Accounts: map[Handle]Account{}, DetailsOf: map[Handle][]byte{}, Keys: map[ID]KeyRecord{},
		Reservations: map[ID]Reservation{}, DeliveredOf: map[int]uint64{}}
}

var _ State = (*Memory)(nil)

// Account implements State, as the methods below do.
func (m *Memory) Account(h Handle) (Account, bool)      { a, ok := m.Accounts[h]; return a, ok }
func (m *Memory) SetAccount(h Handle, a Account)        { m.Accounts[h] = a }
func (m *Memory) Details(h Handle) ([]byte, bool)       { d, ok := m.DetailsOf[h]; return d, ok }
func (m *Memory) SetDetails(h Handle, d []byte)         { m.DetailsOf[h] = d }
func (m *Memory) Key(id ID) (KeyRecord, bool)           { k, ok := m.Keys[id]; return k, ok }
func (m *Memory) Reservation(id ID) (Reservation, bool) { r, ok := m.Reservations[id]; return r, ok }
func (m *Memory) Delivered(source int) uint64           { return m.DeliveredOf[source] }
func (m *Memory) SetDelivered(source int, seq uint64)   { m.DeliveredOf[source] = seq }
func (m *Memory) MaybeEvicted(id ID) bool               { return m.Filter.Has(id) }

// Dump writes the Book's canonical text, one record a line, sorted: two Books with equal dumps are equal (promise P11).
// It leaves out the epoch, which a takeover changes without an event, and the filter, of which a shard's may know more ids
// than were evicted: two folds' filters are compared by Filter.Digest. The Book's State must be a Memory or Tables.
func (b *Book) Dump(w io.Writer) error {
	d := NewDumper(w, b.Partition, b.Partitions, b.Seq, b.TimeMS, b.EvictedMS)
	if t, ok := b.State.(*Tables); ok {
		t.dump(d)
		return d.Err()
	}
	m := b.State.(*Memory)
	dumpAll(d, m.Accounts, compareHandles, d.Account)
	dumpAll(d, m.DetailsOf, compareHandles, d.Details)
	dumpAll(d, m.Keys, compareIDs, d.Key)
	dumpRest(d, m)
	return d.Err()
}

func dumpRest(d *Dumper, m *Memory) {
	dumpAll(d, m.Reservations, compareIDs, d.Reservation)
	dumpAll(d, m.DeliveredOf, cmp.Compare[int], d.Delivered)
}

func compareHandles(a, b Handle) int { return bytes.Compare(a[:], b[:]) }
func compareIDs(a, b ID) int         { return bytes.Compare(a[:], b[:]) }

// dumpAll writes the records of one kind, until the writer fails.
func dumpAll[K comparable, V any](d *Dumper, m map[K]V, compare func(a, b K) int, record func(K, V)) {
	if d.Err() != nil {
		return
	}
	names := make([]K, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.SortFunc(names, compare)
	for _, k := range names {
		if record(k, m[k]); d.Err() != nil {
			return
		}
	}
}

// Digest is the SHA-256 of the Book's Dump.
func (b *Book) Digest() Hash {
	h, _ := b.DigestWithin(context.Background()) // a hash does not fail
	return h
}

// DigestWithin is the Digest, or why ctx has ended: that of a million records takes a second.
func (b *Book) DigestWithin(ctx context.Context) (h Hash, err error) {
	d := sha256.New()
	err = b.Dump(within{ctx, d})
	d.Sum(h[:0])
	return h, err
}

// within writes until ctx ends.
type within struct {
	ctx context.Context //nolint:containedctx // of one call
	io.Writer
}

func (w within) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(b)
}

// Sums are the partition's total per asset: available + reserved of every account. Over all partitions, and with what is
// in flight on channels, they are 0 (promise P1).
func (m *Memory) Sums(into map[Asset]int64) {
	for _, a := range m.Accounts {
		into[a.Asset] += int64(a.Available + a.Reserved)
	}
}
