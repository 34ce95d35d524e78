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
	// windowFrom is the seq from which on events' keys, and the reservations that they ended, may be in the window.
	windowFrom uint64
}

const progressSize = 8 + 4 + 8 + 32 + placeSize + 8 + 8

func (p progress) append(dst []byte) []byte {
	c := p.cursor
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.Offset))
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(dst, c.Epoch), c.Seq)
	dst = binary.BigEndian.AppendUint64(p.book.append(append(dst, c.Chain[:]...)), uint64(p.evictedMS))
	return binary.BigEndian.AppendUint64(dst, p.windowFrom)
}

func parseProgress(partition int, b []byte) (p progress, err error) {
	if len(b) != progressSize {
		return p, badRecord("cursor", b)
	}
	p.cursor = journal.Cursor{Partition: partition, Offset: int64(binary.BigEndian.Uint64(b)), Epoch: binary.BigEndian.Uint32(b[8:]),
		Seq: binary.BigEndian.Uint64(b[12:]), Chain: journal.Hash(b[20:52])}
	p.book, p.evictedMS = parsePlace(b[52:]), int64(binary.BigEndian.Uint64(b[52+placeSize:]))
	p.windowFrom = binary.BigEndian.Uint64(b[60+placeSize:])
	return p, nil
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

// appendFlagged names a flagged line of a statement.
func appendFlagged(dst []byte, h journal.Handle, timeMS int64, version uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, h[:]...), uint64(timeMS))
	return binary.BigEndian.AppendUint64(dst, version)
}

func parseFlagged(b []byte) (h journal.Handle, timeMS int64, version uint64, err error) {
	if len(b) != handleSize+16 {
		return h, 0, 0, badRecord("flagged", b)
	}
	return journal.Handle(b), int64(binary.BigEndian.Uint64(b[handleSize:])), binary.BigEndian.Uint64(b[handleSize+8:]), nil
}
