package filelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// A walk reads so much at once: little at first, since who follows the end wants one record, and more the longer it goes.
const (
	windowBytesMin = 16 << 10
	windowBytes    = 256 << 10
)

// window reads a file forward through one buffer.
type window struct {
	f     File
	buf   []byte
	start int64 // of buf in the file
	ahead int   // how much to read next
}

var windowBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, windowBytes)) }}

// newWindow takes a buffer that release gives back.
func newWindow(f File) *window {
	return &window{f: f, buf: (*windowBuffers.Get().(*[]byte))[:0], ahead: windowBytesMin}
}

func (w *window) release() { windowBuffers.Put(&w.buf) }

// at answers n bytes from pos on, fewer where the file ends; they hold until the next call.
func (w *window) at(pos int64, n int) ([]byte, error) {
	if pos >= w.start && pos+int64(n) <= w.start+int64(len(w.buf)) {
		return w.buf[pos-w.start:][:n], nil
	}
	want := max(n, w.ahead)
	w.ahead = min(2*w.ahead, windowBytes)
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	got, err := w.f.ReadAt(w.buf[:want], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, err
	}
	w.buf, w.start = w.buf[:got], pos
	return w.buf[:min(n, got)], nil
}

// skip says that what comes next is not what follows: there is no use in reading far ahead.
func (w *window) skip() { w.ahead = windowBytesMin }

// record reads the whole, sound record at pos; bad says why there is none, err that the file cannot be read.
func (w *window) record(pos int64) (r record, bad, err error) {
	if r, bad, err = w.head(pos); bad != nil || err != nil {
		return r, bad, err
	}
	b, err := w.at(pos, int(r.size()))
	if err != nil {
		return r, nil, err
	}
	r, bad = parseRecord(b)
	return r, bad, nil
}

// head reads a record's head only.
func (w *window) head(pos int64) (r record, bad, err error) {
	b, err := w.at(pos, recordHeadSize)
	if err != nil {
		return r, nil, err
	}
	r, bad = parseRecordHead(b)
	return r, bad, nil
}

var magicBytes = binary.BigEndian.AppendUint32(nil, recordMagic)

// laterWrite looks behind pos, where there is no sound record, for a sound one whose write began behind pos: proof that
// what was at pos had been made durable. It answers that record's place, or -1; dirty tells whether anything but zeros
// lies there.
func (w *window) laterWrite(pos int64) (found int64, dirty bool, err error) {
	const step = windowBytes - recordHeadSize // a magic across the seam is found in the next step
	for q := pos; ; q += step {
		b, err := w.at(q, windowBytes)
		if err != nil || len(b) == 0 {
			return -1, dirty, err
		}
		dirty = dirty || !allZero(b)
		hits := magicsIn(b, q)
		last := len(b) < windowBytes
		for _, at := range hits {
			r, bad, err := w.record(at)
			if err != nil {
				return -1, dirty, err
			}
			if bad == nil && at-int64(r.back) > pos {
				return at, true, nil
			}
		}
		if last {
			return -1, dirty, nil
		}
	}
}

func magicsIn(b []byte, start int64) (hits []int64) {
	for i := 0; ; {
		n := bytes.Index(b[i:], magicBytes)
		if n < 0 {
			return hits
		}
		hits = append(hits, start+int64(i+n))
		i += n + 1
	}
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
