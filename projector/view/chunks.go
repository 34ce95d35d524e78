package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// A chunk is a frame's events as they came: what happened is stored once, in the order of seqs, which the store never has to
// merge; everything else names events by their seqs. Its head has what a row and its outcome do not say: a key record's
// detail, where it is not 0.
//
//	count uvarint, details uvarint, details × (seq − first uvarint, detail uvarint), the frame's payload
type chunk struct {
	details []byte // packed
	frame   journal.Frame
}

// detail is of the key record that the event with this seq made.
type detail struct{ seq, detail uint64 }

func appendChunk(dst []byte, f *journal.Frame, details []detail) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(f.Count)), uint64(len(details)))
	for _, d := range details {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, d.seq-f.FirstSeq), d.detail)
	}
	return append(dst, f.Payload...)
}

// parseChunk unpacks a chunk, which then shares memory with b.
func parseChunk(key, b []byte) (c chunk, err error) {
	if len(key) != prefixSize+8 {
		return c, badRecord("chunk's key", key)
	}
	v := varints{b: b}
	count, details := v.unsigned(), v.unsigned()
	rest := v.b
	for range details {
		v.unsigned()
		if v.unsigned(); v.bad {
			break
		}
	}
	if v.bad || count == 0 || count > journal.FrameBytesMax {
		return c, badRecord("chunk", b)
	}
	c.details = rest[:len(rest)-len(v.b)]
	c.frame = journal.Frame{Kind: journal.FrameEvents, Partition: int(binary.BigEndian.Uint16(key[1:])), FirstSeq: binary.BigEndian.Uint64(key[prefixSize:]),
		Count: int(count), Payload: v.b}
	return c, nil
}

// detail is of the key record that the event with this seq made.
func (c *chunk) detail(seq uint64) uint64 {
	for v := (varints{b: c.details}); len(v.b) > 0; {
		if at, d := v.unsigned(), v.unsigned(); at == seq-c.frame.FirstSeq {
			return d
		}
	}
	return 0
}

// inOrder takes the details of a chunk in the order of its events.
type inOrder struct {
	packed varints
	first  uint64
	next   detail
}

func detailsOf(c *chunk) inOrder {
	d := inOrder{packed: varints{b: c.details}, first: c.frame.FirstSeq}
	d.read()
	return d
}

func (d *inOrder) read() {
	d.next = detail{}
	if len(d.packed.b) > 0 {
		d.next = detail{d.first + d.packed.unsigned(), d.packed.unsigned()}
	}
}

// take answers the detail of an event, 0 when it has none.
func (d *inOrder) take(seq uint64) uint64 {
	if d.next.seq != seq {
		return 0
	}
	n := d.next.detail
	d.read()
	return n
}

// stored is an event as the store has it, with its row; it shares memory with the store and is good until the next look.
type stored struct {
	journal.Event
	row    journal.Row
	detail uint64
}

// chunks reads events of a state of the store: the neighbours of the last one at hardly any cost.
type chunks struct {
	it    *pebble.Iterator
	now   chunk
	valid bool
}

func openChunks(r reader) (*chunks, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
	if err != nil {
		return nil, fmt.Errorf("%w: read events: %w", ErrStore, err)
	}
	return &chunks{it: it}, nil
}

func (c *chunks) close() error {
	if err := c.it.Close(); err != nil {
		return fmt.Errorf("%w: read events: %w", ErrStore, err)
	}
	return nil
}

// seek goes to the chunk that has, or would have, the event.
func (c *chunks) seek(partition int, seq uint64) (bool, error) {
	if f := &c.now.frame; c.valid && f.Partition == partition && f.FirstSeq <= seq && seq <= f.LastSeq() {
		return true, nil
	}
	c.valid = false
	if !c.it.SeekLT(chunkKey(nil, partition, seq+1)) {
		return false, c.failed()
	}
	return c.take(partition)
}

func (c *chunks) failed() error {
	if err := c.it.Error(); err != nil {
		return fmt.Errorf("%w: read events: %w", ErrStore, err)
	}
	return nil
}

// take reads the chunk at the iterator; false when it is another partition's.
func (c *chunks) take(partition int) (bool, error) {
	value, err := c.it.ValueAndErr()
	if err != nil {
		return false, fmt.Errorf("%w: read events: %w", ErrStore, err)
	}
	if c.now, err = parseChunk(c.it.Key(), value); err != nil {
		return false, err
	}
	c.valid = c.now.frame.Partition == partition
	return c.valid, nil
}

// event finds an event.
func (c *chunks) event(partition int, seq uint64) (e stored, ok bool, err error) {
	if ok, err = c.seek(partition, seq); err != nil || !ok {
		return e, false, err
	}
	if e.Event, ok, err = c.now.frame.Find(seq); err != nil || !ok {
		return e, false, notStored(err)
	}
	if _, err = e.row.Parse(e.Packed); err != nil {
		return e, false, notStored(err)
	}
	e.detail = c.now.detail(seq)
	return e, true, nil
}

func notStored(err error) error {
	if err == nil || errors.Is(err, ErrStore) {
		return err
	}
	return fmt.Errorf("%w: events: %w", ErrStore, err)
}

// each calls fn for every event of the partition from a seq on, until it answers false.
func (c *chunks) each(partition int, from uint64, fn func(*stored) (bool, error)) error {
	ok, err := c.seek(partition, from)
	if err == nil && !ok { // the first chunk may begin behind
		if !c.it.SeekGE(chunkKey(nil, partition, from)) {
			return c.failed()
		}
		ok, err = c.take(partition)
	}
	var e stored
	enough := errors.New("enough")
	for err == nil && ok {
		details := detailsOf(&c.now)
		err = c.now.frame.EachEvent(func(ev *journal.Event) error {
			e.Event, e.detail = *ev, details.take(ev.Seq)
			if ev.Seq < from {
				return nil
			}
			if _, err := e.row.Parse(e.Packed); err != nil {
				return err
			}
			wanted, err := fn(&e)
			if err == nil && !wanted {
				return enough
			}
			return err
		})
		if err != nil {
			break
		}
		c.valid = false
		if !c.it.Next() {
			return c.failed()
		}
		ok, err = c.take(partition)
	}
	if errors.Is(err, enough) {
		return nil
	}
	return notStored(err)
}

// keyed reports whether the event made a key record, and under which id.
func (e *stored) keyed() (journal.ID, bool) {
	return e.row.ID, e.row.Op.Keyed() || (e.row.Op == journal.OpCancel && e.Status == journal.Tombstone)
}

// record is the key record that the event made; its content shares memory with the row.
func (e *stored) record() journal.KeyRecord {
	return journal.KeyRecord{Status: e.Status, Op: e.row.Op, TimeMS: e.TimeMS, Epoch: e.Epoch, Seq: e.Seq, Detail: e.detail, Content: journal.Content(e.Packed)}
}

// resolved answers the reservation that the event ended, if it did.
func (e *stored) resolved() (id journal.ID, ok bool) {
	switch e.row.Op {
	case journal.OpConfirm:
		return e.row.Reservation, e.Status == journal.Confirmed
	case journal.OpCancel, journal.OpExpire:
		return e.row.ID, e.Status == journal.Cancelled || e.Status == journal.Expired
	}
	return id, false
}
