package relay

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"walletd/journal"
	"walletd/journal/planted"
)

// What fits in a frame, and so in a block. A section that is larger is split, always at the same events, so that a
// keeper that takes over halfway knows where.
const (
	payloadMax = journal.FrameBytesMax - journal.FrameHeadSize
	eventsMax  = payloadMax - journal.BlockHeadSize
)

// keepBuffer is the largest buffer that an idle lane keeps, bytes.
const keepBuffer = 256 << 10

// lane is a partition's way into the log.
type lane struct {
	partition int    // immutable
	epoch     uint32 // immutable: the keeper's

	// guarded by Relay.mu
	tail    uint64  // seq of the last event collected
	durable uint64  // seq of the last event that the log has
	chunks  []chunk // collected, oldest first; the last one is still growing
	tickets []share // what waits to be trimmed, in order of seq
	recent  recent
	offer   uint64 // the last one that had a section of it

	// owned by the loop
	since   time.Time // the flight began
	refused bool      // its frame was not appended
	away    bool      // the journal does not take the partition's frames, and that was told

	// owned by whoever has the flight: the loop, the sender, or its repair
	cursor  journal.Cursor
	flight  flight
	records [2][]byte // packed frames, used in turn: one is told while the next one flies
}

// chunk is the payload of a frame to come.
type chunk struct {
	firstSeq uint64
	count    int
	payload  []byte
}

// share is a batch's interest in a lane: it waits until seq is durable.
type share struct {
	seq    uint64
	ticket *ticket
}

// ticket is a batch of the outbox that has not been trimmed.
type ticket struct {
	upTo uint64
	left int // lanes that have something of it and are not durable that far
}

// flight is the frame of a lane that is under way.
type flight struct {
	busy    bool
	frame   journal.Frame
	record  []byte
	unknown bool  // the outcome of a request with it was never known
	look    bool  // the log must be read before it may be sent again
	landed  int64 // where the log said it is, when that is not where it should be; -1 otherwise
	at      int64 // offset of the record that counts, -1 before that is known
}

func newLane(c journal.Cursor) *lane {
	return &lane{partition: c.Partition, epoch: c.Epoch, tail: c.Seq, durable: c.Seq, cursor: c}
}

// take collects a section; what the journal has already is dropped. wait is the seq whose durability it waits for, 0 for
// none. Relay.mu is held.
func (l *lane) take(s *Section, st *Stats) (wait uint64, err error) {
	bad := func(reason string) error {
		return &OutboxError{Partition: s.Partition, FirstSeq: s.FirstSeq, Count: s.Count, Want: l.tail + 1, Reason: reason}
	}
	switch {
	case s.Count < 1 || s.FirstSeq < 1:
		return 0, bad("no events")
	case s.Epoch > l.epoch:
		return 0, &DeposedError{Partition: l.partition, Epoch: l.epoch, By: s.Epoch}
	}
	err = eachPart(s, func(first uint64, b journal.Block) error {
		last, sum := first+uint64(b.Count)-1, sumOf(b)
		switch {
		case last <= l.tail:
			if !l.recent.agrees(first, b.Count, sum) {
				return bad("the journal has other events there")
			}
			st.Duplicates++
		case first != l.tail+1 && first > l.tail:
			return bad("a gap")
		case first != l.tail+1:
			return bad("an overlap")
		default:
			st.Pending += l.collect(first, b)
			l.recent.add(first, b.Count, sum)
			l.tail = last
		}
		return nil
	})
	if err == nil && s.LastSeq() > l.durable {
		wait = s.LastSeq()
	}
	return wait, err
}

// repeats compares a section that was collected with what was, as far as that is remembered. Relay.mu is held.
func (l *lane) repeats(s *Section) error {
	return eachPart(s, func(first uint64, b journal.Block) error {
		if first+uint64(b.Count)-1 <= l.tail && l.recent.agrees(first, b.Count, sumOf(b)) {
			return nil
		}
		return &OutboxError{Partition: s.Partition, FirstSeq: s.FirstSeq, Count: s.Count, Want: l.tail + 1, Reason: "the journal has other events there"}
	})
}

// collect puts a block into the frame to come, and answers how many bytes that took.
func (l *lane) collect(first uint64, b journal.Block) int {
	size := journal.BlockHeadSize + len(b.Events)
	if n := len(l.chunks); n == 0 || len(l.chunks[n-1].payload)+size > payloadMax {
		l.chunks = append(l.chunks, chunk{firstSeq: first, payload: (*buffers.Get().(*[]byte))[:0]})
	}
	c := &l.chunks[len(l.chunks)-1]
	c.payload = b.Append(c.payload)
	c.count += b.Count
	return size
}

