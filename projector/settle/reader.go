package settle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// RowBytesMax bounds a row, bytes: what is longer is malformed.
const RowBytesMax = 64 << 10

// quotedLinesMax bounds the line breaks within a row's quoted fields. A quote that nobody closes costs its own line, not the rest of the file.
const quotedLinesMax = 16

// ErrEncoding says that a file is not UTF-8, or another charset with ASCII in it.
var ErrEncoding = errors.New("the file is UTF-16; save it as UTF-8")

// Reader reads rows of separated fields (RFC 4180; also CR LF, a byte order mark, empty lines). encoding/csv cannot be used: behind a quote that is never closed
// it has eaten the file, and it bounds no row. What a fuzz target holds against it is that both read the same of what is well-formed.
type Reader struct {
	from      *bufio.Reader
	separator byte
	pending   []ahead  // lines read ahead for a quote that nobody closed
	next      int      // number of the next line, from 1
	fields    [][]byte // of the present row
	scratch   []byte   // what fields point into
}

// ahead is a line that is read again, or what was wrong with it.
type ahead struct {
	text []byte
	bad  error
}

// RowError is a row that cannot be divided into fields, or whose line is too long. The Reader goes on with the next line.
type RowError struct {
	Line   int
	Column int // number of the field, from 1
	Text   string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// NewReader reads rows of fields between separators; 0: what the first line has most of (comma, semicolon, tab, bar).
func NewReader(from io.Reader, separator byte) (*Reader, error) {
	r := &Reader{from: bufio.NewReaderSize(from, RowBytesMax), separator: separator, next: 1}
	head, err := r.from.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = r.from.Discard(3) // they are there
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return nil, ErrEncoding
	}
	return r, nil
}

// Row answers the fields of the next row and the number of its first line; they are the reader's again with the next call. Empty lines are
// passed over. At the end it is io.EOF; a *RowError is one row's alone.
func (r *Reader) Row() (fields [][]byte, line int, err error) {
	for {
		line = r.next
		text, err := r.line()
		if err != nil {
			return nil, line, err
		}
		if len(text) == 0 {
			continue
		}
		if r.separator == 0 {
			r.separator = separatorOf(text)
		}
		fields, err = r.row(text, line)
		return fields, line, err
	}
}

// Skip passes over n lines: what stands before the header.
func (r *Reader) Skip(n int) error {
	for range n {
		var long *RowError
		if _, err := r.line(); err != nil && !errors.As(err, &long) {
			return err
		}
	}
	return nil
}

// line answers the next line without its end; it is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	if len(r.pending) > 0 {
		a := r.pending[0]
		r.pending = r.pending[1:]
		r.next++
		return a.text, a.bad
	}
	return r.fresh()
}

func (r *Reader) fresh() ([]byte, error) {
	text, err := r.from.ReadSlice('\n')
	switch {
	case err == nil:
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.from.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the file: %w", err)
		}
		r.next++
		return nil, &RowError{r.next - 1, 1, fmt.Sprintf("the line is longer than %d bytes", RowBytesMax)}
	case errors.Is(err, io.EOF):
		if len(text) == 0 {
			return nil, io.EOF
		}
	default:
		return nil, fmt.Errorf("read the file: %w", err)
	}
	r.next++
	text = bytes.TrimSuffix(text, []byte("\n"))
	return bytes.TrimSuffix(text, []byte("\r")), nil
}

// row divides a line into fields; quoted fields may reach over the next lines.
func (r *Reader) row(text []byte, line int) ([][]byte, error) {
	r.fields = r.fields[:0]
	if bytes.IndexByte(text, '"') < 0 {
		for {
			i := bytes.IndexByte(text, r.separator)
			if i < 0 {
				r.fields = append(r.fields, text)
				return r.fields, nil
			}
			r.fields, text = append(r.fields, text[:i]), text[i+1:]
		}
	}
	r.scratch = append(r.scratch[:0], text...)
	var behind []ahead
	for {
		bad, open := r.split(r.scratch, line)
		if !open {
			return r.fields, bad
		}
		if len(behind) == quotedLinesMax || len(r.scratch) > RowBytesMax {
			r.giveBack(behind)
			return nil, bad
		}
		more, err := r.line()
		if errors.Is(err, io.EOF) {
			r.giveBack(behind)
			return nil, bad
		}
		behind = append(behind, ahead{bytes.Clone(more), err})
		if err != nil {
			r.giveBack(behind)
			return nil, bad
		}
		r.scratch = append(append(r.scratch, '\n'), more...)
	}
}

// giveBack lets the lines be read again that an open quote had taken.
func (r *Reader) giveBack(behind []ahead) {
	for _, a := range behind {
		var long *RowError
		if a.bad == nil || errors.As(a.bad, &long) {
			r.next-- // a fault of the file's own is not of a line
		}
	}
	r.pending = append(behind, r.pending...)
}

// split divides a text with quotes into fields, in place where nothing is doubled. open: a quote is not closed.
func (r *Reader) split(text []byte, line int) (bad error, open bool) {
	r.fields = r.fields[:0]
	for {
		column := len(r.fields) + 1
		if len(text) == 0 || text[0] != '"' {
			i := bytes.IndexByte(text, r.separator)
			field := text
			if i >= 0 {
				field = text[:i]
			}
			if bytes.IndexByte(field, '"') >= 0 {
				return &RowError{line, column, "a quote in a field that is not quoted"}, false
			}
			r.fields = append(r.fields, field)
			if i < 0 {
				return nil, false
			}
			text = text[i+1:]
			continue
		}
		field, rest, closed := unquote(text[1:])
		if !closed {
			return &RowError{line, column, "the quote is never closed"}, true
		}
		r.fields = append(r.fields, field)
		if len(rest) == 0 {
			return nil, false
		}
		if rest[0] != r.separator {
			return &RowError{line, column, "text behind the closing quote"}, false
		}
		text = rest[1:]
	}
}

// unquote reads a field up to its closing quote; two quotes are one.
func unquote(text []byte) (field, rest []byte, closed bool) {
	var joined []byte
	for {
		i := bytes.IndexByte(text, '"')
		switch {
		case i < 0:
			return nil, nil, false
		case i+1 < len(text) && text[i+1] == '"':
			joined, text = append(joined, text[:i+1]...), text[i+2:]
		case joined == nil:
			return text[:i], text[i+1:], true
		default:
			return append(joined, text[:i]...), text[i+1:], true
		}
	}
}

// separatorOf is what a first line has most of, outside quotes.
func separatorOf(text []byte) byte {
	var counts [256]int
	quoted := false
	for _, c := range text {
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}
