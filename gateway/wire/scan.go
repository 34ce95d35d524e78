package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// DepthMax is how deep a document may nest; {} is 1 deep. Nothing that is asked for nests deeper than 5.
const DepthMax = 32

// scratchKeep bounds what a scanner keeps for the next document, bytes.
const scratchKeep = 16 << 10

// scanner reads one JSON document (RFC 8259), stricter than it must be: no name twice, no invalid UTF-8, no lone
// surrogate, nothing behind the document. It goes on after a fault in a field, because faults of syntax come first
// wherever they stand; a fault of syntax moves it to the end, where every further step fails at once.
//
// It does not allocate, but for a fault and for strings with escapes that do not fit its scratch.
type scanner struct {
	b       []byte
	i       int
	depth   int
	scratch []byte // strings with escapes, unescaped
	syntax  string // what is wrong with the document; "": nothing so far
	at      int    // where
	fault   *Fault // the first fault in a field
	path    string // before the names of fields: "frozen."
}

func (s *scanner) reset(document []byte) {
	scratch := s.scratch[:0]
	if cap(scratch) > scratchKeep {
		scratch = nil
	}
	*s = scanner{b: document, scratch: scratch}
}

// bad records a fault of syntax and moves to the end.
func (s *scanner) bad(why string) {
	if s.syntax == "" {
		s.syntax, s.at = why, s.i
	}
	s.i = len(s.b)
}

// fail records a fault in a field; the first in the document stands.
func (s *scanner) fail(code, field, detail string) {
	if s.fault == nil {
		if s.path != "" {
			field = strings.TrimSuffix(s.path+field, ".")
		}
		s.fault = &Fault{code, field, detail}
	}
}

// result is the document's fault, nil without one. To be asked after the last step.
func (s *scanner) result() *Fault {
	s.peek()
	if s.i < len(s.b) {
		s.bad("something follows the document")
	}
	if s.syntax != "" {
		return &Fault{"malformed", "", s.syntax + " at byte " + strconv.Itoa(s.at)}
	}
	return s.fault
}

// peek passes over white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			return c
		}
		s.i++
	}
	return 0
}

// document opens the document, which must be an object. Whatever else it is must still be JSON, to be told apart.
func (s *scanner) document() bool {
	switch s.peek() {
	case '{':
		s.i++
		s.depth = 1
		return true
	case 0:
		s.bad("no document")
	default:
		s.skip()
		s.fail("malformed", "", "the document is not an object")
	}
	return false
}

// object opens a field's object; anything else is a fault of the field.
func (s *scanner) object(field string) bool {
	if s.peek() != '{' {
		s.fail("malformed", field, "must be an object")
		s.skip()
		return false
	}
	s.i++
	s.depth++
	return true
}

// array opens a field's array; anything else is a fault of the field.
func (s *scanner) array(field string) bool {
	if s.peek() != '[' {
		s.fail("malformed", field, "must be an array")
		s.skip()
		return false
	}
	s.i++
	s.depth++
	return true
}

// firstName returns the first name of the object that has just been opened, false for {}.
func (s *scanner) firstName() ([]byte, bool) {
	if s.peek() == '}' {
		s.i++
		s.depth--
		return nil, false
	}
	return s.name()
}

// nextName returns the next name once a value has been read, false at the object's end.
func (s *scanner) nextName() ([]byte, bool) {
	switch s.peek() {
	case ',':
		s.i++
		return s.name()
	case '}':
		s.i++
		s.depth--
	default:
		s.bad("no , or } after a value")
	}
	return nil, false
}

func (s *scanner) name() ([]byte, bool) {
	if s.peek() != '"' {
		s.bad("no field name")
		return nil, false
	}
	name, ok := s.str()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		s.bad("no : after a field name")
		return nil, false
	}
	s.i++
	return name, true
}

// firstItem reports whether the array that has just been opened has an item; nextItem, whether another follows.
func (s *scanner) firstItem() bool {
	if s.peek() == ']' {
		s.i++
		s.depth--
		return false
	}
	return s.syntax == ""
}

func (s *scanner) nextItem() bool {
	switch s.peek() {
	case ',':
		s.i++
		return true
	case ']':
		s.i++
		s.depth--
	default:
		s.bad("no , or ] after an item")
	}
	return false
}

