package faultproxy

import (
	"bytes"
	"strconv"
)

// commandBytesMax bounds what is held back to see a command whole; a longer one passes as
// plain bytes.
const commandBytesMax = 64 << 20

// commandEnd returns the length of the RESP command at the head of b, 0 when more bytes are
// needed, and false when b holds no array of bulk strings (the only form in which Redis
// clients send commands).
func commandEnd(b []byte) (end int, ok bool) {
	count, at, ok := header(b, 0, '*')
	if !ok || at == 0 {
		return 0, ok
	}
	for range count {
		size, next, ok := header(b, at, '$')
		if !ok || next == 0 {
			return 0, ok
		}
		at = next + size + len("\r\n")
		if at > commandBytesMax {
			return 0, false
		}
		if at > len(b) {
			return 0, true
		}
	}
	return at, true
}

// header reads a line like "*3\r\n" at b[at:] and returns its number and where the next line
// begins: 0 when the line is not whole yet.
func header(b []byte, at int, kind byte) (number, next int, ok bool) {
	const lineMax = 16
	if at == len(b) {
		return 0, 0, true
	}
	if b[at] != kind {
		return 0, 0, false
	}
	line, _, whole := bytes.Cut(b[at+1:min(len(b), at+1+lineMax)], []byte("\r\n"))
	if !whole {
		return 0, 0, len(line) < lineMax
	}
	number, err := strconv.Atoi(string(line))
	if err != nil || number < 0 || number > commandBytesMax {
		return 0, 0, false
	}
	return number, at + 1 + len(line) + 2, true
}

// splitter cuts what a client sends into the requests that a fault can be matched against.
type splitter struct {
	begun, resp bool
	pending     []byte // RESP: a command that is not whole yet
}

// add takes what was read and returns the requests that are whole now: RESP commands, or
// else the bytes as they came. They are copies.
func (s *splitter) add(b []byte) [][]byte {
	if !s.begun && len(b) > 0 {
		s.begun, s.resp = true, b[0] == '*'
	}
	if !s.resp {
		return nonEmpty(bytes.Clone(b))
	}
	s.pending = append(s.pending, b...)
	var whole [][]byte
	for len(s.pending) > 0 {
		end, ok := commandEnd(s.pending)
		if !ok { // not RESP after all
			s.resp = false
			return append(whole, s.rest()...)
		}
		if end == 0 {
			break
		}
		whole = append(whole, bytes.Clone(s.pending[:end]))
		s.pending = append(s.pending[:0], s.pending[end:]...)
	}
	return whole
}

// rest is what was held back, for when no more comes.
func (s *splitter) rest() [][]byte {
	pending := s.pending
	s.pending = nil
	return nonEmpty(pending)
}

func nonEmpty(b []byte) [][]byte {
	if len(b) == 0 {
		return nil
	}
	return [][]byte{b}
}
