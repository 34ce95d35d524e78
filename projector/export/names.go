package export

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// nameReader learns the names of accounts, and goes on where it was.
type nameReader struct {
	log     journal.Log
	cursors []journal.Cursor
	names   reconcile.Names
	seqs    []uint64 // of the last event of each partition
	damaged bool     // what comes behind is not known
}

func newNameReader(log journal.Log) *nameReader {
	n := &nameReader{log: log, names: reconcile.Names{}, seqs: make([]uint64, log.Partitions())}
	for p := range log.Partitions() {
		n.cursors = append(n.cursors, journal.Cursor{Partition: p})
	}
	return n
}

// catchUp reads all partitions to their ends. What is damaged is left to the fold, which says where.
func (n *nameReader) catchUp(ctx context.Context) error {
	for p := range n.cursors {
		_, err := n.log.Read(ctx, p, n.cursors[p].Offset, func(offset int64, record []byte) error {
			frame, verdict, err := n.cursors[p].Next(offset, record)
			if err != nil || verdict != journal.Accepted || frame.Kind == journal.FrameEpochStarted {
				return err
			}
			return frame.EachEvent(func(e *journal.Event) error {
				var row journal.Row
				if _, err := row.Parse(e.Packed); err != nil {
					return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
				}
				n.names.Learn(&row)
				n.seqs[p] = e.Seq
				return nil
			})
		})
		switch {
		case err == nil:
		case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrBadFrame):
			n.damaged = true
		default:
			return fmt.Errorf("names: partition %d: %w", p, err)
		}
	}
	return nil
}

// genesis is the SHA-256 of a partition's first record: it tells one wallet's journal from another's. Nil: there is none yet.
func genesis(ctx context.Context, log journal.Log, partition int) (sum []byte, err error) {
	enough := errors.New("enough")
	_, err = log.Read(ctx, partition, 0, func(_ int64, record []byte) error {
		s := sha256.Sum256(record)
		sum = s[:]
		return enough
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, fmt.Errorf("first record of partition %d: %w", partition, err)
	}
	return sum, nil
}
