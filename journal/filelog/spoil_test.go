package filelog

import (
	"path/filepath"
	"testing"
)

// Ways to spoil a journal. Each answers the file and byte that a refusal must name. Records are counted from 0, from
// the end when negative.

type spoiler = func(t *testing.T, d *disk) (file string, at int64)

func pick(t *testing.T, d *disk, segment uint32, n int) rawRecord {
	t.Helper()
	records := rawRecords(t, d, segment)
	if n < 0 {
		n += len(records)
	}
	if n < 0 || n >= len(records) {
		t.Fatalf("segment %d has %d records", segment, len(records))
	}
	return records[n]
}

// flipRecord flips a bit of a record, at a byte counted from its head.
func flipRecord(segment uint32, n int, at int64) spoiler {
	return func(t *testing.T, d *disk) (string, int64) {
		rec := pick(t, d, segment, n)
		d.file(seg(segment)).live[rec.at+at] ^= 0x10
		return seg(segment), rec.at
	}
}

func flipAt(segment uint32, at int) spoiler {
	return func(_ *testing.T, d *disk) (string, int64) {
		d.file(seg(segment)).live[at] ^= 0x10
		return seg(segment), 0
	}
}

// cutRecord ends the last segment before a record.
func cutRecord(n int) spoiler {
	return func(t *testing.T, d *disk) (string, int64) {
		rec := pick(t, d, 3, n)
		d.file(seg(3)).live = d.file(seg(3)).live[:rec.at]
		return seg(3), rec.at
	}
}

// cutInside ends the last segment within a record.
func cutInside(n int) spoiler {
	return func(t *testing.T, d *disk) (string, int64) {
		rec := pick(t, d, 3, n)
		d.file(seg(3)).live = d.file(seg(3)).live[:rec.at+rec.size/2]
		return seg(3), rec.at
	}
}

// zeroFrom zeroes a segment from the middle of a record on (of the last segment), or from the record on.
func zeroFrom(segment uint32, n int) spoiler {
	return func(t *testing.T, d *disk) (string, int64) {
		rec := pick(t, d, segment, n)
		from := rec.at
		if segment == 3 {
			from += rec.size / 2
		}
		clear(d.file(seg(segment)).live[from:])
		return seg(segment), rec.at
	}
}

func lose(segment uint32) spoiler {
	return func(_ *testing.T, d *disk) (string, int64) {
		delete(d.names, seg(segment))
		return seg(segment), 0
	}
}

func loseLast(t *testing.T, d *disk) (string, int64) {
	delete(d.names, seg(3))
	last := pick(t, d, 2, -1)
	return seg(2), last.at + last.size
}

func loseAll(_ *testing.T, d *disk) (string, int64) {
	for n := uint32(1); n <= 3; n++ {
		delete(d.names, seg(n))
	}
	return seg(1), 0
}

func copySegment(from, to uint32) spoiler {
	return func(_ *testing.T, d *disk) (string, int64) {
		d.file(seg(to)).live = clone(d.file(seg(from)).live)
		return seg(to), 0
	}
}

// leaveOut removes a whole record from the first segment and moves the rest up, checksums intact.
func leaveOut(t *testing.T, d *disk) (string, int64) {
	rec := pick(t, d, 1, 2)
	b := d.file(seg(1)).live
	copy(b[rec.at:], b[rec.at+rec.size:])
	next := pick(t, d, 1, 3) // of the same partition: it now stands where another offset should
	return seg(1), next.at
}

func addBehind(t *testing.T, d *disk) (string, int64) {
	last := pick(t, d, 3, -1)
	d.file(seg(3)).live = append(d.file(seg(3)).live, "something"...)
	return seg(3), last.at + last.size
}

func garbage(name string) spoiler {
	return func(_ *testing.T, d *disk) (string, int64) {
		d.file(filepath.Join(dir, name)).live = []byte("{")
		return filepath.Join(dir, name), 0
	}
}

func loseFile(name string) spoiler {
	return func(_ *testing.T, d *disk) (string, int64) {
		delete(d.names, filepath.Join(dir, name))
		return filepath.Join(dir, name), 0
	}
}
