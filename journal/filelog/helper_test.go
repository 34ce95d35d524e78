package filelog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"walletd/journal"
)

const dir = "journal"

// smallSegments makes a journal that rolls after a handful of records.
const smallSegments = segmentBytesMin

// payload is a record that can be told from every other, framed as the journal's frames are, so that damage can be
// named by seq.
func payload(partition int, n int64, size int) []byte {
	f := journal.Frame{Kind: journal.FrameEvents, Partition: partition, Epoch: 7, FirstSeq: uint64(n) + 1, Count: 1}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", partition, n))
	f.Payload = bytes.Repeat(sum[:], size/len(sum)+1)[:max(0, size-journal.FrameHeadSize)]
	return f.Seal(nil)
}

func mustOpen(t testing.TB, d FS, partitions int) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir, Partitions: partitions, SegmentBytes: smallSegments, FS: d})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func mustAppend(t testing.TB, l journal.Log, records ...journal.Record) []int64 {
	t.Helper()
	offsets, err := l.Append(t.Context(), records)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return offsets
}

// fill appends n records to each partition, one append for all partitions, and returns their size in the segment.
func fill(t testing.TB, l journal.Log, n, size int) {
	t.Helper()
	for range n {
		var records []journal.Record
		for p := range l.Partitions() {
			end, err := l.End(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, journal.Record{Partition: p, Bytes: payload(p, end, size)})
		}
		mustAppend(t, l, records...)
	}
}

// readAll reads a partition and checks that its offsets are dense.
func readAll(t testing.TB, l journal.Log, partition int, from int64) (out [][]byte) {
	t.Helper()
	want := from
	next, err := l.Read(t.Context(), partition, from, func(offset int64, b []byte) error {
		if offset != want {
			t.Fatalf("partition %d: offset %d, want %d", partition, offset, want)
		}
		want++
		out = append(out, bytes.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatalf("read partition %d from %d: %v", partition, from, err)
	}
	if next != want {
		t.Fatalf("partition %d: read to %d, answered %d", partition, want, next)
	}
	return out
}

// expectFilled checks that every partition holds n records as fill wrote them.
func expectFilled(t testing.TB, l journal.Log, n, size int) {
	t.Helper()
	for p := range l.Partitions() {
		got := readAll(t, l, p, 0)
		if len(got) != n {
			t.Fatalf("partition %d: %d records, want %d", p, len(got), n)
		}
		for i, b := range got {
			if !bytes.Equal(b, payload(p, int64(i), size)) {
				t.Fatalf("partition %d: record %d is not what was appended", p, i)
			}
		}
	}
}

// raw is a segment as it lies on disk, read by hand: each record's place, partition and offset.
type rawRecord struct {
	at        int64
	size      int64
	partition int
	offset    int64
}

func rawRecords(t testing.TB, d *disk, number uint32) (out []rawRecord) {
	t.Helper()
	b := d.file(filepath.Join(dir, segmentName(number))).live
	for at := int64(64); at+24 <= int64(len(b)) && b[at] != 0; {
		length := int64(binary.BigEndian.Uint32(b[at+8:]))
		out = append(out, rawRecord{at, 24 + length, int(binary.BigEndian.Uint16(b[at+16:])), int64(binary.BigEndian.Uint32(b[at+18+2:]))})
		at += 24 + length
	}
	return out
}

func segmentsOf(d *disk) (n uint32) {
	for d.file(filepath.Join(dir, segmentName(n+1))) != nil {
		n++
	}
	return n
}

// logLines collects what the log says.
type logLines struct{ buf bytes.Buffer }

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&l.buf, nil)) }

func isDamage(err error) *DamageError {
	var d *DamageError
	if !errors.As(err, &d) || !errors.Is(err, journal.ErrDamaged) {
		return nil
	}
	return d
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// copyDir is the directory as a crash of the process leaves it.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
