package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Flags are an account's switches, one byte in rows and shards.
type Flags uint8

// The switches of an account (semantics section 5).
const (
	Issuance        Flags = 1 << 0 // may go negative: money enters and leaves the system here; fixed at opening
	FrozenSending   Flags = 1 << 1
	FrozenReceiving Flags = 1 << 2
	Closed          Flags = 1 << 3
)

// Has reports whether all of f2 are set.
func (f Flags) Has(f2 Flags) bool { return f&f2 == f2 }

// Account is an account's state in its partition. available ≥ −overdraft_limit (an issuance account: ≥ −AmountMax),
// reserved ≥ 0, available + reserved ≤ AmountMax, so that releasing a reservation can never overflow.
type Account struct {
	Available      Amount
	Reserved       Amount
	Flags          Flags
	Version        uint64 // rises by one with every change; 1 = opening
	StatusSeq      uint64 // seq of the last open or alter in its partition
	Asset          Asset
	OverdraftLimit Amount
}

// AccountSize is the length of a packed account, bytes: available i64, reserved u56, flags u8, version u48, status_seq u48, asset u16, overdraft_limit u56.
const AccountSize = 8 + 7 + 1 + 6 + 6 + 2 + 7

// ErrBadRecord says that bytes are no record of the kind they should be.
var ErrBadRecord = errors.New("bad record")

func appendU48(dst []byte, v uint64) []byte {
	return append(dst, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func u48(b []byte) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}

// Append packs the account onto dst.
func (a Account) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Available))
	dst = append(appendU56(dst, uint64(a.Reserved)), byte(a.Flags))
	dst = appendU48(appendU48(dst, a.Version), a.StatusSeq)
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.Asset))
	return appendU56(dst, uint64(a.OverdraftLimit))
}

// ParseAccount unpacks an account.
func ParseAccount(b []byte) (a Account, err error) {
	if len(b) != AccountSize {
		return a, fmt.Errorf("%w: account of %d bytes", ErrBadRecord, len(b))
	}
	a.Available = Amount(binary.BigEndian.Uint64(b))
	a.Reserved, a.Flags = Amount(u56(b[8:])), Flags(b[15])
	a.Version, a.StatusSeq = u48(b[16:]), u48(b[22:])
	a.Asset, a.OverdraftLimit = Asset(binary.BigEndian.Uint16(b[28:])), Amount(u56(b[30:]))
	return a, nil
}

// spendable is what a transfer may take: available plus the overdraft. Above 2^53 the sum is larger than any amount anyway.
func (a Account) spendable() Amount {
	if a.Flags.Has(Issuance) {
		return a.Available + AmountMax
	}
	return a.Available + a.OverdraftLimit
}

// room is what may still be credited.
func (a Account) room() Amount { return AmountMax - (a.Available + a.Reserved) }

