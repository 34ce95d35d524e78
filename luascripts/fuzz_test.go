package luascripts

import (
	"bytes"
	"errors"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
)

// Whatever a shard answers, the decoder answers every row of the train at most once, within the reply's bytes, or an
// ErrBadReply; it never panics.
func FuzzReply(f *testing.F) {
	var tr Train
	tr.Section(3, 1)
	for op := journal.OpOpen; op <= journal.OpLook; op++ {
		tr.Add((&journal.Row{Op: op}).Append(nil))
	}
	tr.Section(4, 1)
	tr.Add((&journal.Row{Op: journal.OpRead}).Append(nil))

	head := sectionHead(journal.OK, 1, 9, 5)
	reservation := journal.Reservation{Status: journal.Tried}.Append([]byte{journal.ReservationSize})
	good := bytes.Join([][]byte{
		make([]byte, replyHeadSize), head, {2, 3, 1, 1 | detailBit, 5, 32 | replayedBit, 4, 5 | detailBit, 6, 45, 8, 1},
		{0, 0}, make([]byte, journal.AccountSize), make([]byte, 7), make([]byte, 25), make([]byte, 7), reservation, reservation, {2}, reservation, {1, 2},
		sectionHead(journal.StaleEpoch, 2, 0, 5),
	}, nil)
	tr.reply = append(tr.reply, good...)
	reply := newReply(&tr)
	for reply.NextSection() {
	}
	if reply.Err() != nil {
		f.Fatal(reply.Err())
	}
	f.Add(good)
	f.Add(good[:50])
	f.Add(append(good, 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, answer []byte) {
		tr.reply = append(tr.reply[:0], answer...)
		reply := newReply(&tr)
		n, bytesOfRecords := 0, 0
		for reply.NextSection() {
			var o rows.Outcome
			for reply.NextRow(&o) {
				n++
				bytesOfRecords += len(o.Record)
				if !o.Status.Known() || o.Op == 0 || o.Op > journal.OpLook {
					t.Fatalf("row %d: op %v, status %d", n, o.Op, o.Status)
				}
			}
		}
		entry(t, &tr)
		switch err := reply.Err(); {
		case err != nil && !errors.Is(err, ErrBadReply):
			t.Fatalf("a fault of another kind: %v", err)
		case err == nil && n != tr.Rows():
			t.Fatalf("%d of %d rows answered", n, tr.Rows())
		case bytesOfRecords > len(answer):
			t.Fatalf("%d bytes of records from %d", bytesOfRecords, len(answer))
		}
	})
}

// Whatever lies in an outbox, the decoder stays within it and answers its runs or an ErrBadEntry.
func FuzzOutbox(f *testing.F) {
	row := (&journal.Row{Op: journal.OpOpen, Text: []byte("{}")}).Append(nil)
	events := append(row, byte(journal.Opened))
	run := []byte{0, 3, 0, 0, 0, 1}
	run = appendU56(appendU56(run, 7), 99)
	run = append(run, 0, 1, 0, 0, 0, byte(len(events)))
	run = append(run, events...)
	f.Add(run)
	f.Add(append(run, run...))
	f.Add(run[:20])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sections []byte) {
		size := 0
		err := OutboxEntry{ID: 1, sections: sections}.Each(func(h Happened) error {
			size += happenedHeadSize + len(h.Events)
			if h.Count == 0 || h.LastSeq() < h.FirstSeq {
				t.Fatalf("a run of %d events from %d", h.Count, h.FirstSeq)
			}
			return nil
		})
		if err == nil && size != len(sections) || err != nil && !errors.Is(err, ErrBadEntry) {
			t.Fatalf("%d of %d bytes, %v", size, len(sections), err)
		}
	})
}

// Marks come back as they were packed.
func FuzzMarks(f *testing.F) {
	f.Add(appendMarks(nil, []Mark{{1, 2, 3, false}, {4, 5, 6, true}}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := parseMarks(nil, b)
		if err == nil && !bytes.Equal(appendMarks(nil, marks), b) || err != nil && !errors.Is(err, ErrBadMarks) {
			t.Fatalf("%x: %v, %v", b, marks, err)
		}
	})
}

// Whatever a shard has in its parts, it is read, or is an ErrBadRecord.
func FuzzParts(f *testing.F) {
	f.Add(partitionField(3), (&journal.Book{Epoch: 1, Seq: 2, TimeMS: 3}).AppendPart(nil))
	f.Add("window", append(make([]byte, windowHeadSize-1), 1))
	f.Fuzz(func(t *testing.T, field string, b []byte) {
		parts, err := parseParts(map[string]string{field: string(b)})
		if err != nil && !errors.Is(err, journal.ErrBadRecord) {
			t.Fatal(err)
		}
		for n, p := range parts {
			book := journal.Book{Epoch: p.Epoch, Seq: p.Seq, TimeMS: p.TimeMS, EvictedMS: p.EvictedMS}
			if partitionField(n) != field || !bytes.Equal(book.AppendPart(nil), b) {
				t.Fatalf("%q: %x is %+v", field, b, p)
			}
		}
		w, err := parseWindow(b)
		if err != nil && !errors.Is(err, journal.ErrBadRecord) || err == nil && len(w.Slices)*sliceSize > len(b) {
			t.Fatalf("%x is %+v, %v", b, w, err)
		}
	})
}

// entry: what a reply gives as an outbox entry is one, or an ErrBadReply.
func entry(t *testing.T, tr *Train) {
	t.Helper()
	id, packed, err := tr.AppendEntry(nil)
	switch {
	case err != nil && !errors.Is(err, ErrBadReply):
		t.Fatalf("a fault of another kind: %v", err)
	case err != nil:
		return
	case (id == 0) != (len(packed) == 0):
		t.Fatalf("entry %d of %d bytes", id, len(packed))
	}
	err = NewOutboxEntry(id, packed).Each(func(h Happened) error {
		f := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
		return f.EachEvent(func(*journal.Event) error { return nil })
	})
	if err != nil {
		t.Fatalf("entry %d %x: %v", id, packed, err)
	}
}
