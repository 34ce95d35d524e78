package keeper

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"walletd/journal"
)

// Snapshots spare a claim the reading of whole logs. The binary hands them in (projector/snapshot); nil = every fold begins
// at a log's first record.
type Snapshots interface {
	// Newest answers the newest state of the partition that is whole, nil where there is none. It is asked once a claim. An
	// error is no reason not to serve: the log is read from its first record instead. What it answers belongs to the keeper.
	Newest(ctx context.Context, partition int) (*Beginning, error)
}

// Beginning is a partition's state at a cut of its log. Whether it is of this log is the keeper's to find out.
type Beginning struct {
	Name   string         // for people
	Cursor journal.Cursor // where the log is read on
	Last   journal.Hash   // SHA-256 of the record before Cursor.Offset
	Book   *journal.Book  // folded up to Cursor.Seq; its State is a Memory
	Legs   []Sent         // decided for other partitions and not known to be credited, in order
	Behind []uint64       // by destination: every leg decided behind this seq, up to the cut, is in Legs
}

// Sent is a decided leg with the seq of its event.
type Sent struct {
	Seq uint64
	Leg journal.Leg
}

// newest asks for a partition's newest snapshot; nil: there is none, or none can be had. A store that does not answer is not asked
// again in this claim: each question may take as long.
func (r *reign) newest(ctx context.Context, partition int, t *tally) (*Beginning, error) {
	if r.cfg.Snapshots == nil || t.noStore.Load() {
		return nil, nil //nolint:nilnil // the log is read from its first record
	}
	b, err := r.cfg.Snapshots.Newest(ctx, partition)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		t.noStore.Store(true)
		r.cfg.Log.Warn("no snapshot can be read; the log is read from its first record", "partition", partition, "error", err)
		return nil, nil //nolint:nilnil // as above
	case b == nil || b.Cursor.Offset == 0:
		return nil, nil //nolint:nilnil // as above
	}
	return b, nil
}

// begin puts a fold where a snapshot is. end is where the log ended after the snapshot was found: not before, for a
// predecessor may still write, and the projection take snapshots of that. A log that has nothing at all has lost it.
func (r *reign) begin(f *folded, b *Beginning, end int64) error {
	p := f.book.Partition
	if b.Cursor.Offset > end {
		return fmt.Errorf("%w: it ends at offset %d, and %s was taken at offset %d: records have been lost; restore them, or move the snapshots away if they are of another wallet",
			journal.ErrDamaged, end, b.Name, b.Cursor.Offset)
	}
	f.start(b)
	r.cfg.Log.Info("fold begins at a snapshot", "partition", p, "snapshot", b.Name, "offset", b.Cursor.Offset, "seq", b.Cursor.Seq, "behind_it", end-b.Cursor.Offset)
	r.tell(Progress{State: Claiming, Partition: p, From: b.Name})
	return nil
}

// start takes a snapshot's state over.
func (f *folded) start(b *Beginning) {
	f.from, f.last = b.Name, b.Last
	f.book, f.end, f.wrote = b.Book, b.Cursor, b.Book.Epoch
	f.points.add(b.Cursor)
	f.recent.floors = b.Behind
	for i := range b.Legs {
		f.recent.remember(b.Legs[i].Seq, b.Legs[i].Leg)
	}
}

// recognise holds the record before a snapshot's cut against what the snapshot says about it.
func (f *folded) recognise(offset int64, record []byte) error {
	if sha256.Sum256(record) == f.last {
		return nil
	}
	return fmt.Errorf("%w: the record at offset %d is not the one that %s was taken behind: the log is another one than it was; restore it, or move the snapshots away if they are of another wallet",
		journal.ErrDamaged, offset, f.from)
}

// foldTail reads a log from where its fold stands. Behind a snapshot it begins with the record before, to know the log by.
func (r *reign) foldTail(ctx context.Context, f *folded, t *tally) error {
	known, from := f.from == "", f.end.Offset
	if !known {
		from--
	}
	_, err := r.cfg.Journal.Read(ctx, f.book.Partition, from, func(offset int64, record []byte) error {
		if !known {
			known = true
			return f.recognise(offset, record)
		}
		if f.until > 0 && offset >= f.until {
			return errEnough
		}
		t.record(f.book.Partition)
		frame, verdict, err := f.end.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return f.visit(&frame, f.end)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && !known {
		err = errors.New("the log has no record before the snapshot's cut")
	}
	return err
}
