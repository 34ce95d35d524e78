package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Op is the kind of an act: the second field of every row. Values are frozen: they are on disk.
type Op uint8

// The acts of a shard (design sections 5 and 6). Begin, Try and Decide are reserved for transfers with several payers:
// they are rows like these and need no other mechanism.
const (
	OpOpen     Op = 1  // opens an account
	OpAlter    Op = 2  // changes an account's flags, limit and details
	OpRead     Op = 3  // reads an account; not journaled
	OpCheck    Op = 4  // Try of a payee: read-only; not journaled
	OpTransfer Op = 5  // payer and payee in this partition
	OpPay      Op = 6  // payer here, payee elsewhere: carries the check's verdict; the channel delivers the credit
	OpReserve  Op = 7  // takes an amount aside (Try)
	OpConfirm  Op = 8  // captures a reservation, in whole or in part
	OpCancel   Op = 9  // releases a reservation, or leaves a tombstone for a Try that has not come
	OpExpire   Op = 10 // releases a reservation whose time is over (the keeper's)
	OpDeliver  Op = 11 // credits the legs of another partition's decided events (the keeper's)
	OpLook     Op = 12 // reads a reservation or a key record by id; not journaled
	OpBegin    Op = 13 // reserved
	OpTry      Op = 14 // reserved
	OpDecide   Op = 15 // reserved
	OpEvict    Op = 16 // forgets the keys and resolved reservations before a cut-off (the keeper's; decision 11)
)

var opNames = [...]string{"", "open", "alter", "read", "check", "transfer", "pay", "reserve", "confirm", "cancel", "expire", "deliver", "look", "", "", "", "evict"}

func (o Op) String() string {
	if int(o) < len(opNames) && opNames[o] != "" {
		return opNames[o]
	}
	return fmt.Sprintf("op#%d", uint8(o))
}

// Keyed reports whether the act carries a client's key and freezes its refusals under it.
func (o Op) Keyed() bool { return o >= OpTransfer && o <= OpConfirm }

// Releases reports whether the act only frees or delivers money, or only looks (a confirm looks and checks first): it
// runs in the train that is allowed to use memory when Redis is full (design section 5).
func (o Op) Releases() bool {
	return o >= OpConfirm && o <= OpDeliver || o == OpRead || o == OpCheck || o == OpLook || o == OpEvict
}

// VerdictLocal in a row says that the payee lives in this partition: the act itself looks at it.
// Any other verdict is the Status that a check of the payee gave (0 or OK: it may be credited).
const VerdictLocal = 255

// Leg is one credit of a decided event, carried by a channel (design section 6).
type Leg struct {
	Of     Op // OpPay or OpConfirm: the act that decided it
	ID     ID // transfer, or the reservation that was confirmed
	Payer  Handle
	Payee  Handle
	Amount Amount
	Asset  Asset
}

// LegSize is a leg's length in a deliver row, bytes.
const LegSize = 1 + 16 + 12 + 12 + 7 + 2

