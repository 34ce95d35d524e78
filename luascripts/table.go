package luascripts

import (
	"encoding/binary"
	"math/rand/v2"
)

// tableSlots is twice what a train can name at most, accounts: two an act.
const tableSlots = 4 * ActsMax

// table gives names of one length numbers from 1 on, each the same whenever it comes. It is emptied in one step.
type table struct {
	names []byte // in the order of their numbers
	size  int    // of a name, bytes
	count int
	slots []uint32 // generation u16, number u16
	now   uint32   // the generation; slots of others are free
}

// tableSeed keeps names that a client has chosen from meeting in one slot.
var tableSeed = rand.Uint64() | 1

func (t *table) reset(size int) {
	t.names, t.size, t.count = t.names[:0], size, 0
	if t.now = (t.now + 1) & 0xffff; t.now == 0 {
		clear(t.slots)
		t.now = 1
	}
}

func (t *table) number(name []byte) uint16 {
	if t.slots == nil {
		t.slots = make([]uint32, tableSlots)
	}
	var h uint64
	if t.size >= 8 {
		h = binary.LittleEndian.Uint64(name[t.size-8:])
	} else {
		h = uint64(binary.LittleEndian.Uint32(name))
	}
	for i := h * tableSeed >> 48 % tableSlots; ; i = (i + 1) % tableSlots {
		slot := t.slots[i]
		if slot>>16 != t.now {
			t.count++
			t.slots[i] = t.now<<16 | uint32(t.count)
			t.names = append(t.names, name...)
			return uint16(t.count)
		}
		if n := int(slot & 0xffff); string(t.names[(n-1)*t.size:n*t.size]) == string(name) {
			return uint16(n)
		}
	}
}
