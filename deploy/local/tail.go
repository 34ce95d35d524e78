package local

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const (
	tailLines    = 20   // kept for an error message
	tailLineSize = 1024 // bytes; what is longer is cut into several lines
)

// tail keeps the last lines of a server's log and hands every line on to the writer that
// the caller gave, if any.
type tail struct {
	to io.Writer // may be nil; its errors are ignored, a full disk must not stop a server

	mu    sync.Mutex
	lines []string
	part  []byte // the line that has no end yet
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			t.part = append(t.part, b...)
			break
		}
		t.part = append(t.part, b[:end]...)
		b = b[end+1:]
		t.endLine(len(t.part))
	}
	for len(t.part) >= tailLineSize {
		t.endLine(tailLineSize)
	}
	return n, nil
}

// endLine moves the first n bytes of part to the kept lines.
func (t *tail) endLine(n int) {
	line := string(t.part[:n])
	t.part = append(t.part[:0], t.part[n:]...)
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
	if t.to != nil {
		_, _ = io.WriteString(t.to, line+"\n")
	}
}

// String is the kept lines, oldest first, without a line end after the last.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if len(t.part) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(t.part))
	}
	return strings.Join(lines, "\n")
}
