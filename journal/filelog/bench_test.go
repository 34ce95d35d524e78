package filelog

import (
	"fmt"
	"testing"

	"walletd/journal"
)

// One append at a time, of a frame for each partition: what a relay does.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ partitions, size int }{{1, 256}, {1, 64 << 10}, {8, 4 << 10}, {8, 64 << 10}} {
		b.Run(fmt.Sprintf("partitions=%d/bytes=%d", c.partitions, c.size), func(b *testing.B) {
			l, err := Open(Config{Dir: b.TempDir(), Partitions: c.partitions})
			if err != nil {
				b.Fatal(err)
			}
			var records []journal.Record
			for p := range c.partitions {
				records = append(records, journal.Record{Partition: p, Bytes: payload(p, 0, c.size)})
			}
			b.SetBytes(int64(c.partitions * c.size))
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, l, records...)
			}
			mustClose(b, l)
		})
	}
}

// Many appends at once share their fsyncs.
func BenchmarkAppendShared(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir(), Partitions: 1})
	if err != nil {
		b.Fatal(err)
	}
	record := payload(0, 0, 1024)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mustAppend(b, l, journal.Record{Bytes: record})
		}
	})
	s := l.Stats()
	b.ReportMetric(float64(s.Appended)/float64(s.Writes), "appends/fsync")
	mustClose(b, l)
}

func BenchmarkRead(b *testing.B) {
	const partitions, frames, size = 8, 200, 16 << 10
	l, err := Open(Config{Dir: b.TempDir(), Partitions: partitions})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, l, frames, size)
	b.Run("replay", func(b *testing.B) {
		b.SetBytes(frames * size)
		for b.Loop() {
			if _, err := l.Read(b.Context(), 3, 0, func(int64, []byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("follow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.Read(b.Context(), 3, frames-1, func(int64, []byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	mustClose(b, l)
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Config{Dir: dir, Partitions: 8})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, l, 500, 16<<10)
	b.SetBytes(l.Stats().Bytes)
	mustClose(b, l)
	for b.Loop() {
		if l, err = Open(Config{Dir: dir}); err != nil {
			b.Fatal(err)
		}
		mustClose(b, l)
	}
}

// BenchmarkReadAmongOthers reads the last 400 records of 12 KB of each of eight partitions, as a projector that looks every two seconds
// does: between them lie the other partitions'.
func BenchmarkReadAmongOthers(b *testing.B) {
	const partitions, records = 8, 400
	l, err := Open(Config{Dir: b.TempDir(), Partitions: partitions, SegmentBytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	content := make([]byte, 12<<10)
	for range records {
		batch := make([]journal.Record, partitions)
		for p := range batch {
			batch[p] = journal.Record{Partition: p, Bytes: content}
		}
		if _, err := l.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(partitions * records * int64(len(content)))
	for b.Loop() {
		for p := range partitions {
			if _, err := l.Read(b.Context(), p, 0, func(int64, []byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
}
