package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// FrameKind tells what a frame says.
type FrameKind uint8

// The kinds of frames. Values are frozen: they are on disk.
const (
	FrameEvents       FrameKind = 1 // events of one partition, in order
	FrameEpochStarted FrameKind = 2 // a new keeper owns the partition from here on; it has no seq (design section 7)
)

// FrameVersion is the version of the frame's layout.
const FrameVersion = 1

// Hash is a SHA-256 in the chain of a partition.
type Hash [sha256.Size]byte

// FrameHeadSize is the length of a frame before its payload, bytes.
const FrameHeadSize = 1 + 1 + 2 + 4 + 8 + 4 + 32 + 32

// FrameBytesMax bounds a frame, bytes: a record of the log.
const FrameBytesMax = 1 << 20

// Frame is one record of the log:
//
//	version u8, kind u8, partition u16, epoch u32, first_seq u64, count u32, prev 32, hash 32, payload
//
// hash = SHA-256(prev, the 20 bytes before prev, payload). The payload of an events frame is a list of blocks (Block).
// An epoch frame is written without knowledge of the log's end: its prev is zero, first_seq and count are 0; the chain
// goes on over it (Cursor). Its payload is: time_ms u56, then the keeper's name.
type Frame struct {
	Kind      FrameKind
	Partition int
	Epoch     uint32
	FirstSeq  uint64
	Count     int
	Prev      Hash
	Hash      Hash
	Payload   []byte
}

// LastSeq is the seq of the frame's last event.
func (f *Frame) LastSeq() uint64 { return f.FirstSeq + uint64(f.Count) - 1 }

// ErrBadFrame says that bytes are no frame, or not the frame that was written.
var ErrBadFrame = errors.New("bad frame")

func (f *Frame) appendHead(dst []byte) []byte {
	dst = append(dst, FrameVersion, byte(f.Kind))
	dst = binary.BigEndian.AppendUint16(dst, uint16(f.Partition))
	dst = binary.BigEndian.AppendUint32(dst, f.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, f.FirstSeq)
	return binary.BigEndian.AppendUint32(dst, uint32(f.Count))
}

func (f *Frame) sum() (h Hash) {
	var head [20]byte
	d := sha256.New()
	d.Write(f.Prev[:])
	d.Write(f.appendHead(head[:0]))
	d.Write(f.Payload)
	d.Sum(h[:0])
	return h
}

// Seal computes the hash, and appends the packed frame to dst.
func (f *Frame) Seal(dst []byte) []byte {
	f.Hash = f.sum()
	dst = f.appendHead(dst)
	dst = append(append(dst, f.Prev[:]...), f.Hash[:]...)
	return append(dst, f.Payload...)
}

// NewEpochFrame is the frame by which a keeper claims a partition.
func NewEpochFrame(partition int, epoch uint32, timeMS int64, keeper string) Frame {
	return Frame{Kind: FrameEpochStarted, Partition: partition, Epoch: epoch, Payload: append(appendU56(nil, uint64(timeMS)), keeper...)}
}

// ParseFrame unpacks a frame, which then shares memory with b, and verifies its own hash (not its place in the chain).
func ParseFrame(b []byte) (f Frame, err error) {
	if len(b) < FrameHeadSize {
		return f, fmt.Errorf("%w: %d bytes", ErrBadFrame, len(b))
	}
	if b[0] != FrameVersion {
		return f, fmt.Errorf("%w: version %d, this build reads %d", ErrBadFrame, b[0], FrameVersion)
	}
	f = Frame{
		Kind: FrameKind(b[1]), Partition: int(binary.BigEndian.Uint16(b[2:])), Epoch: binary.BigEndian.Uint32(b[4:]),
		FirstSeq: binary.BigEndian.Uint64(b[8:]), Count: int(binary.BigEndian.Uint32(b[16:])),
		Prev: Hash(b[20:52]), Hash: Hash(b[52:84]), Payload: b[FrameHeadSize:],
	}
	if f.Kind != FrameEvents && f.Kind != FrameEpochStarted {
		return f, fmt.Errorf("%w: kind %d", ErrBadFrame, b[1])
	}
	if f.Kind == FrameEvents && (f.Count == 0 || f.FirstSeq == 0) {
		return f, fmt.Errorf("%w: %d events from seq %d", ErrBadFrame, f.Count, f.FirstSeq)
	}
	if f.sum() != f.Hash {
		return f, fmt.Errorf("%w: partition %d epoch %d seq %d: the hash does not match the content", ErrBadFrame, f.Partition, f.Epoch, f.FirstSeq)
	}
	return f, nil
}

