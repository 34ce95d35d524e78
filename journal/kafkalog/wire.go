package kafkalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// Versions of the two requests that we write and read ourselves: the last ones before the tagged formats. Kafka 2.4 and
// all later ones speak them.
const (
	produceVersion = 8
	fetchVersion   = 11
)

// errTooOld says that a broker does not speak our versions.
var errTooOld = errors.New("the broker is too old: Kafka 2.4 or later is needed")

// errBadResponse says that bytes are no response to what was asked.
var errBadResponse = errors.New("the broker's response cannot be read")

// appendRequestHead begins a request: room for its size, then the head.
func appendRequestHead(dst []byte, key protocol.ApiKey, version int16, correlation int32) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	return appendString(dst, clientID)
}

// endRequest fills in the size.
func endRequest(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// exchange writes a request and reads its response, without the correlation id. The response lies in buf if it fits.
func exchange(rw io.ReadWriter, request []byte, correlation int32, buf []byte) ([]byte, error) {
	if _, err := rw.Write(request); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, noEOF(err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > responseMax {
		return nil, fmt.Errorf("%w: %d bytes", errBadResponse, size)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != correlation {
		return nil, fmt.Errorf("%w: it answers request %d, not %d", errBadResponse, got, correlation)
	}
	n := int(size - 4)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(rw, buf); err != nil {
		return nil, noEOF(err)
	}
	return buf, nil
}

// noEOF keeps a connection that ended from looking like the end of something read in full.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reader takes a response apart; after the first fault it answers zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) i16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) i32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// text reads a string; null is "".
func (r *reader) text() string {
	n := r.i16()
	if n < 0 {
		return ""
	}
	return string(r.take(int(n)))
}

// bytes reads bytes; null is none.
func (r *reader) bytes() []byte {
	n := r.i32()
	if n < 0 {
		return nil
	}
	return r.take(int(n))
}

// count reads the length of an array whose elements have at least so many bytes; null is none.
func (r *reader) count(least int) int {
	n := int(r.i32())
	if n < 0 {
		return 0
	}
	if n > len(r.b)/least {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) err() error {
	if r.bad {
		return errBadResponse
	}
	return nil
}
