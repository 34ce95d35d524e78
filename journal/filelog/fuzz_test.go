package filelog

import (
	"bytes"
	"errors"
	"testing"

	"walletd/journal"
)

func FuzzParseRecord(f *testing.F) {
	f.Add(appendRecord(nil, 3, 42, payload(3, 42, 100)))
	f.Add(appendRecord(nil, 0, 0, []byte{1}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		if int64(len(b)) < r.size() || len(r.content) != r.length {
			t.Fatalf("a record of %d bytes out of %d", r.size(), len(b))
		}
		// back is the one field that packing sets by itself.
		again := appendRecord(make([]byte, r.back%1024), r.partition, r.offset, r.content)[r.back%1024:]
		if r.back < 1024 && !bytes.Equal(again, b[:r.size()]) {
			t.Fatal("packing what was parsed gives other bytes")
		}
	})
}

// Whatever stands in the segments, opening them answers a journal or an error, never more records than there were.
func FuzzOpenSpoiled(f *testing.F) {
	f.Add(uint16(0), uint16(70), []byte("x"), false)
	f.Add(uint16(1), uint16(500), []byte{0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, file, at uint16, spoil []byte, power bool) {
		d := newDisk()
		l := mustOpen(t, d, 2)
		fill(t, l, 8, 300)
		image := d.killed()
		mustClose(t, l)
		if power {
			delete(image.names, join(dir, durableFile))
		}
		node := image.file(seg(uint32(file)%segmentsOf(image) + 1))
		before := clone(node.live)
		copy(node.live[int(at)%len(node.live):], spoil)
		l, err := Open(Config{Dir: dir, FS: image, SegmentBytes: smallSegments})
		if err != nil {
			if bytes.Equal(before, node.live) {
				t.Fatalf("nothing was spoiled: %v", err)
			}
			if !errors.Is(err, journal.ErrDamaged) {
				t.Fatalf("%v, want ErrDamaged", err)
			}
			return
		}
		for p := range 2 {
			got := readAll(t, l, p, 0)
			if len(got) > 8 || !power && len(got) != 8 {
				t.Fatalf("partition %d: %d records", p, len(got))
			}
			for i, b := range got {
				if !bytes.Equal(b, payload(p, int64(i), 300)) {
					t.Fatalf("partition %d: record %d is another", p, i)
				}
			}
		}
		mustClose(t, l)
	})
}

// A segment's head comes back, and has one form.
func FuzzSegmentHead(f *testing.F) {
	f.Add(segmentHead{partitions: 8, number: 3, capacity: 1 << 20, previousEnd: 4096}.pack(), uint16(8), uint32(1), int64(64), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, partitions uint16, number uint32, capacity, previousEnd int64) {
		if h, err := parseSegmentHead(b); err == nil && !bytes.Equal(h.pack()[:segmentHeadUsed], b[:segmentHeadUsed]) {
			t.Fatalf("%x is %+v", b, h)
		}
		want := segmentHead{int(partitions), number, capacity, previousEnd}
		if h, err := parseSegmentHead(want.pack()); err != nil || h != want {
			t.Fatalf("%+v comes back as %+v, %v", want, h, err)
		}
		if _, err := parseRecordHead(b); err == nil && len(b) < recordHeadSize {
			t.Fatal("a head out of nothing")
		}
	})
}

// Whatever the small files beside the segments hold, opening answers a journal or says what is wrong.
func FuzzSmallFiles(f *testing.F) {
	f.Add(metaFile, []byte(`{"version":1,"partitions":2,"created":"2026-01-02T03:04:05Z"}`))
	f.Add(endFile, []byte(`{"version":1,"segment":1,"position":64,"offsets":[8,8]}`))
	f.Add(endFile, []byte(`{"version":1,"segment":4000000000,"position":-1,"offsets":[]}`))
	f.Add(durableFile, packDurable(locationOf(9, 9)))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		if name != metaFile && name != endFile && name != durableFile {
			return
		}
		d := newDisk()
		l := mustOpen(t, d, 2)
		fill(t, l, 8, 300)
		image := d.killed()
		mustClose(t, l)
		if err := writeFile(image, dir, name, content); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Dir: dir, FS: image, SegmentBytes: smallSegments})
		if err != nil {
			if !errors.Is(err, journal.ErrDamaged) && !errors.Is(err, ErrMismatch) {
				t.Fatalf("%v, want ErrDamaged or ErrMismatch", err)
			}
			return
		}
		for p := range 2 {
			if got := readAll(t, l, p, 0); len(got) != 8 {
				t.Fatalf("partition %d: %d records", p, len(got))
			}
		}
		mustClose(t, l)
	})
}