// plain are the bytes of a string that stand for themselves and need no look at their neighbours.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// str reads the string whose opening quote is next. The result shares memory with the document, or with the scratch.
func (s *scanner) str() ([]byte, bool) {
	start := s.i + 1
	b := s.b
	i := start
	for i < len(b) && plain[b[i]] {
		i++
	}
	if i < len(b) && b[i] == '"' {
		s.i = i + 1
		return b[start:i:i], true
	}
	return s.strWithCare(start, i)
}

// strWithCare goes on with a string that holds more than plain bytes; start is its first byte, i the first unread one.
func (s *scanner) strWithCare(start, i int) ([]byte, bool) {
	out, copied := len(s.scratch), start
	for s.i = i; s.i < len(s.b); {
		switch c := s.b[s.i]; {
		case plain[c]:
			s.i++
		case c == '"':
			s.i++
			if copied == start {
				return s.b[start : s.i-1 : s.i-1], true
			}
			s.scratch = append(s.scratch, s.b[copied:s.i-1]...)
			return s.scratch[out:len(s.scratch):len(s.scratch)], true
		case c == '\\':
			s.scratch = append(s.scratch, s.b[copied:s.i]...)
			if !s.escape() {
				return nil, false
			}
			copied = s.i
		case c < 0x20:
			s.bad("control character in a string")
			return nil, false
		default:
			_, n := utf8.DecodeRune(s.b[s.i:])
			if n == 1 {
				s.bad("invalid UTF-8")
				return nil, false
			}
			s.i += n
		}
	}
	s.bad("string without end")
	return nil, false
}

// escape reads the escape whose backslash is next, onto the scratch.
func (s *scanner) escape() bool {
	if s.i+1 >= len(s.b) {
		s.bad("string without end")
		return false
	}
	c := s.b[s.i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.escapeUnicode()
	default:
		s.bad("unknown escape")
		return false
	}
	s.i += 2
	s.scratch = append(s.scratch, c)
	return true
}

// escapeUnicode reads \uXXXX, or the two of a surrogate pair.
func (s *scanner) escapeUnicode() bool {
	r, ok := s.hex4(s.i)
	if !ok {
		s.bad("\\u without four hex digits")
		return false
	}
	n := 6
	if r >= 0xd800 && r < 0xe000 {
		low, ok := s.hex4(s.i + 6)
		if !ok || r >= 0xdc00 || low < 0xdc00 || low >= 0xe000 {
			s.bad("lone surrogate")
			return false
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
		n = 12
	}
	s.i += n
	s.scratch = utf8.AppendRune(s.scratch, r)
	return true
}

// hex4 reads \uXXXX at i.
func (s *scanner) hex4(i int) (r rune, ok bool) {
	if i+6 > len(s.b) || s.b[i] != '\\' || s.b[i+1] != 'u' {
		return 0, false
	}
	for _, c := range s.b[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number is a JSON number as far as anyone asks: whole ones up to amountTop, beyond which it only says "more".
type number struct {
	value    uint64 // magnitude; amountTop+1 or more: too large
	negative bool
	whole    bool // without fraction and exponent
}

// number reads the number that is next.
func (s *scanner) number() (n number, ok bool) {
	if s.b[s.i] == '-' {
		n.negative = true
		s.i++
	}
	start := s.i
	for ; s.i < len(s.b) && isDigit(s.b[s.i]); s.i++ {
		if n.value <= amountTop {
			n.value = n.value*10 + uint64(s.b[s.i]-'0')
		}
	}
	if s.i == start || (s.b[start] == '0' && s.i > start+1) {
		s.bad("bad number")
		return n, false
	}
	n.whole = true
	if s.i < len(s.b) && s.b[s.i] == '.' {
		n.whole = false
		s.i++
		if !s.digits() {
			return n, false
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		n.whole = false
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return n, s.digits()
	}
	return n, true
}

// digits passes over one digit or more.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		s.bad("bad number")
		return false
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// literal passes over true, false or null.
func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		s.bad("unknown word")
		return false
	}
	s.i += len(word)
	return true
}
