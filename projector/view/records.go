package view

import (
	"encoding/binary"
	"errors"
	"fmt"

	"walletd/journal"
)

// ErrStore says that the store holds what this package would not write, or that Pebble failed.
var ErrStore = errors.New("projection store")

func badRecord(what string, b []byte) error {
	return fmt.Errorf("%w: %s of %d bytes", ErrStore, what, len(b))
}

// place is where and when something happened: epoch u32, seq u64, time_ms u64.
type place struct {
	epoch  uint32
	seq    uint64
	timeMS int64
}

const placeSize = 4 + 8 + 8

func (p place) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(dst, p.epoch), p.seq)
	return binary.BigEndian.AppendUint64(dst, uint64(p.timeMS))
}

func parsePlace(b []byte) place {
	return place{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), int64(binary.BigEndian.Uint64(b[12:]))}
}

func (p place) position(partition int) journal.Position {
	return journal.Position{Partition: partition, Epoch: p.epoch, Seq: p.seq}
}

// progress is how far a partition is folded: the log's cursor, and where the Book stands.
type progress struct {
	cursor    journal.Cursor
	book      place
	evictedMS int64
}

const progressSize = 8 + 4 + 8 + 32 + placeSize + 8

func (p progress) append(dst []byte) []byte {
	c := p.cursor
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.Offset))
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(dst, c.Epoch), c.Seq)
	return binary.BigEndian.AppendUint64(p.book.append(append(dst, c.Chain[:]...)), uint64(p.evictedMS))
}

func parseProgress(partition int, b []byte) (p progress, err error) {
	if len(b) != progressSize {
		return p, badRecord("cursor", b)
	}
	p.cursor = journal.Cursor{Partition: partition, Offset: int64(binary.BigEndian.Uint64(b)), Epoch: binary.BigEndian.Uint32(b[8:]),
		Seq: binary.BigEndian.Uint64(b[12:]), Chain: journal.Hash(b[20:52])}
	p.book, p.evictedMS = parsePlace(b[52:]), int64(binary.BigEndian.Uint64(b[52+placeSize:]))
	return p, nil
}

// appendEntry packs an entry's value: of u8, flagged u8, id 16, other 12, then varints: amount, changes of available and
// reserved, both afterwards, epoch, seq. Account, time and version are its key.
func appendEntry(dst []byte, e *journal.Event, c *journal.Change) []byte {
	flagged := byte(0)
	if c.Flagged {
		flagged = 1
	}
	dst = append(dst, byte(c.Of), flagged)
	dst = append(append(dst, c.ID[:]...), c.Other[:]...)
	dst = binary.AppendUvarint(dst, uint64(c.Amount))
	dst = binary.AppendVarint(dst, int64(c.After.Available-c.Before.Available))
	dst = binary.AppendVarint(dst, int64(c.After.Reserved-c.Before.Reserved))
	dst = binary.AppendVarint(dst, int64(c.After.Available))
	dst = binary.AppendUvarint(dst, uint64(c.After.Reserved))
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.Epoch)), e.Seq)
}

func parseEntry(key, b []byte) (e Entry, err error) {
	const head = 2 + 16 + 12
	if len(key) != prefixSize+handleSize+16 || len(b) < head {
		return e, badRecord("entry", b)
	}
	e.Account = journal.Handle(key[prefixSize:])
	e.TimeMS, e.Version = parseEntryKey(key)
	e.Of, e.Flagged = journal.Op(b[0]), b[1] == 1
	e.ID, e.Counterparty = journal.ID(b[2:]), journal.Handle(b[18:])
	v := varints{b: b[head:]}
	e.Amount = journal.Amount(v.unsigned())
	e.AvailableChange, e.ReservedChange = journal.Amount(v.signed()), journal.Amount(v.signed())
	e.AvailableAfter, e.ReservedAfter = journal.Amount(v.signed()), journal.Amount(v.unsigned())
	e.Position = journal.Position{Partition: int(binary.BigEndian.Uint16(key[1:])), Epoch: uint32(v.unsigned()), Seq: v.unsigned()}
	if v.bad || len(v.b) != 0 {
		return e, badRecord("entry", b)
	}
	return e, nil
}

type varints struct {
	b   []byte
	bad bool
}

func (v *varints) unsigned() uint64 {
	n, size := binary.Uvarint(v.b)
	return v.took(n, size)
}

func (v *varints) signed() int64 {
	n, size := binary.Varint(v.b)
	return int64(v.took(uint64(n), size))
}

func (v *varints) took(n uint64, size int) uint64 {
	if size <= 0 {
		v.bad = true
		return 0
	}
	v.b = v.b[size:]
	return n
}

// kept is a reservation with the place of its last change.
type kept struct {
	journal.Reservation
	changed place
}

func (k kept) append(dst []byte) []byte { return k.changed.append(k.Append(dst)) }

func parseKept(b []byte) (k kept, err error) {
	if len(b) != journal.ReservationSize+placeSize {
		return k, badRecord("reservation", b)
	}
	k.Reservation, err = journal.ParseReservation(b[:journal.ReservationSize])
	k.changed = parsePlace(b[journal.ReservationSize:])
	return k, err
}

// capture is one confirm of a reservation: the confirm's id and what it took.
type capture struct {
	id     journal.ID
	amount journal.Amount
}

func (c capture) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(append(dst, c.id[:]...), uint64(c.amount))
}

func parseCapture(b []byte) (c capture, err error) {
	if len(b) != idSize+8 {
		return c, badRecord("capture", b)
	}
	return capture{journal.ID(b), journal.Amount(binary.BigEndian.Uint64(b[idSize:]))}, nil
}

// appendTransfer packs a keyed act: its key record without the content, which is part of the row, then the row.
func appendTransfer(dst []byte, k journal.KeyRecord, row []byte) []byte {
	k.Content = nil
	return append(k.Append(dst), row...)
}

// parseTransfer unpacks a keyed act; key record and row share memory with b.
func parseTransfer(b []byte) (k journal.KeyRecord, row []byte, err error) {
	if len(b) < journal.KeyHeadSize+3 {
		return k, nil, badRecord("transfer", b)
	}
	if k, err = journal.ParseKeyRecord(b[:journal.KeyHeadSize]); err != nil {
		return k, nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	row = b[journal.KeyHeadSize:]
	if n, err := journal.RowLen(row); err != nil || n != len(row) {
		return k, nil, badRecord("row", row)
	}
	k.Content = journal.Content(row)
	return k, row, nil
}