// Event is a row that has happened, with its outcome. It shares memory with its frame.
type Event struct {
	Position
	TimeMS int64  // the shard's clock, never going back within the partition
	Status Status // the outcome; refusals that are frozen under a key are events too
	Packed []byte // the row as it came
}

// Row unpacks the event's row.
func (e *Event) Row() (r Row, err error) {
	_, err = r.Parse(e.Packed)
	return r, err
}

// Block is a run of events with one time within a frame's payload, as one train left them in the outbox:
//
//	time_ms u56, epoch u32, count u16, bytes u32, then count × (row, status u8) in that many bytes
//
// The epoch is the one in which the acts ran: the frame's, or an earlier one when a new keeper adopted what its
// predecessor had not yet journaled. It is part of the events' positions, so that shard and fold agree on them.
type Block struct {
	TimeMS int64
	Epoch  uint32
	Count  int
	Events []byte
}

// BlockHeadSize is the length of a block before its events, bytes.
const BlockHeadSize = 7 + 4 + 2 + 4

// Append packs the block onto dst.
func (b Block) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(appendU56(dst, uint64(b.TimeMS)), b.Epoch)
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.Count))
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b.Events))), b.Events...)
}

// EachEvent calls fn for every event of an events frame, in order, until it answers an error.
// The event that fn gets is reused for the next one.
func (f *Frame) EachEvent(fn func(*Event) error) error {
	if f.Kind != FrameEvents {
		return nil
	}
	e := Event{Position: Position{Partition: f.Partition, Seq: f.FirstSeq}}
	p := f.Payload
	for len(p) > 0 {
		if len(p) < BlockHeadSize {
			return fmt.Errorf("%w: %v: block cut short", ErrBadFrame, e.Position)
		}
		e.TimeMS = int64(u56(p))
		e.Epoch = binary.BigEndian.Uint32(p[7:])
		count, size := int(binary.BigEndian.Uint16(p[11:])), int(binary.BigEndian.Uint32(p[13:]))
		p = p[BlockHeadSize:]
		if size > len(p) {
			return fmt.Errorf("%w: %v: block of %d bytes in %d", ErrBadFrame, e.Position, size, len(p))
		}
		if err := eachInBlock(&e, p[:size], count, fn); err != nil {
			return err
		}
		p = p[size:]
	}
	if e.Seq != f.FirstSeq+uint64(f.Count) {
		return fmt.Errorf("%w: partition %d seq %d: %d events, the head says %d", ErrBadFrame, f.Partition, f.FirstSeq, e.Seq-f.FirstSeq, f.Count)
	}
	return nil
}

// Find answers the event with this seq of an events frame; false when it has none. It does not look into the rows of
// others.
func (f *Frame) Find(seq uint64) (e Event, ok bool, err error) {
	at, p := f.FirstSeq, f.Payload
	for len(p) >= BlockHeadSize && at <= seq {
		count, size := uint64(binary.BigEndian.Uint16(p[11:])), int(binary.BigEndian.Uint32(p[13:]))
		if size > len(p)-BlockHeadSize {
			break
		}
		events := p[BlockHeadSize : BlockHeadSize+size]
		if seq >= at+count {
			at, p = at+count, p[BlockHeadSize+size:]
			continue
		}
		for ; ; at++ {
			n, err := RowLen(events)
			if err != nil || n >= len(events) {
				return e, false, fmt.Errorf("%w: partition %d seq %d: event cut short", ErrBadFrame, f.Partition, at)
			}
			if at == seq {
				return Event{Position: Position{Partition: f.Partition, Epoch: binary.BigEndian.Uint32(p[7:]), Seq: seq}, TimeMS: int64(u56(p)),
					Status: Status(events[n]), Packed: events[:n:n]}, true, nil
			}
			events = events[n+1:]
		}
	}
	return e, false, nil
}

func eachInBlock(e *Event, p []byte, count int, fn func(*Event) error) error {
	for ; count > 0; count-- {
		n, err := RowLen(p)
		if err != nil || n >= len(p) {
			return fmt.Errorf("%w: %v: event cut short", ErrBadFrame, e.Position)
		}
		e.Packed, e.Status = p[:n:n], Status(p[n])
		if err := fn(e); err != nil {
			return err
		}
		p = p[n+1:]
		e.Seq++
	}
	if len(p) != 0 {
		return fmt.Errorf("%w: %v: %d bytes behind the block's last event", ErrBadFrame, e.Position, len(p))
	}
	return nil
}
