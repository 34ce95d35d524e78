package luascripts

import (
	"encoding/binary"
	"testing"
)

// Names that differ in few of their bytes, wherever those are, are spread over the slots: 1,024 take some 900 of them.
func TestTableSpreadsNames(t *testing.T) {
	for _, size := range []int{4, 12, 16} {
		for at := 0; at+2 <= size; at += 2 {
			var names table
			names.reset(size)
			used := map[uint64]bool{}
			for i := range ActsMax {
				name := make([]byte, size)
				binary.BigEndian.PutUint16(name[at:], uint16(i)<<6)
				used[slot(name)] = true
				if n := names.number(name); int(n) != i+1 {
					t.Fatalf("name %d has number %d", i+1, n)
				}
			}
			if len(used) < ActsMax/2 {
				t.Errorf("names of %d bytes that differ from byte %d on: %d slots for %d", size, at, len(used), ActsMax)
			}
		}
	}
}
