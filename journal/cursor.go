package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Cursor decides which frames of a partition's log count (log-order fencing, design section 7): an event counts iff its
// epoch is the highest started so far and its seq is the next one. It is the same for keeper, projector and auditor.
type Cursor struct {
	Partition int
	Offset    int64  // of the next record of the log
	Epoch     uint32 // highest epoch started so far
	Seq       uint64 // of the last event that counts
	Chain     Hash   // over all frames that count
}

// Verdict says what a frame is to a reader.
type Verdict string

// What a frame is to a reader. Dropped frames are counted, never an error: they are what fencing keeps out.
const (
	Accepted       Verdict = "accepted"
	DropStaleEpoch Verdict = "stale_epoch" // of a deposed keeper
	DropDuplicate  Verdict = "duplicate"   // an append that was repeated after a lost reply
)

// ErrDamaged says that a journal is not what its keepers wrote. It is located and never skipped (promise P12).
var ErrDamaged = errors.New("journal damaged")

// Next takes the record at c.Offset. The offset advances for every verdict; the rest only for Accepted.
func (c *Cursor) Next(offset int64, record []byte) (Frame, Verdict, error) {
	if offset != c.Offset {
		return Frame{}, "", fmt.Errorf("%w: partition %d: record at offset %d, expected %d", ErrDamaged, c.Partition, offset, c.Offset)
	}
	f, err := ParseFrame(record)
	if err != nil {
		return f, "", fmt.Errorf("%w: partition %d offset %d (behind seq %d): %w", ErrDamaged, c.Partition, offset, c.Seq, err)
	}
	if f.Partition != c.Partition {
		return f, "", fmt.Errorf("%w: partition %d offset %d: a frame of partition %d", ErrDamaged, c.Partition, offset, f.Partition)
	}
	v, err := c.judge(&f)
	if err != nil {
		return f, "", err
	}
	c.Offset++
	return f, v, nil
}

func (c *Cursor) judge(f *Frame) (Verdict, error) {
	if f.Kind == FrameEpochStarted {
		if f.Epoch == c.Epoch {
			return DropDuplicate, nil
		}
		if f.Epoch < c.Epoch {
			return DropStaleEpoch, nil
		}
		c.Epoch = f.Epoch
		c.Chain = link(c.Chain, f.Hash)
		return Accepted, nil
	}
	switch {
	case f.Epoch < c.Epoch:
		return DropStaleEpoch, nil
	case f.Epoch > c.Epoch:
		return "", fmt.Errorf("%w: partition %d offset %d: events of epoch %d, which never started (highest %d)", ErrDamaged, c.Partition, c.Offset, f.Epoch, c.Epoch)
	case f.LastSeq() <= c.Seq:
		return DropDuplicate, nil
	case f.FirstSeq != c.Seq+1:
		return "", fmt.Errorf("%w: partition %d offset %d: seq %d follows %d", ErrDamaged, c.Partition, c.Offset, f.FirstSeq, c.Seq)
	case f.Prev != c.Chain:
		return "", fmt.Errorf("%w: partition %d offset %d seq %d: the hash chain is broken", ErrDamaged, c.Partition, c.Offset, f.FirstSeq)
	}
	c.Seq = f.LastSeq()
	c.Chain = f.Hash
	return Accepted, nil
}

// link carries the chain over an epoch frame, which was written without knowing it.
func link(chain, epoch Hash) Hash {
	return sha256.Sum256(append(chain[:], epoch[:]...))
}