// AccountDetails are the parts of an account that no act looks at, kept as JSON beside it: id, asset code, owner
// and metadata. A shard keeps them behind seven bytes, the time of the opening (created_ms).
type AccountDetails struct {
	ID       string            `json:"id"`
	Asset    string            `json:"asset"`
	Owner    string            `json:"owner,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Reservation is a Try that its payer's partition keeps (semantics section 4).
type Reservation struct {
	Status    Status // Tried, Confirmed, Cancelled, Expired
	Payer     Handle
	To        Handle // zeros: named with the confirm
	Amount    Amount // as reserved
	Remaining Amount // still reserved on the payer; 0 once it is no longer Tried
	Captured  Amount
	Asset     Asset
	CreatedMS int64
	ExpiresMS int64
	// ResolvedMS is when it was confirmed in full, cancelled or expired; 0 while it is open. One that was resolved before the
	// partition's evicted_ms is gone; an open one stays for ever.
	ResolvedMS int64
}

// ReservationSize is the length of a packed reservation, bytes: status u8, payer 12, to 12, amount, remaining, captured u56, asset u16, created_ms, expires_ms, resolved_ms u56.
const ReservationSize = 1 + 12 + 12 + 7 + 7 + 7 + 2 + 7 + 7 + 7

// Append packs the reservation onto dst.
func (r Reservation) Append(dst []byte) []byte {
	dst = append(dst, byte(r.Status))
	dst = append(append(dst, r.Payer[:]...), r.To[:]...)
	dst = appendU56(appendU56(appendU56(dst, uint64(r.Amount)), uint64(r.Remaining)), uint64(r.Captured))
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.Asset))
	return appendU56(appendU56(appendU56(dst, uint64(r.CreatedMS)), uint64(r.ExpiresMS)), uint64(r.ResolvedMS))
}

// ParseReservation unpacks a reservation.
func ParseReservation(b []byte) (r Reservation, err error) {
	if len(b) != ReservationSize {
		return r, fmt.Errorf("%w: reservation of %d bytes", ErrBadRecord, len(b))
	}
	r.Status, r.Payer, r.To = Status(b[0]), Handle(b[1:13]), Handle(b[13:25])
	r.Amount, r.Remaining, r.Captured = Amount(u56(b[25:])), Amount(u56(b[32:])), Amount(u56(b[39:]))
	r.Asset = Asset(binary.BigEndian.Uint16(b[46:]))
	r.CreatedMS, r.ExpiresMS, r.ResolvedMS = int64(u56(b[48:])), int64(u56(b[55:])), int64(u56(b[62:]))
	return r, nil
}

// KeyRecord is the first outcome of a keyed act, under its id (semantics section 2).
type KeyRecord struct {
	Status  Status
	Op      Op // transfer, pay, reserve, confirm; cancel for a tombstone
	TimeMS  int64
	Epoch   uint32
	Seq     uint64
	Detail  uint64 // insufficient_funds: what is missing; confirm: see ConfirmDetail
	Content []byte // the part of the row that a repeat must equal: `to … before ext`; none for a tombstone
}

// KeyHeadSize is the length of a packed key record before its content, bytes: status u8, op u8, time_ms u56, epoch u32, seq u56, detail u56.
const KeyHeadSize = 1 + 1 + 7 + 4 + 7 + 7

// Append packs the record onto dst.
func (k KeyRecord) Append(dst []byte) []byte {
	dst = append(dst, byte(k.Status), byte(k.Op))
	dst = binary.BigEndian.AppendUint32(appendU56(dst, uint64(k.TimeMS)), k.Epoch)
	return append(appendU56(appendU56(dst, k.Seq), k.Detail), k.Content...)
}

// ParseKeyRecord unpacks a key record; its content shares memory with b.
func ParseKeyRecord(b []byte) (k KeyRecord, err error) {
	if len(b) < KeyHeadSize {
		return k, fmt.Errorf("%w: key record of %d bytes", ErrBadRecord, len(b))
	}
	k.Status, k.Op, k.TimeMS = Status(b[0]), Op(b[1]), int64(u56(b[2:]))
	k.Epoch, k.Seq, k.Detail = binary.BigEndian.Uint32(b[9:]), u56(b[13:]), u56(b[20:])
	k.Content = b[KeyHeadSize:]
	return k, nil
}

// ConfirmDetail is the detail of an accepted confirm: what remains reserved while the reservation stays open (final=false),
// else all that was captured. The other of the two follows: captured = amount − remaining − released.
func ConfirmDetail(r Reservation) uint64 {
	if r.Status == Tried {
		return uint64(r.Remaining)
	}
	return uint64(r.Captured)
}

// SplitDetails cuts an account's details into the time of its opening and the JSON of its AccountDetails.
func SplitDetails(b []byte) (createdMS int64, text []byte, err error) {
	if len(b) < 7 {
		return 0, nil, fmt.Errorf("%w: details of %d bytes", ErrBadRecord, len(b))
	}
	return int64(u56(b)), b[7:], nil
}
