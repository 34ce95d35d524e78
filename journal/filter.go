package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// The measures of a filter. They are part of the fold's state and of the shards' records: the same for every wallet.
const (
	FilterBlocks    = 1 << 16 // of a partition
	FilterBlockSize = 128     // bytes

	filterProbes     = 4
	filterSectorSize = FilterBlockSize / filterProbes // a probe's byte names one of its 256 bits
)

// FilterBlock is a part of a filter that one id stays within.
type FilterBlock [FilterBlockSize]byte

// Filter remembers ids that were evicted, in at most 8 MiB a partition (decision 11): a blocked Bloom filter. It never
// forgets one; it may take an id for known that is not, which costs a question to the projection. With 100 ids a block (6.5
// million a partition) that happens to 1 id in 90, with 200 to 1 in 12. The zero value is empty.
//
// An id's last twelve bytes are from a SHA-256: the first two of them are its block, each of the next four is a bit in one of
// the block's four sectors.
type Filter struct {
	blocks []*FilterBlock // nil: no bit is set
}

// FilterBlockOf is the id's block.
func FilterBlockOf(id ID) int { return int(binary.BigEndian.Uint16(id[4:])) }

// probe is the place of the id's n-th bit within its block.
func (id *ID) probe(n int) (at int, bit byte) {
	b := id[6+n]
	return n*filterSectorSize + int(b>>3), 1 << (b & 7)
}

// Add remembers an id.
func (b *FilterBlock) Add(id ID) {
	for n := range filterProbes {
		at, bit := id.probe(n)
		b[at] |= bit
	}
}

// Has reports whether the id may have been added.
func (b *FilterBlock) Has(id ID) bool {
	for n := range filterProbes {
		if at, bit := id.probe(n); b[at]&bit == 0 {
			return false
		}
	}
	return true
}

// Block is the n-th block, made if need be.
func (f *Filter) Block(n int) *FilterBlock {
	if f.blocks == nil {
		f.blocks = make([]*FilterBlock, FilterBlocks)
	}
	if f.blocks[n] == nil {
		f.blocks[n] = new(FilterBlock)
	}
	return f.blocks[n]
}

// Add remembers an id.
func (f *Filter) Add(id ID) { f.Block(FilterBlockOf(id)).Add(id) }

// Has reports whether the id may have been added.
func (f *Filter) Has(id ID) bool {
	if f.blocks == nil {
		return false
	}
	b := f.blocks[FilterBlockOf(id)]
	return b != nil && b.Has(id)
}

// Merge adds what is in a block of another filter.
func (f *Filter) Merge(n int, o *FilterBlock) {
	b := f.Block(n)
	for i := range b {
		b[i] |= o[i]
	}
}

// Each calls fn for every block that has been made, by number, until it answers an error.
func (f *Filter) Each(fn func(n int, b *FilterBlock) error) error {
	for n, b := range f.blocks {
		if b == nil {
			continue
		}
		if err := fn(n, b); err != nil {
			return err
		}
	}
	return nil
}

// Blocks is the number of blocks that have been made.
func (f *Filter) Blocks() (n int) {
	for _, b := range f.blocks {
		if b != nil {
			n++
		}
	}
	return n
}

// Covers reports whether f takes every id for known that o does.
func (f *Filter) Covers(o *Filter) bool {
	return o.Each(func(n int, b *FilterBlock) error {
		if f.blocks == nil || f.blocks[n] == nil {
			if *b != (FilterBlock{}) {
				return ErrBadRecord
			}
			return nil
		}
		for i := range b {
			if b[i]&^f.blocks[n][i] != 0 {
				return ErrBadRecord
			}
		}
		return nil
	}) == nil
}

// Fill is the part of the bits that are set, 0 … 1. The part of new ids that are taken for known is about its fourth power.
func (f *Filter) Fill() float64 {
	set := 0
	for _, b := range f.blocks {
		if b != nil {
			set += b.Ones()
		}
	}
	return float64(set) / (FilterBlocks * FilterBlockSize * 8)
}

// Ones is the number of bits set in the block.
func (b *FilterBlock) Ones() (n int) {
	for _, v := range b {
		n += bits.OnesCount8(v)
	}
	return n
}

// Digest tells filters apart that do not know the same ids.
func (f *Filter) Digest() (h Hash) {
	d := sha256.New()
	_ = f.Each(func(n int, b *FilterBlock) error {
		if *b == (FilterBlock{}) {
			return nil
		}
		_, err := d.Write(append(binary.BigEndian.AppendUint16(nil, uint16(n)), b[:]...))
		return err
	})
	d.Sum(h[:0])
	return h
}
