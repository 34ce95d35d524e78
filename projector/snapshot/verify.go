package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"walletd/journal"
)

// digesting folds records into the digest of the Book that they make.
type digesting struct {
	nothing
	*journal.Dumper
	hash hash.Hash
}

func newDigesting(h *Header) *digesting {
	d := &digesting{hash: sha256.New()}
	d.Dumper = journal.NewDumper(d.hash, h.Cursor.Partition, h.Partitions, h.Cursor.Seq, h.TimeMS, h.EvictedMS)
	return d
}

func (d *digesting) sum() (h journal.Hash) { d.hash.Sum(h[:0]); return h }

// Account passes on to the dumper, as the methods below do.
func (d *digesting) Account(h journal.Handle, a journal.Account)      { d.Dumper.Account(h, a) }
func (d *digesting) Details(h journal.Handle, text []byte)            { d.Dumper.Details(h, text) }
func (d *digesting) Key(id journal.ID, k journal.KeyRecord)           { d.Dumper.Key(id, k) }
func (d *digesting) Reservation(id journal.ID, r journal.Reservation) { d.Dumper.Reservation(id, r) }
func (d *digesting) Delivered(source int, seq uint64)                 { d.Dumper.Delivered(source, seq) }

// Verdict is what Verify found out about one file.
type Verdict struct {
	Snapshot  string `json:"snapshot"`
	Partition int    `json:"partition"` // -1: of the whole snapshot
	Position  string `json:"position,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Replayed  string `json:"replayed_digest,omitempty"` // deep: of the log folded up to the cut
	OK        bool   `json:"ok"`
	Problem   string `json:"problem,omitempty"`
}

// Verify reads every file of a snapshot: checksums, counts, sums, digest. With a log it also folds that from its first
// record up to the cut, and compares. An error is a store or a log that does not answer; what is wrong is in the verdicts.
func (s *Shelf) Verify(ctx context.Context, e Entry, log journal.Log, progress func(done, total int64)) ([]Verdict, error) {
	if e.Err != nil {
		return []Verdict{{Snapshot: e.ID, Partition: -1, Problem: e.Err.Error()}}, nil
	}
	var all []Verdict
	for p := range e.Manifest.Files {
		f := &e.Manifest.Files[p]
		v := Verdict{Snapshot: e.ID, Partition: p, Position: f.Position, Digest: f.Digest}
		err := s.check(ctx, e.Manifest, p, true)
		if err == nil && log != nil {
			err = s.deep(ctx, f, log, &v, progress)
		}
		switch {
		case errors.Is(err, ErrDamaged), errors.Is(err, journal.ErrDamaged):
			v.Problem = err.Error()
		case err != nil:
			return all, err
		default:
			v.OK = true
		}
		all = append(all, v)
	}
	return all, nil
}

// deep folds the log up to a file's cut.
func (s *Shelf) deep(ctx context.Context, f *File, log journal.Log, v *Verdict, progress func(done, total int64)) error {
	x := FoldConfig{Log: log, Partition: f.Partition, Until: f.Offset}
	if progress != nil {
		x.Progress = func(done int64) { progress(done, f.Offset) }
	}
	folded := &Folded{Book: journal.NewBook(f.Partition, s.Partitions)}
	if f.Offset > 0 {
		var err error
		if folded, err = Fold(ctx, x); err != nil {
			return err
		}
	}
	digest := folded.Book.Digest()
	v.Replayed = hex.EncodeToString(digest[:])
	filter := folded.Book.State.(*journal.Memory).Filter.Digest()
	switch {
	case folded.Cursor.Offset != f.Offset:
		return fmt.Errorf("%w: the log of partition %d ends at offset %d, the snapshot was taken at %d", journal.ErrDamaged, f.Partition, folded.Cursor.Offset, f.Offset)
	case v.Replayed != f.Digest || hex.EncodeToString(folded.Cursor.Chain[:]) != f.Chain:
		return fmt.Errorf("%w: partition %d: the log up to offset %d gives the digest %s and the chain %x, the snapshot has %s and %s", ErrDamaged, f.Partition, f.Offset, v.Replayed, folded.Cursor.Chain, f.Digest, f.Chain)
	case hex.EncodeToString(filter[:]) != f.Filter:
		return fmt.Errorf("%w: partition %d: the log up to offset %d gives the filter of evicted keys %x, the snapshot has %s", ErrDamaged, f.Partition, f.Offset, filter, f.Filter)
	}
	return nil
}
