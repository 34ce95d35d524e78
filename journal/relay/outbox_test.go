package relay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"walletd/journal"
)

func TestTrimFollowsWhatIsDurable(t *testing.T) {
	l := newMemLog(2)
	k := mustKeeper(t, l, 1, 'a')
	k.run()
	for i := range 20 {
		k.work(i%2, 1)
	}
	k.outbox.add() // a batch without sections is trimmed, too
	deadline := time.Now().Add(10 * time.Second)
	for k.outbox.trimmedTo() != 21 {
		if time.Now().After(deadline) {
			t.Fatalf("trimmed up to %d, want 21", k.outbox.trimmedTo())
		}
		time.Sleep(time.Millisecond)
	}
	k.mustStop()
}

func TestOutboxesThatDoNotContinueTheJournal(t *testing.T) {
	changed := section(0, 1, 1, 5, 'a')
	changed.Events[len(changed.Events)-1] = byte(journal.Cancelled)
	later := section(0, 1, 1, 5, 'a')
	later.TimeMS++
	cut := section(0, 1, 6, 2, 'a')
	cut.Events = cut.Events[:len(cut.Events)-1]
	long := section(0, 1, 6, 2, 'a')
	long.Events = append(long.Events, 0)
	for _, c := range []struct {
		name string
		s    Section
		want error // nil: it is dropped
	}{
		{"the same again", section(0, 1, 1, 5, 'a'), nil},
		{"the same with another outcome", changed, ErrOutbox},
		{"the same at another time", later, ErrOutbox},
		{"the same by another", section(0, 1, 1, 5, 'b'), ErrOutbox},
		{"a part of what was", section(0, 1, 2, 2, 'a'), ErrOutbox},
		{"a gap", section(0, 1, 7, 1, 'a'), ErrOutbox},
		{"half known", section(0, 1, 4, 3, 'a'), ErrOutbox},
		{"another's partition", section(1, 1, 1, 1, 'a'), ErrOutbox},
		{"no events", section(0, 1, 6, 0, 'a'), ErrOutbox},
		{"an event cut short", cut, ErrOutbox},
		{"bytes behind the events", long, ErrOutbox},
		{"of a later epoch", section(0, 2, 6, 1, 'a'), ErrDeposed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newMemLog(2)
			k := mustKeeper(t, l, 1, 'a', func(cfg *Config) { cfg.Cursors = cfg.Cursors[:1] })
			k.work(0, 5)
			k.outbox.add(c.s)
			k.run()
			if c.want != nil {
				err := k.ended()
				if !errors.Is(err, c.want) {
					t.Errorf("ended with %v, want %v", err, c.want)
				}
				if got := len(history(t, l, 0)); got != 0 && got != 5 {
					t.Errorf("%d events in the journal", got)
				}
				return
			}
			k.work(0, 1)
			k.awaitAll()
			k.mustStop()
			k.checkAcked(l)
		})
	}
}

// What an outbox still has of the log's own events is dropped when a keeper takes over.
func TestJournaledSectionsAreDropped(t *testing.T) {
	l := newMemLog(1)
	old := mustKeeper(t, l, 1, 'a')
	old.run()
	for range 10 {
		old.work(0, 3)
	}
	old.awaitAll()
	old.mustStop()
	k := mustKeeper(t, l, 2, 'a')
	for first := uint64(1); first <= 30; first += 3 {
		k.outbox.add(section(0, 1, first, 3, 'a'))
	}
	k.outbox.add(section(0, 1, 31, 2, 'a')) // adopted: of the old epoch, not journaled
	k.next[0] = 33
	k.run()
	k.work(0, 1)
	k.awaitAll()
	k.mustStop()
	if got := len(history(t, l, 0)); got != 33 {
		t.Errorf("%d events, want 33", got)
	}
	if s := k.relay.Stats(); s.Duplicates != 10 || s.Events != 3 {
		t.Errorf("stats %+v", s)
	}
	epochs := map[uint64]uint32{}
	cur := journal.Cursor{}
	if _, err := l.Read(t.Context(), 0, 0, func(o int64, b []byte) error {
		f, v, err := cur.Next(o, b)
		if err != nil || v != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error { epochs[e.Seq] = e.Epoch; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if epochs[31] != 1 || epochs[33] != 2 {
		t.Errorf("adopted events are of epoch %d, new ones of %d", epochs[31], epochs[33])
	}
}

// A section that no frame can hold is split; a keeper that takes over between its parts goes on where the journal ends.
func TestASectionLargerThanAFrame(t *testing.T) {
	big := Section{Partition: 0, FirstSeq: 1, Block: journal.Block{TimeMS: 9, Epoch: 1, Count: 100}}
	for i := range 100 {
		row := journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(fmt.Sprint(i)), Text: make([]byte, 40_000)}
		big.Events = append(row.Append(big.Events), byte(journal.Opened))
	}
	whole := newMemLog(1)
	k := mustKeeper(t, whole, 1, 'a')
	k.outbox.add(big)
	k.next[0] = 101
	k.run()
	k.awaitAll()
	k.mustStop()
	parts := whole.records[0][1:]
	if len(parts) < 4 {
		t.Fatalf("%d frames", len(parts))
	}
	for i, rec := range parts {
		if len(rec) > journal.FrameBytesMax {
			t.Errorf("frame %d has %d bytes", i, len(rec))
		}
	}
	for have := range parts { // a predecessor came so far
		l := newMemLog(1)
		l.records[0] = append(l.records[0], whole.records[0][:1+have]...)
		k := mustKeeper(t, l, 2, 'a')
		k.outbox.add(big)
		k.next[0] = 101
		k.run()
		k.awaitAll()
		k.mustStop()
		cur, count := journal.Cursor{}, 0
		if _, err := l.Read(t.Context(), 0, 0, func(o int64, b []byte) error {
			f, v, err := cur.Next(o, b)
			if err != nil || v != journal.Accepted {
				return err
			}
			return f.EachEvent(func(*journal.Event) error { count++; return nil })
		}); err != nil || count != 100 {
			t.Errorf("after %d parts: %d events, %v", have, count, err)
		}
	}
}

func FuzzEachPart(f *testing.F) {
	s := section(0, 1, 1, 3, 'a')
	f.Add(s.Events, 3)
	f.Fuzz(func(t *testing.T, events []byte, count int) {
		if count < 1 || count > 1<<16-1 {
			return
		}
		s := Section{FirstSeq: 5, Block: journal.Block{TimeMS: 1, Epoch: 1, Count: count, Events: events}}
		next, size := s.FirstSeq, 0
		err := eachPart(&s, func(first uint64, b journal.Block) error {
			if first != next || b.Count < 1 || len(b.Events) > eventsMax || b.Epoch != 1 || b.TimeMS != 1 {
				t.Fatalf("part from %d behind %d: %d events in %d bytes", first, next-1, b.Count, len(b.Events))
			}
			frame := journal.Frame{Kind: journal.FrameEvents, FirstSeq: first, Count: b.Count, Payload: b.Append(nil)}
			if err := frame.EachEvent(func(*journal.Event) error { return nil }); err != nil {
				t.Fatalf("a part that readers cannot take apart: %v", err)
			}
			next, size = next+uint64(b.Count), size+len(b.Events)
			return nil
		})
		if err == nil && (next != s.LastSeq()+1 || size != len(events)) {
			t.Fatalf("parts up to %d in %d bytes, the section ends at %d in %d", next-1, size, s.LastSeq(), len(events))
		}
		if err != nil && !errors.Is(err, ErrOutbox) {
			t.Fatal(err)
		}
	})
}
