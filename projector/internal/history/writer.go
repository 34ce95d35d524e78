package history

import (
	"math/rand/v2"

	"walletd/journal"
)

// Writer writes one partition's frames to a log, as a keeper would.
type Writer struct {
	log    *Log
	cursor journal.Cursor
	events []journal.Event
	last   []byte // the last frame of events written
}

// NewWriter writes to a partition of an empty log.
func NewWriter(log *Log, partition int) *Writer {
	return &Writer{log: log, cursor: journal.Cursor{Partition: partition}}
}

// put appends a record and moves the cursor as every reader will.
func (w *Writer) put(record []byte) {
	offset := w.log.Put(w.cursor.Partition, record)
	if _, _, err := w.cursor.Next(offset, record); err != nil {
		panic(err)
	}
}

// Epoch starts the next epoch. Events that are not written yet are adopted by the new keeper.
func (w *Writer) Epoch(timeMS int64, keeper string) {
	f := journal.NewEpochFrame(w.cursor.Partition, w.cursor.Epoch+1, timeMS, keeper)
	w.put(f.Seal(nil))
}

// blockEpoch is the epoch in which an act ran: now and then it is one before the frame's.
func (w *Writer) blockEpoch(rng *rand.Rand, plain bool) uint32 {
	if n := len(w.events); n > 0 {
		return max(w.events[n-1].Epoch, w.cursor.Epoch)
	}
	if !plain && w.cursor.Epoch > 1 && rng.IntN(10) == 0 {
		return w.cursor.Epoch - 1
	}
	return w.cursor.Epoch
}

// Add takes the partition's next event.
func (w *Writer) Add(e journal.Event) { w.events = append(w.events, e) }

// Pending is the number of events not written yet.
func (w *Writer) Pending() int { return len(w.events) }

// Durable is the seq up to which events have been written.
func (w *Writer) Durable() uint64 { return w.cursor.Seq }

// Cut writes what was added as one frame.
func (w *Writer) Cut() {
	if len(w.events) == 0 {
		return
	}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: w.cursor.Partition, Epoch: w.cursor.Epoch, FirstSeq: w.events[0].Seq,
		Count: len(w.events), Prev: w.cursor.Chain, Payload: blocks(w.events)}
	w.last = f.Seal(nil)
	w.put(w.last)
	w.events = nil
}

// blocks packs runs of events with one time and epoch.
func blocks(events []journal.Event) (payload []byte) {
	for len(events) > 0 {
		b := journal.Block{TimeMS: events[0].TimeMS, Epoch: events[0].Epoch}
		for b.Count < len(events) && events[b.Count].TimeMS == b.TimeMS && events[b.Count].Epoch == b.Epoch {
			e := events[b.Count]
			b.Events = append(append(b.Events, e.Packed...), byte(e.Status))
			b.Count++
		}
		payload = b.Append(payload)
		events = events[b.Count:]
	}
	return payload
}

// Repeat appends the last frame again, as a keeper does that lost the reply; false when it has none of this epoch.
func (w *Writer) Repeat() bool {
	if w.last == nil {
		return false
	}
	if f, err := journal.ParseFrame(w.last); err != nil || f.Epoch != w.cursor.Epoch {
		return false
	}
	w.put(w.last)
	return true
}

// Zombie appends a frame of the keeper before: events that do not count.
func (w *Writer) Zombie(timeMS int64) {
	row := journal.Row{Op: journal.OpExpire}
	e := journal.Event{Position: journal.Position{Partition: w.cursor.Partition, Epoch: w.cursor.Epoch - 1, Seq: w.cursor.Seq + 1}, TimeMS: timeMS, Status: journal.Expired, Packed: row.Append(nil)}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: w.cursor.Partition, Epoch: e.Epoch, FirstSeq: e.Seq, Count: 1, Prev: w.cursor.Chain, Payload: blocks([]journal.Event{e})}
	w.put(f.Seal(nil))
}

// Rewrite writes a partition's journal again, of these events, with an unbroken chain, in frames of at most frameMax.
// Seqs are counted anew, and the epochs of the events stay.
func Rewrite(log *Log, partition int, events []journal.Event, frameMax int) {
	log.SetRecords(partition, nil)
	w := NewWriter(log, partition)
	w.Epoch(1, "forger")
	for i, e := range events {
		for e.Epoch > w.cursor.Epoch {
			w.Cut()
			w.Epoch(e.TimeMS, "forger")
		}
		e.Seq = uint64(i) + 1
		w.Add(e)
		if w.Pending() >= frameMax {
			w.Cut()
		}
	}
	w.Cut()
}
