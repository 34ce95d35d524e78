package luascripts

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
	"walletd/journal/rows"
)

// SectionReply is what a shard says about a section of a train.
type SectionReply struct {
	Partition int
	Status    journal.Status // OK, or why none of its rows was looked at: Uninitialised, StaleEpoch, LeaseOver, Moving
	Epoch     uint32         // that the partition has in the shard
	Base      uint64         // seq before the section's first event
	TimeMS    int64          // the shard's time of all its acts
	Rows      int
}

const (
	replyHeadSize    = 7
	sectionReplySize = 1 + 4 + 7 + 7
)

// Reply holds the outcomes of a train, in its order. It allocates nothing and is valid until the train is reset:
//
//	for reply.NextSection() {
//		for reply.NextRow(&outcome) {
//			…
//		}
//	}
//	if err := reply.Err(); err != nil { // ErrBadReply: what was not read is unknown
//
// Its bytes: the id of the outbox entry that the train left u56 (0: nothing happened), then the sections: status u8, epoch u32,
// base seq u56, time_ms u56, then, if the status is OK, a status byte a row, then what stands behind the rows, in their order: bit
// 0x80 of the status byte: it is a first answer, and here are its time_ms u56, epoch u32, seq u56, detail u56; bit 0x40: here is a
// detail u56; and
//
//	read     OK: details length u16, account, details
//	confirm  accepted, first or again: reservation length u8 (0 or 70), reservation as it is now
//	cancel   OK, Cancelled, Expired: reservation length u8 (0 or 70), reservation
//	all      KeyOld: nothing; rows.Outcome's record is the row itself
//	look     OK: key record length u8, then rows.Outcome's record: reservation length u8 (0 or 70), reservation, key record
type Reply struct {
	t       *Train
	entry   uint64 // outbox entry
	rest    []byte // of the reply
	next    int    // section to read
	section SectionReply
	status  []byte // of the section's rows
	row     int    // rows of the section read
	at      int    // where the row read last starts in t.arg
	end     int    // and ends
	seq     uint64
	err     error

	journaled bool
}

// Answer is the Reply to a train whose packed reply came from elsewhere than Run: a shard that is forged.
func (t *Train) Answer(packed []byte) Reply {
	t.reply = append(t.reply[:0], packed...)
	return newReply(t)
}

func newReply(t *Train) Reply {
	r := Reply{t: t, rest: t.reply}
	if len(t.sections) == 0 { // it was not sent
		return r
	}
	if b := r.take(replyHeadSize); b != nil {
		r.entry = u56(b)
	}
	return r
}

// Entry is the id of the outbox entry that the train left, 0 if nothing happened. AppendEntry makes the entry.
func (r *Reply) Entry() uint64 { return r.entry }

// Section is the section that NextSection has come to.
func (r *Reply) Section() SectionReply { return r.section }

// Row is the packed row that NextRow has answered, in the train's memory.
func (r *Reply) Row() []byte { return r.t.arg[r.at:r.end] }

// Journaled reports whether that row has an event: it happened, or its refusal is frozen.
func (r *Reply) Journaled() bool { return r.journaled }

// Seq is the seq of the partition's last event after that row. An answer may leave when the watermark covers it, whatever
// seq the outcome's own position names.
func (r *Reply) Seq() uint64 { return r.seq }

// Err is nil, or an ErrBadReply that names the place.
func (r *Reply) Err() error { return r.err }

// NextSection goes on to the next section; rows of the one before that were not read are passed over.
func (r *Reply) NextSection() bool {
	var o rows.Outcome
	for r.next > 0 && r.NextRow(&o) {
	}
	if r.err != nil {
		return false
	}
	if r.next == len(r.t.sections) {
		if len(r.rest) > 0 {
			r.fail("%d bytes behind the last outcome", len(r.rest))
		}
		return false
	}
	b := r.take(sectionReplySize)
	if b == nil {
		return false
	}
	sent := &r.t.sections[r.next]
	r.section = SectionReply{
		Partition: sent.partition, Status: journal.Status(b[0]), Epoch: binary.BigEndian.Uint32(b[1:]),
		Base: u56(b[5:]), TimeMS: int64(u56(b[12:])), Rows: sent.rows,
	}
	if s := r.section.Status; s != journal.OK && s != journal.Uninitialised && s != journal.StaleEpoch && s != journal.LeaseOver && s != journal.Moving {
		r.fail("section status %d", b[0])
		return false
	}
	r.next++
	r.row, r.seq, r.end = 0, r.section.Base, sent.head+sectionHeadSize
	if r.section.Status == journal.OK {
		r.status = r.take(sent.rows)
	}
	return r.err == nil
}

