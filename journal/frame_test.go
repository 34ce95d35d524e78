package journal

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// frameOf packs events with these rows, one block each.
func frameOf(partition int, epoch uint32, first uint64, prev Hash, rows ...Row) Frame {
	f := Frame{Kind: FrameEvents, Partition: partition, Epoch: epoch, FirstSeq: first, Count: len(rows), Prev: prev}
	for i, r := range rows {
		f.Payload = Block{TimeMS: int64(1000 + i), Epoch: epoch, Count: 1, Events: append(r.Append(nil), byte(Confirmed))}.Append(f.Payload)
	}
	f.Seal(nil)
	return f
}

func TestFramesComeBack(t *testing.T) {
	rows := sampleRows()
	f := frameOf(3, 7, 42, Hash{1}, rows...)
	got, err := ParseFrame(f.Seal(nil))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = got.EachEvent(func(e *Event) error {
		r, err := e.Row()
		if err != nil {
			return err
		}
		if e.Seq != 42+uint64(n) || e.Epoch != 7 || e.Partition != 3 || e.TimeMS != int64(1000+n) || r.Op != rows[n].Op || e.Status != Confirmed {
			t.Errorf("event %d is %+v", n, e)
		}
		n++
		return nil
	})
	if err != nil || n != len(rows) || got.LastSeq() != 42+uint64(n)-1 {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestAFlippedBitIsNoticed(t *testing.T) {
	f := frameOf(3, 7, 42, Hash{1}, sampleRows()...)
	b := f.Seal(nil)
	for i := range b {
		b[i] ^= 4
		if g, err := ParseFrame(b); err == nil {
			t.Errorf("byte %d: taken for %+v", i, g)
		}
		b[i] ^= 4
	}
}

// logOf is a partition's log as a list of records, and the chain behind its last frame that counts.
type logOf struct {
	records [][]byte
	chain   Hash
	seq     uint64
}

func (l *logOf) epoch(e uint32) *logOf {
	f := NewEpochFrame(0, e, 0, "k")
	l.records = append(l.records, f.Seal(nil))
	l.chain = link(l.chain, f.Hash)
	return l
}

func (l *logOf) events(epoch uint32, n int) *logOf {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Op: OpExpire, ID: ID{byte(i)}}
	}
	f := frameOf(0, epoch, l.seq+1, l.chain, rows...)
	l.records = append(l.records, f.Seal(nil))
	l.chain, l.seq = f.Hash, l.seq+uint64(n)
	return l
}

// stale appends a frame that does not count: of an epoch that is over.
func (l *logOf) stale(epoch uint32) *logOf {
	f := frameOf(0, epoch, l.seq+1, l.chain, Row{Op: OpExpire})
	l.records = append(l.records, f.Seal(nil))
	return l
}

func (l *logOf) again(i int) *logOf {
	l.records = append(l.records, l.records[i])
	return l
}

func TestCursorDecidesByLogOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		log  *logOf
		want string // verdicts; "damaged" ends it
		seq  uint64
	}{
		{"one owner", new(logOf).epoch(1).events(1, 2).events(1, 3), "accepted accepted accepted", 5},
		{"a takeover", new(logOf).epoch(1).events(1, 2).epoch(2).events(2, 1), "accepted accepted accepted accepted", 3},
		{"a zombie's frame behind its end", new(logOf).epoch(1).events(1, 2).epoch(2).stale(1).events(2, 1), "accepted accepted accepted stale_epoch accepted", 3},
		{"an append repeated after a lost reply", new(logOf).epoch(1).events(1, 2).again(1).events(1, 1), "accepted accepted duplicate accepted", 3},
		{"an epoch frame repeated", new(logOf).epoch(1).again(0).events(1, 1), "accepted duplicate accepted", 1},
		{"an epoch that is over", new(logOf).epoch(2).events(2, 1).again(0), "accepted accepted duplicate", 1},
		{"events of an epoch that never started", new(logOf).epoch(1).events(2, 1), "accepted damaged", 0},
		{"a gap", func() *logOf { l := new(logOf).epoch(1).events(1, 1); l.seq++; return l.events(1, 1) }(), "accepted accepted damaged", 1},
		{"a broken chain", func() *logOf { l := new(logOf).epoch(1).events(1, 1); l.chain[0]++; return l.events(1, 1) }(), "accepted accepted damaged", 1},
		{"bytes that are no frame", &logOf{records: [][]byte{[]byte("nonsense")}}, "damaged", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cur Cursor
			var got []string
			for i, rec := range c.log.records {
				_, v, err := cur.Next(int64(i), rec)
				if err != nil {
					if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("offset %d", i)) {
						t.Errorf("the damage is not located: %v", err)
					}
					got = append(got, "damaged")
					break
				}
				got = append(got, string(v))
			}
			if s := strings.Join(got, " "); s != c.want || cur.Seq != c.seq {
				t.Errorf("got %s up to seq %d, want %s up to %d", s, cur.Seq, c.want, c.seq)
			}
		})
	}
	var cur Cursor
	if _, _, err := cur.Next(1, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("a missing record was passed over: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	fr := frameOf(3, 7, 42, Hash{1}, sampleRows()...)
	f.Add(fr.Seal(nil))
	ep := NewEpochFrame(1, 2, 3, "k")
	f.Add(ep.Seal(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The hash keeps fuzzers out; look behind it as well.
		if len(b) >= FrameHeadSize {
			g := Frame{Kind: FrameEvents, FirstSeq: 1, Count: 1, Payload: b[FrameHeadSize:]}
			_ = g.EachEvent(func(e *Event) error { _, err := e.Row(); return err })
		}
		if g, err := ParseFrame(b); err == nil {
			_ = g.EachEvent(func(e *Event) error { return nil })
		}
	})
}
