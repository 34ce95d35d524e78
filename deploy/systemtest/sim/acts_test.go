package sim

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/luascripts"
)

const (
	trainHeadSize   = 2
	sectionHeadSize = 2 + 4 + 2 + 4
	replayedBit     = 0x80
	detailBit       = 0x40
)

// train runs a train as train.lua does: the Book decides, and what happened goes to the outbox in the same step.
func (r *redis) train(arg []byte, epoch uint32) (reply []byte, err error) {
	if !r.admits[epoch] && !plantedEpoch() {
		return nil, fmt.Errorf("%w: NOSCRIPT", luascripts.ErrNotReady)
	}
	if r.of != "" {
		return nil, fmt.Errorf("%w: it is a replica", luascripts.ErrReadOnly)
	}
	clock := r.clock()
	reply = u56(reply, 0) // the outbox entry, if there is one
	var entry []byte
	for b := arg[trainHeadSize:]; len(b) > 0; {
		p, e := int(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:])
		size := sectionHeadSize + int(binary.BigEndian.Uint32(b[8:]))
		reply, entry = r.section(p, e, b[sectionHeadSize:size], clock, reply, entry)
		b = b[size:]
	}
	if len(entry) > 0 {
		r.last++
		r.outbox = append(r.outbox, luascripts.NewOutboxEntry(r.last, entry))
		copy(reply, u56(nil, r.last))
	}
	return reply, nil
}

func (r *redis) section(p int, epoch uint32, acts []byte, clock int64, reply, entry []byte) (_, _ []byte) {
	of, status := r.parts[p], journal.OK
	clamped := max(clock, r.window.floor*r.window.sliceMS)
	switch {
	case of != nil && !of.serves && of.aside != "":
		return put(reply, journal.Moving, 0, 0, clamped), entry
	case of == nil || !of.serves:
		return put(reply, journal.Uninitialised, 0, 0, clamped), entry
	}
	b := of.book
	now := max(clamped, b.TimeMS)
	switch {
	case b.Epoch != epoch && !plantedEpoch():
		status = journal.StaleEpoch
	case clock >= r.lease && !planted.Is(planted.LeaseForever):
		status = journal.LeaseOver
	}
	reply = put(reply, status, b.Epoch, b.Seq, now)
	if status != journal.OK {
		return reply, entry
	}
	r.alone(p, epoch)
	base, count, events, behind := b.Seq, 0, []byte(nil), []byte(nil)
	for len(acts) > 0 {
		n, err := journal.RowLen(acts)
		if err != nil {
			r.world.fail("a train with a bad row: %v", err)
			return reply, entry
		}
		before := b.Seq
		var said byte
		said, behind = r.act(b, acts[:n:n], now, behind)
		reply = append(reply, said)
		if b.Seq > before {
			count++
			events = append(append(events, acts[:n]...), said&^(replayedBit|detailBit))
		}
		acts = acts[n:]
	}
	reply = append(reply, behind...)
	if count > 0 {
		entry = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(entry, uint16(p)), b.Epoch)
		entry = u56(u56(entry, base+1), uint64(now))
		entry = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(entry, uint16(count)), uint32(len(events)))
		entry = append(entry, events...)
	}
	return reply, entry
}

// alone: while a shard answers for a partition, the map shows no other one that does in a later epoch (decision 10). One that it
// does not show, because its keeper has an older map, is asked by nobody.
func (r *redis) alone(p int, epoch uint32) {
	m := r.world.zoo.static.Current()
	o := r.world.shardAt(m.ShardOf(p).Primary)
	if of := o.parts[p]; o != r && of != nil && of.serves && of.book.Epoch > epoch && of.book.Epoch == m.Partitions[p].Epoch &&
		len(o.admits) > 0 && o.of == "" && o.clock() < o.lease {
		r.world.fail("P8: %s answers for partition %d in epoch %d, and %s in epoch %d", r.shard, p, epoch, o.shard, of.book.Epoch)
	}
}

func put(dst []byte, s journal.Status, epoch uint32, seq uint64, ms int64) []byte {
	return u56(u56(binary.BigEndian.AppendUint32(append(dst, byte(s)), epoch), seq), uint64(ms))
}

