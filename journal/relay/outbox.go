package relay

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
)

// Outbox is what a shard has applied and the journal may not have yet: entries, one a train, with places 1, 2, 3, … The relay
// calls Next from one goroutine and Trim from another. Retrying is the outbox's own affair: an error of either ends Run.
type Outbox interface {
	// Next blocks until there is more behind the relay's Place, and answers that, in the order in which it happened; at
	// first, from the oldest on that is kept. What was offered meanwhile may be in it. The bytes belong to the outbox again
	// at the next call.
	Next(ctx context.Context) (Batch, error)
	// Trim says that the journal has everything up to and including this place.
	Trim(ctx context.Context, upTo uint64) error
}

// Batch is some of an outbox. Sections are in the order of their places, those of one partition in the order of their seqs.
type Batch struct {
	Sections []Section
	UpTo     uint64 // place of the last entry
}

// Section is a run of events of one partition with one time, as one train left it. Its block's epoch is the one in which
// the acts ran: the keeper's, or an earlier one whose events it adopted.
type Section struct {
	Place     uint64 // of its entry in the outbox
	Partition int
	FirstSeq  uint64
	journal.Block
}

// LastSeq is the seq of the section's last event.
func (s *Section) LastSeq() uint64 { return s.FirstSeq + uint64(s.Count) - 1 }

// Mark is a partition's watermark: the journal is durable up to Seq.
type Mark struct {
	Partition int
	Epoch     uint32 // of the keeper
	Seq       uint64
}

// Why a relay gives up. The keeper rebuilds after ErrOutbox, and steps down after ErrDeposed.
var (
	ErrDeposed = errors.New("deposed")
	ErrOutbox  = errors.New("the outbox does not continue the journal")
)

// DeposedError names who took the partition over. It is an ErrDeposed.
type DeposedError struct {
	Partition int
	Epoch     uint32 // ours
	By        uint32 // the higher one; ours, when another keeper has started it
}

func (e *DeposedError) Error() string {
	return fmt.Sprintf("%v: partition %d epoch %d: epoch %d has started", ErrDeposed, e.Partition, e.Epoch, e.By)
}

func (e *DeposedError) Unwrap() error { return ErrDeposed }

// OutboxError names a section that cannot be journaled. It is an ErrOutbox.
type OutboxError struct {
	Partition int
	FirstSeq  uint64
	Count     int
	Want      uint64 // seq that comes next
	Reason    string
}

func (e *OutboxError) Error() string {
	return fmt.Sprintf("%v: partition %d: %d events from seq %d where %d comes next: %s", ErrOutbox, e.Partition, e.Count, e.FirstSeq, e.Want, e.Reason)
}

func (e *OutboxError) Unwrap() error { return ErrOutbox }
