package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"walletd/journal"
)

// The tail has what was written last, at the seam of its ring, too; nothing of a segment before, nor behind a gap; and of a write
// larger than itself the end.
func TestTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	segment, written := uint32(1), []byte(nil)
	var tl tail
	for range 400 {
		switch rng.IntN(40) {
		case 0:
			segment, written = segment+1, nil
		case 1: // a write that it does not know
			written = append(written, make([]byte, 7)...)
		}
		b := make([]byte, 1+rng.IntN(tailBytes/4))
		if rng.IntN(30) == 0 {
			b = make([]byte, tailBytes+rng.IntN(tailBytes))
		}
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		tl.add(segment, int64(len(written)), b)
		written = append(written, b...)
		if tl.to != int64(len(written)) || tl.to-tl.from > tailBytes || (tl.to-tl.from < int64(len(b)) && tl.to-tl.from < tailBytes) {
			t.Fatalf("it has %d to %d of %d, the last write has %d", tl.from, tl.to, len(written), len(b))
		}
		n := 1 + rng.Int64N(tl.to-tl.from)
		pos := tl.from + rng.Int64N(tl.to-tl.from-n+1)
		got, ok := tl.take(nil, locationOf(segment, pos), n)
		if !ok || !bytes.Equal(got, written[pos:pos+n]) {
			t.Fatalf("%d bytes at %d: %t, or others", n, pos, ok)
		}
		for _, at := range []location{locationOf(segment+1, pos), locationOf(segment, tl.to-n+1)} {
			if _, ok := tl.take(nil, at, n); ok {
				t.Fatalf("it has what it cannot have")
			}
		}
		if tl.from > 0 {
			if _, ok := tl.take(nil, locationOf(segment, tl.from-1), 1); ok {
				t.Fatalf("it has what was before")
			}
		}
	}
}

// counting counts files that are opened for reading.
type counting struct {
	FS
	opened atomic.Int64
}

func (c *counting) OpenFile(name string, flag int) (File, error) {
	if flag == os.O_RDONLY {
		c.opened.Add(1)
	}
	return c.FS.OpenFile(name, flag)
}

// Whoever follows the log opens no file; whoever is overtaken, or begins further back, reads the segments, and sees the same.
func TestFollowersReadFromMemory(t *testing.T) {
	disk := &counting{FS: osFS{}}
	l, err := Open(Config{Dir: t.TempDir(), Partitions: 2, FS: disk, SegmentBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	next := [2]int64{}
	see := func(p int, from int64) {
		t.Helper()
		got, err := l.Read(t.Context(), p, from, func(o int64, b []byte) error {
			if !bytes.Equal(b, payload(p, o, 1000)) {
				return fmt.Errorf("offset %d has other bytes", o)
			}
			return nil
		})
		if err != nil || got != next[p] {
			t.Fatalf("partition %d from %d: read up to %d, want %d: %v", p, from, got, next[p], err)
		}
	}
	for i := range 200 {
		opened := disk.opened.Load()
		for p := range next {
			mustAppend(t, l, journal.Record{Partition: p, Bytes: payload(p, next[p], 1000)})
			next[p]++
			see(p, max(0, next[p]-int64(1+i%20)))
		}
		if now := disk.opened.Load(); now != opened {
			t.Fatalf("%d files were opened", now-opened)
		}
	}
	for ; next[0] < 4000; next[0]++ { // more than a segment, and than is in memory
		mustAppend(t, l, journal.Record{Bytes: payload(0, next[0], 1000)})
	}
	opened := disk.opened.Load()
	see(0, 0)
	see(1, 0)
	see(0, next[0]-indexRecent)
	if disk.opened.Load() == opened {
		t.Error("what is not in memory was not read from the segments: the test shows nothing")
	}
	fault := errors.New("fault")
	if at, err := l.Read(t.Context(), 0, next[0]-5, func(o int64, _ []byte) error {
		if o == next[0]-3 {
			return fault
		}
		return nil
	}); !errors.Is(err, fault) || at != next[0]-3 {
		t.Errorf("a reader that fails at %d: %d, %v", next[0]-3, at, err)
	}
	// One that is slower than the log is overtaken, and goes on in the segments.
	from := next[0] - 100
	if got, err := l.Read(t.Context(), 0, from, func(o int64, b []byte) error {
		if o == from {
			for range 2000 {
				mustAppend(t, l, journal.Record{Bytes: payload(0, next[0], 1000)})
				next[0]++
			}
		}
		if !bytes.Equal(b, payload(0, o, 1000)) {
			return fmt.Errorf("offset %d has other bytes", o)
		}
		return nil
	}); err != nil || got != from+100 {
		t.Errorf("a slow reader: %d, want %d, %v", got, from+100, err)
	}
}