func u56(dst []byte, v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return append(dst, b[1:]...)
}

// act decides a row and applies it. It answers its status byte, and packs what stands behind the section's statuses, as reply.go
// reads them.
func (r *redis) act(b *journal.Book, packed []byte, now int64, behind []byte) (byte, []byte) {
	var row journal.Row
	o, err := b.Decide(packed, now)
	if _, bad := row.Parse(packed); err != nil || bad != nil {
		return byte(journal.Malformed), behind
	}
	undo := misdecide(b, &row, &o)
	if o.Journaled {
		e := journal.Event{Position: journal.Position{Partition: b.Partition, Epoch: b.Epoch, Seq: b.Seq + 1}, TimeMS: now, Status: o.Status, Packed: packed}
		if err := b.Apply(&e, nil); err != nil && undo == nil {
			r.world.fail("a shard does what the fold refuses: %v", err)
		} else if err != nil {
			b.Seq++
		}
		if undo != nil {
			undo()
		}
	}
	said := byte(o.Status)
	switch detail := max(o.Detail, o.Delivered, o.StatusSeq); {
	case o.Replayed:
		k := o.First
		said = byte(k.Status) | replayedBit
		behind = binary.BigEndian.AppendUint32(u56(behind, uint64(k.TimeMS)), k.Epoch)
		behind = u56(u56(behind, k.Seq), k.Detail)
	case detail > 0:
		said |= detailBit
		behind = u56(behind, detail)
	}
	return said, record(b, &row, &o, behind)
}

// record packs what stands behind a status: the comment of luascripts.Reply.
func record(b *journal.Book, row *journal.Row, o *journal.Outcome, reply []byte) []byte {
	switch row.Op {
	case journal.OpRead:
		if o.Status == journal.OK {
			a, _ := b.State.Account(row.Account)
			var details []byte
			if row.Details {
				details, _ = b.State.Details(row.Account)
			}
			reply = a.Append(binary.BigEndian.AppendUint16(reply, uint16(len(details))))
			reply = append(reply, details...)
		}
	case journal.OpConfirm:
		if o.Status.Accepted() {
			reply = reservation(b, row.Reservation, reply)
		}
	case journal.OpCancel:
		if o.Status == journal.OK || o.Status == journal.Cancelled || o.Status == journal.Expired {
			k, seen := b.State.Key(row.ID)
			if row.ByKey && seen && k.Status != journal.Tried {
				return append(reply, 0)
			}
			reply = reservation(b, row.ID, reply)
		}
	case journal.OpLook:
		if o.Status == journal.OK {
			var key []byte
			if k, seen := b.State.Key(row.ID); seen {
				key = k.Append(nil)
			}
			reply = reservation(b, row.ID, append(reply, byte(len(key))))
			reply = append(reply, key...)
		}
	}
	return reply
}

func reservation(b *journal.Book, id journal.ID, reply []byte) []byte {
	res, ok := b.State.Reservation(id)
	if !ok {
		return append(reply, 0)
	}
	return res.Append(append(reply, journal.ReservationSize))
}

// misdecide plants the bugs of a shard's acts, which live in Lua and cannot be planted there for a Book: it changes the
// outcome, and answers what to do to the Book afterwards.
func misdecide(b *journal.Book, row *journal.Row, o *journal.Outcome) (after func()) {
	m := b.State.(*records)
	switch {
	case planted.Is(planted.NoTombstone) && o.Status == journal.Tombstone && o.Journaled:
		return func() { m.window.remove(row.ID) }
	case planted.Is(planted.FundsBeforeKey) && o.Replayed && row.Op != journal.OpConfirm:
		if a, ok := m.Accounts[row.Account]; ok && row.Amount > a.Available {
			*o = journal.Outcome{Status: journal.InsufficientFunds, Journaled: true}
			return func() {}
		}
	case planted.Is(planted.DeliverNoCompare) && o.Status == journal.DeliveryGap && row.LegCount > 0:
		*o = journal.Outcome{Status: journal.Delivered, Journaled: true}
		m.DeliveredOf[row.Source] = row.From
		return func() {}
	}
	return nil
}
