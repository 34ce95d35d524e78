package filelog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"walletd/journal"
)

// The journal knows that its disk is full while half a segment is left, says so, takes what is under way, and is well again
// by itself when there is room, although nobody appends.
func TestAFullDiskIsKnownBeforehand(t *testing.T) {
	d := newDisk()
	var says logLines
	l, err := Open(Config{Dir: dir, Partitions: 1, SegmentBytes: smallSegments, FS: d, Logger: says.logger()})
	if err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	d.setFault(func(op, name string, done bool) error {
		if full.Load() && op == "write" && name == nextFile && !done {
			return syscall.ENOSPC
		}
		return nil
	})
	if l.Short() != nil {
		t.Fatal(l.Short())
	}
	fill(t, l, 3, 1000) // of 4096
	waitFor(t, func() bool { return l.Short() != nil })
	if !errors.Is(l.Short(), syscall.ENOSPC) {
		t.Errorf("short of: %v", l.Short())
	}
	mustAppend(t, l, journal.Record{Bytes: payload(0, 3, 200)}) // there is room for it
	if _, err := l.Append(t.Context(), []journal.Record{{Bytes: payload(0, 4, 2000)}}); !errors.Is(err, journal.ErrNotAppended) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("beyond what was left: %v", err)
	}
	if end, err := l.End(t.Context(), 0); err != nil || end != 4 {
		t.Errorf("the end on a full disk: %d, %v", end, err)
	}
	full.Store(false)
	waitFor(t, func() bool { return l.Short() == nil })
	mustAppend(t, l, journal.Record{Bytes: payload(0, 4, 2000)})
	mustClose(t, l)
	if text := says.buf.String(); strings.Count(text, "cannot grow") != 1 || !strings.Contains(text, "can grow again") {
		t.Errorf("it said %q", text)
	}
	l = mustOpen(t, d.killed(), 1)
	if got := readAll(t, l, 0, 0); len(got) != 5 {
		t.Errorf("%d records, want 5", len(got))
	}
	mustClose(t, l)
}

// A journal that a crash left on a full disk opens, is read, and knows that it cannot grow.
func TestOpenedOnAFullDisk(t *testing.T) {
	d := newDisk()
	l := mustOpen(t, d, 1)
	fill(t, l, 3, 1000)
	image := d.killed()
	mustClose(t, l)
	last := image.file(filepath.Join(dir, segmentName(1)))
	last.live = last.live[:len(last.live)-600] // as a cut leaves it: its zeros are to be made again
	var full atomic.Bool
	full.Store(true)
	image.setFault(func(op, name string, done bool) error {
		if full.Load() && op == "write" && !done && (name == nextFile || strings.HasSuffix(name, segmentSuffix)) && len(last.live) < smallSegments {
			return syscall.ENOSPC
		}
		return nil
	})
	l, err := Open(Config{Dir: dir, SegmentBytes: smallSegments, FS: onlyNew{image}})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, l, 0, 0); len(got) != 3 {
		t.Errorf("%d records, want 3", len(got))
	}
	if l.Short() == nil {
		t.Error("it does not know that the disk is full")
	}
	full.Store(false)
	waitFor(t, func() bool { return l.Short() == nil })
	mustAppend(t, l, journal.Record{Bytes: payload(0, 3, 500)})
	mustClose(t, l)
}

// onlyNew is a full disk: what lies on it may be overwritten, and only new blocks are missing.
type onlyNew struct{ *disk }

func (o onlyNew) OpenFile(name string, flag int) (File, error) {
	f, err := o.disk.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return overwriting{f.(*diskFile)}, nil
}

type overwriting struct{ *diskFile }

func (f overwriting) WriteAt(b []byte, at int64) (int, error) {
	if size, _ := f.Size(); at+int64(len(b)) <= size {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		return f.put(b, at), nil
	}
	return f.diskFile.WriteAt(b, at)
}

// dropsClean is a disk whose cache drops clean pages just when the journal is opened for writing: what the records were
// counted by is gone.
type dropsClean struct {
	*cleanAfterError
	armed bool
}

func (c *dropsClean) OpenFile(name string, flag int) (File, error) {
	if c.armed && flag&os.O_RDWR != 0 && strings.HasSuffix(name, segmentSuffix) {
		c.armed = false
		for node, r := range c.lost {
			copy(node.live[r[0]:r[1]], node.synced[r[0]:])
		}
	}
	return c.cleanAfterError.OpenFile(name, flag)
}

// After a failed fdatasync the cache may show the records to a new process and drop them before they are written again. Then
// that process must not count them.
func TestRecordsThatTheCacheDropsAreNotCounted(t *testing.T) {
	d := &dropsClean{cleanAfterError: &cleanAfterError{disk: newDisk(), lost: map[*inode][2]int{}}}
	l := mustOpen(t, d, 1)
	mustAppend(t, l, journal.Record{Bytes: payload(0, 0, 200)})
	d.setFault(func(op, name string, done bool) error {
		if op == "sync" && strings.HasSuffix(name, segmentSuffix) && !done {
			return syscall.EIO
		}
		return nil
	})
	if _, err := l.Append(t.Context(), []journal.Record{{Bytes: payload(0, 1, 200)}}); err == nil || errors.Is(err, journal.ErrNotAppended) {
		t.Fatalf("a failed fdatasync: %v, want unknown", err)
	}
	<-l.Stopped()
	d.setFault(nil)
	_ = l.Close()

	d.armed = true
	if l, err := Open(Config{Dir: dir, SegmentBytes: smallSegments, FS: d}); err == nil {
		t.Errorf("it opened, with records up to %v", readAll(t, l, 0, 0))
		_ = l.Close()
	} else if isDamage(err) != nil {
		t.Errorf("%v: nothing that was acknowledged is missing", err)
	}
	l = mustOpen(t, d, 1)
	if got := readAll(t, l, 0, 0); len(got) != 1 {
		t.Errorf("%d records, want the one that was acknowledged", len(got))
	}
	mustAppend(t, l, journal.Record{Bytes: payload(0, 1, 100)})
	mustClose(t, l)
}
