// Package rows is how rows travel to a shard and their outcomes come back: the words that gateway, lanes and keeper share.
//
//	producer ── Stage (rows per partition) ──Submit──> Shards ── train ──> shard
//	   ^                                                 │ outcome held until the journal is durable up to its seq
//	   └──────────── Sink.Settle(run of outcomes) ───────┘
//
// A stage is filled by one goroutine and handed over by memcpy; nothing is allocated per row (hot path: one append to
// the rows, one to the metas). It starts no goroutine and knows no shard.
package rows

import (
	"fmt"

	"walletd/journal"
)

// Shards takes staged rows. What it answers has obeyed the output-commit rule (design section 4).
type Shards interface {
	// Submit takes everything in the stage and empties it. Every row is answered exactly once, through its Sink, whatever
	// happens: by its outcome, or by a refusal of class retryable (provably nothing moved), or by OutcomeUnknown.
	// Submit does not block; a refusal for want of room may be settled before it returns, on the caller's goroutine.
	Submit(*Stage)
}

// Sink receives outcomes. Settle must not block and must not keep what it is given: records and carries are reused.
type Sink interface {
	Settle([]Outcome)
}

// Meta goes beside a row and comes back with its outcome.
type Meta struct {
	Sink  Sink
	Owner Sink   // for whom a check was made; nil otherwise
	Tag   uint64 // the sink's own mark
	Op    journal.Op
	End   uint32 // end of the row in Section.Rows
	Carry uint32 // end of the carry in Section.Carry
}

// Outcome is a row's answer.
type Outcome struct {
	Owner    Sink
	Tag      uint64
	Op       journal.Op
	Status   journal.Status
	Replayed bool             // the first outcome of the key: position, time and detail are the first's
	Position journal.Position // of the row's event; without one, of the partition's last event when it was answered
	TimeMS   int64            // the shard's time of the act
	Detail   uint64           // as in journal.Outcome; check: the payee's status seq; delivery_gap: delivered[source]
	Record   []byte           // read: account, details; confirm, cancel: the reservation or nothing; look: see Key; key_old: the row
	Carry    []byte           // what the producer sent along with a check
}

// Account reads the record of a read: the account, and, where they were asked for, its details (created_ms u56, JSON).
func (o *Outcome) Account() (a journal.Account, details []byte, err error) {
	if len(o.Record) < journal.AccountSize {
		return a, nil, fmt.Errorf("%w: read answered %d bytes", journal.ErrBadRecord, len(o.Record))
	}
	a, err = journal.ParseAccount(o.Record[:journal.AccountSize])
	return a, o.Record[journal.AccountSize:], err
}

// Reservation reads the reservation in the record of a confirm, cancel or look; false when it has none.
func (o *Outcome) Reservation() (r journal.Reservation, ok bool) {
	record := o.Record
	if o.Op == journal.OpLook {
		record, _ = o.look()
	}
	r, err := journal.ParseReservation(record)
	return r, err == nil
}

// Key reads the key record in the record of a look; false when it has none. It shares memory with the outcome.
func (o *Outcome) Key() (k journal.KeyRecord, ok bool) {
	_, record := o.look()
	k, err := journal.ParseKeyRecord(record)
	return k, err == nil
}

// look cuts a look's record: length u8 of the reservation (0 or its size), the reservation, then the key record or nothing.
func (o *Outcome) look() (reservation, key []byte) {
	if len(o.Record) == 0 || len(o.Record) < 1+int(o.Record[0]) {
		return nil, nil
	}
	n := 1 + int(o.Record[0])
	return o.Record[1:n], o.Record[n:]
}

// Section is a stage's rows for one partition.
type Section struct {
	Partition int
	Rows      []byte
	Metas     []Meta
	Carry     []byte
}

// Stage collects rows per partition. The zero value is not usable: NewStage.
type Stage struct {
	sections []Section
	touched  []int
	rows     int
}

// NewStage is a stage for a wallet of so many partitions.
func NewStage(partitions int) *Stage {
	s := &Stage{sections: make([]Section, partitions)}
	for p := range s.sections {
		s.sections[p].Partition = p
	}
	return s
}

// Rows is the number of rows staged.
func (s *Stage) Rows() int { return s.rows }

// Partitions is the number of partitions of the wallet.
func (s *Stage) Partitions() int { return len(s.sections) }

// Add packs a row for its partition.
func (s *Stage) Add(partition int, r *journal.Row, sink Sink, tag uint64) {
	sec := s.section(partition)
	sec.Rows = r.Append(sec.Rows)
	s.meta(sec, Meta{Sink: sink, Tag: tag, Op: r.Op})
}

// AddPacked stages a row that is packed already.
func (s *Stage) AddPacked(partition int, row []byte, sink Sink, tag uint64) {
	sec := s.section(partition)
	sec.Rows = append(sec.Rows, row...)
	s.meta(sec, Meta{Sink: sink, Tag: tag, Op: journal.Op(row[2])})
}

// AddCheck stages a check in the payee's partition for a row that will follow at the payer's: next is packed into the
// carry, and comes back to sink with the verdict, the owner and the tag.
func (s *Stage) AddCheck(partition int, check, next *journal.Row, sink, owner Sink, tag uint64) {
	sec := s.section(partition)
	sec.Rows = check.Append(sec.Rows)
	sec.Carry = next.Append(sec.Carry)
	s.meta(sec, Meta{Sink: sink, Owner: owner, Tag: tag, Op: check.Op})
}

func (s *Stage) section(partition int) *Section {
	sec := &s.sections[partition]
	if len(sec.Metas) == 0 {
		s.touched = append(s.touched, partition)
	}
	return sec
}

func (s *Stage) meta(sec *Section, m Meta) {
	m.End, m.Carry = uint32(len(sec.Rows)), uint32(len(sec.Carry))
	sec.Metas = append(sec.Metas, m)
	s.rows++
}

// Each calls fn for every partition that has rows, in the order in which they were first touched.
func (s *Stage) Each(fn func(*Section)) {
	for _, p := range s.touched {
		fn(&s.sections[p])
	}
}

// Reset empties the stage and keeps its buffers.
func (s *Stage) Reset() {
	for _, p := range s.touched {
		sec := &s.sections[p]
		clear(sec.Metas)
		sec.Rows, sec.Metas, sec.Carry = sec.Rows[:0], sec.Metas[:0], sec.Carry[:0]
	}
	s.touched, s.rows = s.touched[:0], 0
}