// buffers are payloads that have been sealed.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// launch seals the oldest chunk as the next frame. Relay.mu is held.
func (l *lane) launch() int {
	c := l.chunks[0]
	l.chunks = l.chunks[:copy(l.chunks, l.chunks[1:])]
	f := journal.Frame{
		Kind: journal.FrameEvents, Partition: l.partition, Epoch: l.epoch,
		FirstSeq: c.firstSeq, Count: c.count, Prev: l.cursor.Chain, Payload: c.payload,
	}
	l.records[0], l.records[1] = l.records[1], l.records[0]
	if cap(l.records[0]) > keepBuffer && len(c.payload) < keepBuffer/2 {
		l.records[0] = nil
	}
	l.records[0] = f.Seal(l.records[0][:0])
	f.Payload = l.records[0][journal.FrameHeadSize:]
	if cap(c.payload) <= keepBuffer {
		buffers.Put(&c.payload)
	}
	l.flight = flight{busy: true, frame: f, record: l.records[0], landed: -1, at: -1}
	return len(c.payload)
}

// placed notes that the log has put the frame exactly where it was expected: it counts.
func (l *lane) placed() {
	f := &l.flight
	f.at = l.cursor.Offset
	l.cursor.Offset++
	l.cursor.Seq, l.cursor.Chain = f.frame.LastSeq(), f.frame.Hash
}

// counts notes what the log answered for the frame, and reports whether it counts. Else it needs a repair.
func (l *lane) counts(offset int64, notAppended bool) (bool, error) {
	switch {
	case planted.Is(planted.OffsetUnchecked) && offset > l.cursor.Offset:
		l.cursor.Offset = offset
		l.placed()
		return true, nil
	case offset == l.cursor.Offset:
		l.placed()
		return true, nil
	case offset >= 0 && offset < l.cursor.Offset:
		return false, fmt.Errorf("%w: partition %d: the log ends at offset %d, we had read up to %d", journal.ErrDamaged, l.partition, offset, l.cursor.Offset)
	case offset >= 0:
		l.flight.look, l.flight.landed = true, offset
	case !notAppended:
		l.flight.look, l.flight.unknown = true, true
	}
	return false, nil
}

// settle takes note that the journal is durable up to seq, and takes the tickets off that waited for that. Relay.mu is
// held.
func (l *lane) settle(seq uint64) {
	l.durable = seq
	n := 0
	for n < len(l.tickets) && l.tickets[n].seq <= seq {
		l.tickets[n].ticket.left--
		n++
	}
	l.tickets = l.tickets[:copy(l.tickets, l.tickets[n:])]
}

// eachPart calls fn for the section's block, or, when it is too large for a frame, for each of its parts.
func eachPart(s *Section, fn func(first uint64, b journal.Block) error) error {
	first, part := s.FirstSeq, journal.Block{TimeMS: s.TimeMS, Epoch: s.Epoch}
	rest, size := s.Events, 0
	for range s.Count {
		n, err := journal.RowLen(rest[size:])
		if err != nil || size+n >= len(rest) {
			return &OutboxError{Partition: s.Partition, FirstSeq: s.FirstSeq, Count: s.Count, Want: s.FirstSeq, Reason: "its events cannot be told apart"}
		}
		if size+n+1 > eventsMax || part.Count == 1<<16-1 {
			part.Events = rest[:size]
			if err := fn(first, part); err != nil {
				return err
			}
			first, rest, size, part.Count = first+uint64(part.Count), rest[size:], 0, 0
		}
		size += n + 1
		part.Count++
	}
	if size != len(rest) {
		return &OutboxError{Partition: s.Partition, FirstSeq: s.FirstSeq, Count: s.Count, Want: s.FirstSeq, Reason: "bytes behind its last event"}
	}
	part.Events = rest
	return fn(first, part)
}

// recent remembers the last blocks of a lane, so that a section that comes again can be compared with what was journaled.
type recent struct {
	ring [recentBlocks]seen
	next int
}

const recentBlocks = 256

type seen struct {
	first uint64
	count int
	sum   uint64
}

var seed = maphash.MakeSeed()

func sumOf(b journal.Block) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var head [journal.BlockHeadSize]byte
	events := b.Events
	b.Events = nil
	_, _ = h.Write(b.Append(head[:0]))
	_, _ = h.Write(events)
	return h.Sum64()
}

func (r *recent) add(first uint64, count int, sum uint64) {
	r.ring[r.next%recentBlocks] = seen{first, count, sum}
	r.next++
}

// agrees reports whether a block is the one that is remembered from that seq on; one that is not remembered agrees.
func (r *recent) agrees(first uint64, count int, sum uint64) bool {
	for i := range r.ring {
		s := &r.ring[i]
		if s.count > 0 && s.first <= first && first < s.first+uint64(s.count) {
			return *s == seen{first, count, sum}
		}
	}
	return true
}