// NextRow fills in the outcome of the section's next row: all but Owner, Tag and Carry, which the shard never sees.
func (r *Reply) NextRow(o *rows.Outcome) bool {
	if r.err != nil || r.row == r.section.Rows {
		return false
	}
	r.at = r.end
	r.end = r.at + int(binary.BigEndian.Uint16(r.t.arg[r.at:]))
	r.row++
	r.journaled = false

	o.Op, o.Status, o.Replayed, o.Detail, o.Record = journal.Op(r.t.arg[r.at+2]), r.section.Status, false, 0, nil
	o.Position = journal.Position{Partition: r.section.Partition, Epoch: r.section.Epoch, Seq: r.seq}
	o.TimeMS = r.section.TimeMS
	if r.section.Status != journal.OK {
		return true
	}
	r.outcome(o, r.status[r.row-1])
	r.record(o)
	return r.err == nil
}

func (r *Reply) outcome(o *rows.Outcome, said byte) {
	bits := said &^ statusMask
	o.Status = journal.Status(said & statusMask)
	switch {
	case !o.Status.Known() || o.Status == journal.None || bits == replayedBit|detailBit:
		r.fail("status byte %#x", said)
	case bits == replayedBit:
		b := r.take(7 + 4 + 7 + 7)
		if b == nil {
			return
		}
		o.Replayed, o.TimeMS = true, int64(u56(b))
		o.Position.Epoch, o.Position.Seq, o.Detail = binary.BigEndian.Uint32(b[7:]), u56(b[11:]), u56(b[18:])
	case bits == detailBit:
		b := r.take(7)
		if b == nil {
			return
		}
		o.Detail = u56(b)
	}
	if !o.Replayed && o.Status.Journaled(o.Op.Keyed()) {
		r.journaled = true
		r.seq++
		o.Position.Seq = r.seq
	}
}

// record reads what stands behind the status: the rules are in the comment of Reply.
func (r *Reply) record(o *rows.Outcome) {
	size := 0
	switch o.Op { // the other acts answer nothing but their status
	case journal.OpRead:
		if o.Status == journal.OK {
			if b := r.take(2); b != nil {
				size = int(binary.BigEndian.Uint16(b)) + journal.AccountSize
			}
		}
	case journal.OpConfirm:
		if o.Status.Accepted() {
			size = r.length()
		}
	case journal.OpCancel:
		if o.Status == journal.OK || o.Status == journal.Cancelled || o.Status == journal.Expired {
			size = r.length()
		}
	case journal.OpLook:
		if o.Status == journal.OK {
			size = r.lookLength()
		}
	}
	if size > 0 {
		o.Record = r.take(size)
	}
	if o.Status == journal.KeyOld {
		o.Record = r.Row()
	}
}

func (r *Reply) length() int {
	b := r.take(1)
	if b == nil {
		return 0
	}
	if b[0] != 0 && b[0] != journal.ReservationSize {
		r.fail("a reservation of %d bytes", b[0])
	}
	return int(b[0])
}

// lookLength reads the key record's length and, without taking it, the reservation's, which is part of the record.
func (r *Reply) lookLength() int {
	b := r.take(1)
	if b == nil || len(r.rest) == 0 {
		return 1 // cut short, as the caller will find
	}
	key := int(b[0])
	rest := r.rest
	n := r.length()
	r.rest = rest
	return 1 + n + key
}

func (r *Reply) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.fail("cut short: %d of %d bytes", len(r.rest), n)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *Reply) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: partition %d row %d: %s", ErrBadReply, r.section.Partition, r.row, fmt.Sprintf(format, args...))
	}
}

func u56(b []byte) uint64 {
	_ = b[6]
	return uint64(b[0])<<48 | uint64(b[1])<<40 | uint64(b[2])<<32 | uint64(b[3])<<24 | uint64(b[4])<<16 | uint64(b[5])<<8 | uint64(b[6])
}

func appendU56(dst []byte, v uint64) []byte {
	return append(dst, byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
