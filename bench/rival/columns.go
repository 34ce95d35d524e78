package rival

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
)

// PostgreSQL's numbers of the types of the arrays' elements, and of the arrays.
const (
	boolOID, byteaOID, int8OID, int2OID, int4OID, uuidOID                        = 16, 17, 20, 21, 23, 2950
	byteaArrayOID, int2ArrayOID, int4ArrayOID, int8ArrayOID, uuidArrayOID uint32 = 1001, 1005, 1007, 1016, 2951
)

// column is an array in PostgreSQL's binary form, as it grows: dimensions, has nulls, element type, length, lower bound
// (i32 each), then each element behind its length. Nothing is allocated per element.
type column struct {
	b []byte
	n uint32
}

func (c *column) reset(element uint32) {
	c.n = 0
	c.b = binary.BigEndian.AppendUint32(append(c.b[:0], 0, 0, 0, 1, 0, 0, 0, 0), element)
	c.b = append(c.b, 0, 0, 0, 0, 0, 0, 0, 1)
}

func (c *column) int2(v int16) {
	c.n++
	c.b = append(c.b, 0, 0, 0, 2, byte(v>>8), byte(v))
}

func (c *column) int4(v int32) {
	c.n++
	c.b = binary.BigEndian.AppendUint32(append(c.b, 0, 0, 0, 4), uint32(v))
}

func (c *column) int8(v int64) {
	c.n++
	c.b = binary.BigEndian.AppendUint64(append(c.b, 0, 0, 0, 8), uint64(v))
}

func (c *column) id(id journal.ID) {
	c.n++
	c.b = append(append(c.b, 0, 0, 0, 16), id[:]...)
}

// handle is a uuid that ends with four zeros.
func (c *column) handle(h journal.Handle) {
	c.n++
	c.b = append(append(append(c.b, 0, 0, 0, 16), h[:]...), 0, 0, 0, 0)
}

func (c *column) bytes(b []byte) {
	c.n++
	c.b = append(binary.BigEndian.AppendUint32(c.b, uint32(len(b))), b...)
}

// value is the whole array, valid until the next reset.
func (c *column) value() []byte {
	binary.BigEndian.PutUint32(c.b[12:], c.n)
	return c.b
}

// elements reads an array of n elements of a fixed size without nulls, and calls fn for each.
func elements(b []byte, n, size int, fn func(i int, element []byte)) error {
	const head = 20
	if n == 0 {
		return nil
	}
	if len(b) != head+n*(4+size) || binary.BigEndian.Uint32(b[12:]) != uint32(n) {
		return fmt.Errorf("an answer of %d bytes for %d elements of %d", len(b), n, size)
	}
	for i := range n {
		at := head + i*(4+size)
		if binary.BigEndian.Uint32(b[at:]) != uint32(size) {
			return fmt.Errorf("element %d of the answer has another size than %d", i, size)
		}
		fn(i, b[at+4:at+4+size])
	}
	return nil
}
