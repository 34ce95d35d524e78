package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/projector/view"
)

// Source is one state of a wallet that a snapshot is taken from.
type Source interface {
	// Header says where a partition was cut: everything but wallet and time.
	Header(ctx context.Context, partition int) (Header, error)
	// Each gives the partition's records, in a file's order.
	Each(partition int, into Records) error
}

// viewSource is a cut of the projection.
type viewSource struct {
	cut *view.Cut
	log journal.Log
}

// FromView takes from a cut of the projection. The log is asked for one record a partition.
func FromView(cut *view.Cut, log journal.Log) Source { return &viewSource{cut, log} }

func (s *viewSource) Header(ctx context.Context, p int) (h Header, err error) {
	at, b, err := s.cut.Progress(p)
	if err != nil {
		return h, err
	}
	h = headerOf(&b, at)
	if at.Offset == 0 {
		return h, nil
	}
	if h.Genesis, _, err = s.cut.Genesis(p); err != nil {
		return h, err
	}
	h.Last, err = lastRecord(ctx, s.log, at)
	return h, err
}

func headerOf(b *journal.Book, at journal.Cursor) Header {
	return Header{Partitions: b.Partitions, Cursor: at, BookEpoch: b.Epoch, TimeMS: b.TimeMS, EvictedMS: b.EvictedMS}
}

// lastRecord is the SHA-256 of the record before the cursor.
func lastRecord(ctx context.Context, log journal.Log, at journal.Cursor) (h journal.Hash, err error) {
	found := errors.New("found")
	_, err = log.Read(ctx, at.Partition, at.Offset-1, func(_ int64, record []byte) error {
		h = sha256.Sum256(record)
		return found
	})
	switch {
	case errors.Is(err, found):
		return h, nil
	case err == nil:
		err = fmt.Errorf("%w: it ends before offset %d, up to which it has been folded", journal.ErrDamaged, at.Offset)
	}
	return h, fmt.Errorf("log of partition %d: %w", at.Partition, err)
}

func (s *viewSource) Each(p int, into Records) error {
	if err := s.cut.Each(p, honest(into)); err != nil {
		return err
	}
	behind, sent := s.cut.InFlight(p)
	legs := make([]Sent, len(sent))
	for i := range sent {
		legs[i] = Sent(sent[i])
	}
	giveLegs(into, behind, legs)
	return nil
}

func giveLegs(into Records, behind map[int]uint64, legs []Sent) {
	for _, q := range slices.Sorted(maps.Keys(behind)) {
		into.Behind(q, behind[q])
	}
	for i := range legs {
		into.Leg(legs[i].Seq, legs[i].Leg)
	}
}

// foldSource are Books folded from a log.
type foldSource struct{ parts []*Folded }

// FromFolds takes from a wallet's partitions folded from their logs, all of them, in order.
func FromFolds(parts []*Folded) Source { return &foldSource{parts} }

func (s *foldSource) Header(_ context.Context, p int) (Header, error) {
	f := s.parts[p]
	h := headerOf(f.Book, f.Cursor)
	h.Last, h.Genesis = f.Last, f.Genesis
	return h, nil
}

func (s *foldSource) Each(p int, into Records) error {
	f := s.parts[p]
	giveBook(f.Book.State.(*journal.Memory), honest(into))
	behind, legs := f.Sent.inFlight(f.Book, func(q int) uint64 { return s.parts[q].Book.State.Delivered(p) })
	giveLegs(into, behind, legs)
	return nil
}

func giveBook(m *journal.Memory, into Records) {
	for _, h := range sortedNames(m.Accounts, handleText) {
		into.Account(h, m.Accounts[h])
	}
	for _, h := range sortedNames(m.DetailsOf, handleText) {
		into.Details(h, m.DetailsOf[h])
	}
	for _, id := range sortedNames(m.Keys, idText) {
		into.Key(id, m.Keys[id])
	}
	for _, id := range sortedNames(m.Reservations, idText) {
		into.Reservation(id, m.Reservations[id])
	}
	for _, q := range slices.Sorted(maps.Keys(m.DeliveredOf)) {
		into.Delivered(q, m.DeliveredOf[q])
	}
	_ = m.Filter.Each(func(n int, b *journal.FilterBlock) error { into.Filter(n, b); return nil }) // it fails as little as we do
}

func handleText(h *journal.Handle) []byte { return h[:] }
func idText(id *journal.ID) []byte        { return id[:] }

func sortedNames[K comparable, V any](m map[K]V, text func(*K) []byte) []K {
	return slices.SortedFunc(maps.Keys(m), func(a, b K) int { return bytes.Compare(text(&a), text(&b)) })
}

// honest passes everything on, unless the bug is planted.
func honest(into Records) Records {
	if planted.Is(planted.SnapshotNoKeys) {
		return forgetful{into}
	}
	return into
}

type forgetful struct{ Records }

func (forgetful) Key(journal.ID, journal.KeyRecord) {}
