package lane

import (
	"encoding/binary"

	"walletd/journal"
	"walletd/journal/rows"
)

// batch is rows of one partition, packed end to end, with their metas and carries: what waits, what is in a train, and
// what is held are all batches, and rows go from one to the next by memcpy. Ends in the metas count from the batch's start.
type batch struct {
	rows  []byte
	metas []rows.Meta
	carry []byte

	// unsure is how many of the first rows may have run already: they were sent, and no answer came. Rows that come back
	// are put in front, so the ones in doubt are always the first.
	unsure int
}

// actsOf is what a packed row counts in a train: a delivery counts its legs.
func actsOf(row []byte) int {
	if journal.Op(row[2]) == journal.OpDeliver {
		return max(1, int(binary.BigEndian.Uint16(row[deliverLegsAt:])))
	}
	return 1
}

// deliverLegsAt is the offset of the number of legs in a packed deliver: head 3, source 2, from 7, to 7.
const deliverLegsAt = 3 + 2 + 7 + 7

// row is the i-th row.
func (b *batch) row(i int) []byte { return b.rows[b.start(i):b.metas[i].End] }

func (b *batch) start(i int) uint32 {
	if i == 0 {
		return 0
	}
	return b.metas[i-1].End
}

func (b *batch) carryStart(i int) uint32 {
	if i == 0 {
		return 0
	}
	return b.metas[i-1].Carry
}

// carryOf is the i-th row's carry, nil without one.
func (b *batch) carryOf(i int) []byte {
	from, to := b.carryStart(i), b.metas[i].Carry
	if from == to {
		return nil
	}
	return b.carry[from:to:to]
}

// add appends rows i … j−1 of another batch.
func (b *batch) add(o *batch, i, j int) {
	if i == j {
		return
	}
	rowsFrom, carryFrom := o.start(i), o.carryStart(i)
	rowsBase, carryBase, n := uint32(len(b.rows)), uint32(len(b.carry)), len(b.metas)
	b.rows = append(b.rows, o.rows[rowsFrom:o.metas[j-1].End]...)
	b.carry = append(b.carry, o.carry[carryFrom:o.metas[j-1].Carry]...)
	b.metas = append(b.metas, o.metas[i:j]...)
	if rowsFrom == rowsBase && carryFrom == carryBase {
		return
	}
	for k := n; k < len(b.metas); k++ {
		m := &b.metas[k]
		m.End, m.Carry = m.End-rowsFrom+rowsBase, m.Carry-carryFrom+carryBase
	}
}

// drop forgets the first n rows and moves the rest to the front.
func (b *batch) drop(n int) {
	rowsFrom, carryFrom := b.start(n), b.carryStart(n)
	b.rows = append(b.rows[:0], b.rows[rowsFrom:]...)
	b.carry = append(b.carry[:0], b.carry[carryFrom:]...)
	rest := copy(b.metas, b.metas[n:])
	clear(b.metas[rest:])
	b.metas = b.metas[:rest]
	for k := range b.metas {
		b.metas[k].End, b.metas[k].Carry = b.metas[k].End-rowsFrom, b.metas[k].Carry-carryFrom
	}
	b.unsure = max(0, b.unsure-n)
}

// reset empties the batch and keeps its buffers, but for ones that grew beyond what is usual.
func (b *batch) reset() {
	clear(b.metas)
	b.rows, b.metas, b.carry, b.unsure = kept(b.rows), kept(b.metas), kept(b.carry), 0
}

// bufferKept bounds what an empty batch keeps, elements of a slice.
const bufferKept = 1 << 20

func kept[T any](s []T) []T {
	if cap(s) > bufferKept {
		return nil
	}
	return s[:0]
}

// queue is what waits for one partition, in order; rows before next are gone. Guarded by the owner's mutex.
type queue struct {
	batch
	next int
	acts int // of what waits
}

// bytes is the size of what waits.
func (q *queue) bytes() int { return len(q.rows) - int(q.start(q.next)) }

func (q *queue) empty() bool { return q.next == len(q.metas) }

func (q *queue) waiting() int { return len(q.metas) - q.next }

// push takes a stage's section, which has so many acts.
func (q *queue) push(s *rows.Section, acts int) {
	o := batch{rows: s.Rows, metas: s.Metas, carry: s.Carry}
	q.add(&o, 0, len(s.Metas))
	q.acts += acts
}

// room is what a train still has.
type room struct{ acts, bytes int }

// take moves as many rows as there is room for into b, which is empty, and answers what they used.
func (q *queue) take(b *batch, r room) (used room) {
	if q.next == 0 && q.acts <= r.acts && len(q.rows) <= r.bytes { // all of it: the buffers change hands
		*b, q.batch = q.batch, *b
		used, q.acts = room{q.acts, len(b.rows)}, 0
		return used
	}
	i, from := q.next, int(q.start(q.next))
	for ; i < len(q.metas); i++ {
		n := actsOf(q.row(i))
		if used.acts+n > r.acts || int(q.metas[i].End)-from > r.bytes {
			break
		}
		used = room{used.acts + n, int(q.metas[i].End) - from}
	}
	b.add(&q.batch, q.next, i)
	b.unsure = min(max(0, q.unsure-q.next), i-q.next)
	q.next, q.acts = i, q.acts-used.acts
	q.settleDown()
	return used
}

// settleDown forgets what is gone, when that is most of the buffer.
func (q *queue) settleDown() {
	switch {
	case q.empty():
		q.reset()
	case q.next >= len(q.metas)/2:
		q.drop(q.next)
	default:
		return
	}
	q.next = 0
}

// count is the acts of all rows.
func (b *batch) count() (n int) {
	for i := range b.metas {
		n += actsOf(b.row(i))
	}
	return n
}

// unshift puts rows that came back in front, and answers their acts.
func (q *queue) unshift(b *batch) int {
	acts := b.count()
	front := batch{unsure: b.unsure}
	front.add(b, 0, len(b.metas))
	if waiting := max(0, q.unsure-q.next); waiting > 0 { // all in doubt stay together, in front
		front.unsure = len(b.metas) + waiting
	}
	front.add(&q.batch, q.next, len(q.metas))
	q.batch, q.next = front, 0
	q.acts += acts
	return acts
}

// staged is the batch as a stage's section.
func (s *section) staged() rows.Section {
	return rows.Section{Partition: s.part.number, Rows: s.rows, Metas: s.metas, Carry: s.carry}
}

// split parts the rows whose op is one to keep from the rest, each in order.
func (b *batch) split(keep func(journal.Op) bool) (kept, rest batch) {
	for i := range b.metas {
		to := &rest
		if keep(b.metas[i].Op) {
			to = &kept
		}
		to.add(b, i, i+1)
		if i < b.unsure {
			to.unsure++
		}
	}
	return kept, rest
}
