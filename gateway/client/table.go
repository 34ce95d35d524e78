package client

import (
	"fmt"
	"time"
)

// slotState is where a command is.
type slotState uint8

const (
	slotFree    slotState = iota
	slotTaken             // given to a caller that has not filled it yet
	slotQueued            // to be sent
	slotSent              // sent on the present connection, no reply yet
	slotWaiting           // refused for now; asked again at notBefore
	slotDropped           // sent, and the caller has gone: kept until its reply, because it fills the gateway's window
)

// slot holds one command from the call to its outcome. The text is kept for retries: same key, same bytes.
type slot struct {
	id        uint64 // generation << 16 | index: what the gateway echoes
	state     slotState
	maybe     bool // an earlier attempt may have happened: its reply was lost, or said so
	attempts  int  // replies that asked for patience
	weight    int  // acts in it, as the gateway's window counts
	tag       uint64
	done      Done
	text      []byte
	deadline  time.Time
	notBefore time.Time
	refusal   *RefusedError // the last reply that asked for patience
}

// textKeep bounds the buffer that a free slot keeps, bytes; a batch may be 1 MiB.
const textKeep = 1 << 10

// verdict is what a caller is told when a command ends without an answer.
func (s *slot) verdict(cause error) error {
	switch {
	case s.maybe || s.state == slotSent:
		return &UnknownError{Err: cause}
	case s.refusal != nil:
		return fmt.Errorf("%w (gave up: %w)", s.refusal, cause)
	default:
		return fmt.Errorf("not sent, nothing moved: %w", cause)
	}
}

// table is a client's commands. It has no lock of its own.
type table struct {
	slots    []slot
	free     []uint32
	queue    []uint64 // ids to be sent, oldest first; those that are no longer queued are passed over
	head     int
	inFlight int // acts sent on the present connection and not answered
	window   int // of the present connection
}

func newTable(n int) *table {
	t := &table{slots: make([]slot, n), free: make([]uint32, n), queue: make([]uint64, 0, 2*n)}
	for i := range t.free {
		t.free[i] = uint32(n - 1 - i)
		t.slots[i].id = uint64(i)
	}
	return t
}

// busy is the number of slots that are not free.
func (t *table) busy() int { return len(t.slots) - len(t.free) }

// take takes a free slot; nil when there is none.
func (t *table) take() *slot {
	if len(t.free) == 0 {
		return nil
	}
	s := &t.slots[t.free[len(t.free)-1]]
	t.free = t.free[:len(t.free)-1]
	s.id += inFlightMax // the next generation
	s.state = slotTaken
	return s
}

// release makes a slot free.
func (t *table) release(s *slot) {
	text := s.text[:0]
	if cap(text) > textKeep {
		text = nil
	}
	*s = slot{id: s.id, text: text}
	t.free = append(t.free, uint32(s.id%inFlightMax))
}

// find returns the slot that a message id names, nil when that command has ended.
func (t *table) find(id uint64) *slot {
	if i := id % inFlightMax; i < uint64(len(t.slots)) {
		if s := &t.slots[i]; s.id == id && s.state != slotFree {
			return s
		}
	}
	return nil
}

// enqueue puts a slot at the end of what is to be sent.
func (t *table) enqueue(s *slot) {
	s.state = slotQueued
	if len(t.queue) == cap(t.queue) {
		t.compact()
	}
	t.queue = append(t.queue, s.id)
}

// compact drops what has been sent or given up. At most one id a slot is left, and there is room for twice as many.
func (t *table) compact() {
	kept := t.queue[:0]
	for _, id := range t.queue[t.head:] {
		if s := t.find(id); s != nil && s.state == slotQueued {
			kept = append(kept, id)
		}
	}
	t.queue, t.head = kept, 0
}

// next returns the oldest queued slot without taking it off; nil when nothing is queued.
func (t *table) next() *slot {
	for t.head < len(t.queue) {
		if s := t.find(t.queue[t.head]); s != nil && s.state == slotQueued {
			return s
		}
		t.head++
	}
	t.queue, t.head = t.queue[:0], 0
	return nil
}

// cut moves queued commands into a frame: as many as the window, the size of a frame and most (0: any number) allow.
func (t *table) cut(frame []byte, most int) []byte {
	for n := 0; most == 0 || n < most; n++ {
		s := t.next()
		// A batch larger than the whole window goes alone.
		if s == nil || (t.inFlight > 0 && t.inFlight+s.weight > t.window) {
			break
		}
		if len(frame) > 0 {
			if len(frame)+1+len(s.text) > frameMax {
				break
			}
			frame = append(frame, '\n')
		}
		frame = append(frame, s.text...)
		t.head++
		s.state = slotSent
		t.inFlight += s.weight
	}
	return frame
}

// answered takes a sent command out of the window.
func (t *table) answered(s *slot) { t.inFlight -= s.weight }

// lost is told that the connection is gone: what was sent may have happened and is sent again, with the same key.
func (t *table) lost() {
	t.inFlight = 0
	for i := range t.slots {
		switch s := &t.slots[i]; s.state {
		case slotSent:
			s.maybe = true
			t.enqueue(s)
		case slotDropped:
			t.release(s)
		case slotFree, slotTaken, slotQueued, slotWaiting: // not sent
		}
	}
}
