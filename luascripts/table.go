package luascripts

import "hash/maphash"

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
var tableSeed = maphash.MakeSeed()

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
	for i := slot(name); ; i = (i + 1) % tableSlots {
		taken := t.slots[i]
		if taken>>16 != t.now {
			t.count++
			t.slots[i] = t.now<<16 | uint32(t.count)
			t.names = append(t.names, name...)
			return uint16(t.count)
		}
		if n := int(taken & 0xffff); string(t.names[(n-1)*t.size:n*t.size]) == string(name) {
			return uint16(n)
		}
	}
}

// slot is where a name is looked for first. All of its bytes count: clients name reservations by whatever 16 bytes they like.
func slot(name []byte) uint64 { return maphash.Bytes(tableSeed, name) % tableSlots }
