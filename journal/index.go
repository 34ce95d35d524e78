package journal

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// HandleIndex finds the places of accounts in a slice by their handles: open addressing, eight bytes an entry, so that a look-up
// in a table of millions touches two places of memory, the entry and what it names. The zero value is empty.
//
// It keeps a part of each handle's hash and not the handle: who looks compares what a Probe answers with what lies there.
type HandleIndex struct {
	entries []indexEntry // a power of two
	used    int
}

type indexEntry struct {
	tag uint32 // the hash's lower half: where the probe begins, too
	at  int32  // place + 1; 0: empty
}

// Clients choose account ids, so what they cannot know is mixed in: else they could make all of theirs begin at one entry.
var indexSeed = [2]uint64{rand.Uint64(), rand.Uint64()}

func tagOf(h Handle) uint32 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(h[4:])^indexSeed[0], uint64(binary.LittleEndian.Uint32(h[:]))^indexSeed[1])
	return uint32(hi ^ lo)
}

// Probe goes through the places that a handle may have.
type Probe struct {
	entries []indexEntry
	tag     uint32
	at      uint32
}

// Probe begins to look for a handle.
func (x *HandleIndex) Probe(h Handle) Probe {
	tag := tagOf(h)
	return Probe{x.entries, tag, tag}
}

// Next answers the next place to compare; false when the handle has none.
func (p *Probe) Next() (place int32, ok bool) {
	mask := uint32(len(p.entries) - 1)
	if mask == ^uint32(0) {
		return 0, false
	}
	for {
		e := p.entries[p.at&mask]
		p.at++
		if e.at == 0 {
			return 0, false
		}
		if e.tag == p.tag {
			return e.at - 1, true
		}
	}
}

// Add notes the place of a handle that has none.
func (x *HandleIndex) Add(h Handle, place int32) {
	if 4*(x.used+1) > 3*len(x.entries) {
		x.grow()
	}
	x.put(indexEntry{tagOf(h), place + 1})
	x.used++
}

func (x *HandleIndex) put(e indexEntry) {
	mask := uint32(len(x.entries) - 1)
	i := e.tag & mask
	for x.entries[i].at != 0 {
		i = (i + 1) & mask
	}
	x.entries[i] = e
}

func (x *HandleIndex) grow() {
	old := x.entries
	x.entries = make([]indexEntry, max(2*len(old), 64))
	for _, e := range old {
		if e.at != 0 {
			x.put(e)
		}
	}
}

// Remove forgets the place of a handle. What was pushed on by it moves back, so that probes stay short.
func (x *HandleIndex) Remove(h Handle, place int32) {
	mask, tag := uint32(len(x.entries)-1), tagOf(h)
	i := tag & mask
	for x.entries[i] != (indexEntry{tag, place + 1}) {
		if x.entries[i].at == 0 {
			return
		}
		i = (i + 1) & mask
	}
	x.used--
	for hole := i; ; {
		i = (i + 1) & mask
		e := x.entries[i]
		if e.at == 0 {
			x.entries[hole] = indexEntry{}
			return
		}
		if (i-e.tag)&mask >= (i-hole)&mask { // its probe begins at the hole or before
			x.entries[hole] = e
			hole = i
		}
	}
}

// Len is the number of handles.
func (x *HandleIndex) Len() int { return x.used }