// Row is one act, unpacked. Which fields an op uses is its layout's (below); the others stay zero.
//
// Layouts, after the common head `length u16 (of the whole row), op u8`:
//
//	open      account 12, asset 2, flags 1, overdraft_limit 7, details …
//	alter     account 12, expected_version 7 (0: any), expected_status_seq 7, flags 1, overdraft_limit 7, details …
//	read      account 12, details 1 (1: send the details too)
//	check     account 12, asset 2, amount 7
//	transfer  verdict 1, id 16, account 12, to 12, amount 7, asset 2, ref 4, ext …
//	pay       as transfer
//	reserve   verdict 1, id 16, account 12, to 12 (zeros: named with the confirm), amount 7, asset 2, ref 4, expires_in_s 4, ext …
//	confirm   verdict 1, id 16, reservation 16, to 12, amount 7 (0: all that remains), final 1, ext …
//	cancel    by_key 1, id 16, account 12 (the payer; zeros when by id), ext …
//	expire    id 16
//	deliver   source 2, from 7, to 7, legs 2, legs × (of 1, id 16, payer 12, payee 12, amount 7, asset 2)
//	look      id 16
//	evict     cutoff_ms 7
//
// ext is three texts, each with a length byte before it: the client's key, the payee's account id, the reference; then,
// in a row that was answered key_old and is sent again, cleared_ms 7: the projection, folded up to that cut-off or a later one,
// knows neither the row's id nor, of a confirm, its reservation.
// ref is the CRC-32C of the reference (0 without one); `to … before ext` is the content that a repeat must equal.
type Row struct {
	Op      Op
	Verdict uint8
	ByKey   bool
	Final   bool
	Details bool // read: send the details

	ID          ID
	Reservation ID
	Account     Handle // the account that the act is about: payer, opened, read, checked
	To          Handle
	Amount      Amount
	Asset       Asset
	ExpiresInS  uint32

	Flags             Flags
	OverdraftLimit    Amount
	ExpectedVersion   uint64
	ExpectedStatusSeq uint64

	Source   int    // deliver: the payer's partition
	From     uint64 // deliver: delivered[Source] must be this
	UpTo     uint64 // deliver: and becomes this
	LegCount int
	legs     []byte

	CutoffMS  int64 // evict: what is older goes
	ClearedMS int64 // rows with ext: evictions up to this one do not stand against it; 0: none was asked about

	// Texts and details share memory with the packed row.
	Key       []byte
	ToText    []byte
	Reference []byte
	Text      []byte // open, alter: the account's details (AccountDetails as JSON)
}

// RowSizeMax bounds one packed row, bytes.
const RowSizeMax = 1<<16 - 1

// LegsMax is the largest number of legs in one deliver row.
const LegsMax = 1024

// ErrBadRow says that bytes are no row.
var ErrBadRow = errors.New("bad row")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RefSum is a row's ref: CRC-32C of the reference, 0 without one.
func RefSum(reference []byte) uint32 {
	if len(reference) == 0 {
		return 0
	}
	return crc32.Checksum(reference, castagnoli)
}

func appendU56(dst []byte, v uint64) []byte {
	return append(dst, byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func u56(b []byte) uint64 {
	_ = b[6]
	return uint64(b[0])<<48 | uint64(b[1])<<40 | uint64(b[2])<<32 | uint64(b[3])<<24 | uint64(b[4])<<16 | uint64(b[5])<<8 | uint64(b[6])
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// VerdictAt is the offset of the verdict in a packed transfer, pay, reserve or confirm: a check's answer is written there.
const VerdictAt = 3

// Append packs the row onto dst. Texts over 255 bytes and rows over RowSizeMax are a caller's bug and panic.
func (r *Row) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, byte(r.Op))
	switch r.Op {
	case OpOpen:
		dst = append(dst, r.Account[:]...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(r.Asset))
		dst = append(dst, byte(r.Flags))
		dst = append(appendU56(dst, uint64(r.OverdraftLimit)), r.Text...)
	case OpAlter:
		dst = append(dst, r.Account[:]...)
		dst = appendU56(appendU56(dst, r.ExpectedVersion), r.ExpectedStatusSeq)
		dst = append(dst, byte(r.Flags))
		dst = append(appendU56(dst, uint64(r.OverdraftLimit)), r.Text...)
	case OpRead:
		dst = append(append(dst, r.Account[:]...), flag(r.Details))
	case OpCheck:
		dst = binary.BigEndian.AppendUint16(append(dst, r.Account[:]...), uint16(r.Asset))
		dst = appendU56(dst, uint64(r.Amount))
	case OpTransfer, OpPay, OpReserve:
		dst = append(append(dst, r.Verdict), r.ID[:]...)
		dst = append(append(dst, r.Account[:]...), r.To[:]...)
		dst = binary.BigEndian.AppendUint16(appendU56(dst, uint64(r.Amount)), uint16(r.Asset))
		dst = binary.BigEndian.AppendUint32(dst, RefSum(r.Reference))
		if r.Op == OpReserve {
			dst = binary.BigEndian.AppendUint32(dst, r.ExpiresInS)
		}
		dst = r.appendExt(dst)
	case OpConfirm:
		dst = append(append(dst, r.Verdict), r.ID[:]...)
		dst = append(append(dst, r.Reservation[:]...), r.To[:]...)
		dst = append(appendU56(dst, uint64(r.Amount)), flag(r.Final))
		dst = r.appendExt(dst)
	case OpCancel:
		dst = append(append(dst, flag(r.ByKey)), r.ID[:]...)
		dst = r.appendExt(append(dst, r.Account[:]...))
	case OpExpire, OpLook:
		dst = append(dst, r.ID[:]...)
	case OpEvict:
		dst = appendU56(dst, uint64(r.CutoffMS))
	case OpDeliver:
		dst = binary.BigEndian.AppendUint16(dst, uint16(r.Source))
		dst = appendU56(appendU56(dst, r.From), r.UpTo)
		dst = binary.BigEndian.AppendUint16(dst, uint16(r.LegCount))
		dst = append(dst, r.legs...)
	default:
		panic(fmt.Sprintf("journal: pack of %v", r.Op))
	}
	n := len(dst) - start
	if n > RowSizeMax {
		panic(fmt.Sprintf("journal: row of %d bytes", n))
	}
	binary.BigEndian.PutUint16(dst[start:], uint16(n))
	return dst
}

func (r *Row) appendExt(dst []byte) []byte {
	for _, text := range [...][]byte{r.Key, r.ToText, r.Reference} {
		if len(text) > 255 {
			panic(fmt.Sprintf("journal: text of %d bytes", len(text)))
		}
		dst = append(append(dst, byte(len(text))), text...)
	}
	if r.ClearedMS != 0 {
		dst = appendU56(dst, uint64(r.ClearedMS))
	}
	return dst
}

// AddLeg adds a leg to a deliver row, at most LegsMax.
func (r *Row) AddLeg(l Leg) {
	r.legs = AppendLeg(r.legs, l)
	r.LegCount++
}

// SetLegs gives a deliver row legs that are packed already.
func (r *Row) SetLegs(packed []byte) {
	r.legs, r.LegCount = packed, len(packed)/LegSize
}

// AppendLeg packs a leg onto dst.
func AppendLeg(dst []byte, l Leg) []byte {
	dst = append(append(dst, byte(l.Of)), l.ID[:]...)
	dst = append(append(dst, l.Payer[:]...), l.Payee[:]...)
	return binary.BigEndian.AppendUint16(appendU56(dst, uint64(l.Amount)), uint16(l.Asset))
}

// Leg returns the i-th leg of a deliver row.
func (r *Row) Leg(i int) (l Leg) {
	b := r.legs[i*LegSize : (i+1)*LegSize]
	l.Of = Op(b[0])
	copy(l.ID[:], b[1:])
	copy(l.Payer[:], b[17:])
	copy(l.Payee[:], b[29:])
	l.Amount = Amount(u56(b[41:]))
	l.Asset = Asset(binary.BigEndian.Uint16(b[48:]))
	return l
}

// layout sizes, bytes, head included; exact for ops without a variable tail, else the least.
var rowSizes = [...]struct {
	size int
	tail bool
}{
	OpOpen: {25, true}, OpAlter: {37, true}, OpRead: {16, false}, OpCheck: {24, false},
	OpTransfer: {60, true}, OpPay: {60, true}, OpReserve: {64, true}, OpConfirm: {59, true},
	OpCancel: {35, true}, OpExpire: {19, false}, OpDeliver: {21, true}, OpLook: {19, false}, OpEvict: {10, false},
}

// RowLen reads the length of the packed row at the start of b, without unpacking it.
func RowLen(b []byte) (int, error) {
	if len(b) < 3 {
		return 0, fmt.Errorf("%w: %d bytes", ErrBadRow, len(b))
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 3 || n > len(b) {
		return 0, fmt.Errorf("%w: length %d of %d bytes", ErrBadRow, n, len(b))
	}
	return n, nil
}

// Parse unpacks the row at the start of b into r, which then shares memory with b, and returns its length.
func (r *Row) Parse(b []byte) (int, error) {
	n, err := RowLen(b)
	if err != nil {
		return 0, err
	}
	b = b[:n]
	*r = Row{Op: Op(b[2])}
	if int(r.Op) >= len(rowSizes) || rowSizes[r.Op].size == 0 {
		return 0, fmt.Errorf("%w: unknown op %d", ErrBadRow, b[2])
	}
	if l := rowSizes[r.Op]; n < l.size || (!l.tail && n != l.size) {
		return 0, fmt.Errorf("%w: %v of %d bytes", ErrBadRow, r.Op, n)
	}
	return n, r.parseBody(b[3:])
}

func (r *Row) parseBody(b []byte) error {
	switch r.Op {
	case OpOpen:
		r.Account, r.Asset = Handle(b[:12]), Asset(binary.BigEndian.Uint16(b[12:]))
		r.Flags, r.OverdraftLimit, r.Text = Flags(b[14]), Amount(u56(b[15:])), b[22:]
	case OpAlter:
		r.Account, r.ExpectedVersion, r.ExpectedStatusSeq = Handle(b[:12]), u56(b[12:]), u56(b[19:])
		r.Flags, r.OverdraftLimit, r.Text = Flags(b[26]), Amount(u56(b[27:])), b[34:]
	case OpRead:
		r.Account, r.Details = Handle(b[:12]), b[12] == 1
	case OpCheck:
		r.Account, r.Asset, r.Amount = Handle(b[:12]), Asset(binary.BigEndian.Uint16(b[12:])), Amount(u56(b[14:]))
	case OpTransfer, OpPay, OpReserve:
		r.Verdict, r.ID, r.Account, r.To = b[0], ID(b[1:17]), Handle(b[17:29]), Handle(b[29:41])
		r.Amount, r.Asset = Amount(u56(b[41:])), Asset(binary.BigEndian.Uint16(b[48:]))
		if r.Op == OpReserve {
			r.ExpiresInS = binary.BigEndian.Uint32(b[54:])
			return r.parseExt(b[58:])
		}
		return r.parseExt(b[54:])
	case OpConfirm:
		r.Verdict, r.ID, r.Reservation, r.To = b[0], ID(b[1:17]), ID(b[17:33]), Handle(b[33:45])
		r.Amount, r.Final = Amount(u56(b[45:])), b[52] == 1
		return r.parseExt(b[53:])
	case OpCancel:
		r.ByKey, r.ID, r.Account = b[0] == 1, ID(b[1:17]), Handle(b[17:29])
		return r.parseExt(b[29:])
	case OpExpire, OpLook:
		r.ID = ID(b[:16])
	case OpEvict:
		r.CutoffMS = int64(u56(b))
	case OpDeliver:
		r.Source, r.From, r.UpTo = int(binary.BigEndian.Uint16(b)), u56(b[2:]), u56(b[9:])
		r.LegCount, r.legs = int(binary.BigEndian.Uint16(b[16:])), b[18:]
		if len(r.legs) != r.LegCount*LegSize {
			return fmt.Errorf("%w: deliver names %d legs in %d bytes", ErrBadRow, r.LegCount, len(r.legs))
		}
	}
	return nil
}

// clearedSize is the length of cleared_ms behind a row's texts, bytes.
const clearedSize = 7

func (r *Row) parseExt(b []byte) error {
	for _, text := range [...]*[]byte{&r.Key, &r.ToText, &r.Reference} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return fmt.Errorf("%w: %v: text cut short", ErrBadRow, r.Op)
		}
		n := 1 + int(b[0])
		*text, b = b[1:n], b[n:]
	}
	if len(b) == clearedSize {
		if r.ClearedMS = int64(u56(b)); r.ClearedMS != 0 {
			return nil
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("%w: %v: %d bytes too many", ErrBadRow, r.Op, len(b))
	}
	return nil
}

// Content returns the part of a packed keyed row that a repeat must equal (`to … before ext`), sharing memory with it.
func Content(row []byte) []byte {
	switch Op(row[2]) {
	case OpTransfer, OpPay:
		return row[32:57]
	case OpReserve:
		return row[32:61]
	case OpConfirm:
		return row[36:56]
	}
	return nil
}
