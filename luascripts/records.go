package luascripts

import (
	"encoding/binary"
	"fmt"

	"walletd/journal"
)

// plainSize is the length of an account that has nothing but money: available u56, version u48, status_seq u48, asset u16. Its
// other fields are 0. Most accounts are so, and cost their shard a third less. Every other one is as journal packs it.
const plainSize = 7 + 6 + 6 + 2

// AppendAccount packs the value of an account's field in the shard.
func AppendAccount(dst []byte, a journal.Account) []byte {
	if a.Available < 0 || a.Reserved != 0 || a.Flags != 0 || a.OverdraftLimit != 0 {
		return a.Append(dst)
	}
	dst = appendU48(appendU48(appendU56(dst, uint64(a.Available)), a.Version), a.StatusSeq)
	return binary.BigEndian.AppendUint16(dst, uint16(a.Asset))
}

// ParseAccount unpacks it.
func ParseAccount(b []byte) (journal.Account, error) {
	switch len(b) {
	case journal.AccountSize:
		return journal.ParseAccount(b)
	case plainSize:
		return journal.Account{Available: journal.Amount(u56(b)), Version: u48(b[7:]), StatusSeq: u48(b[13:]),
			Asset: journal.Asset(binary.BigEndian.Uint16(b[19:]))}, nil
	}
	return journal.Account{}, fmt.Errorf("%w: account of %d bytes", journal.ErrBadRecord, len(b))
}

func u48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func appendU48(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(v>>32)), uint32(v))
}

// shortKeySize is the length of a short key record before its content: status u8, op u8, time_ms u48, epoch u32, seq u56. Its
// detail is 0. Every other one is as journal packs it; what is longer than its op's content by another head tells which it is.
const shortKeySize = 1 + 1 + 6 + 4 + 7

// contentSizes are the lengths of contents, by op (journal.Content).
var contentSizes = map[journal.Op]int{journal.OpTransfer: 25, journal.OpPay: 25, journal.OpReserve: 29, journal.OpConfirm: 20, journal.OpCancel: 0}

// AppendKey packs the value of a key's field in the shard.
func AppendKey(dst []byte, k journal.KeyRecord) []byte {
	if size, ok := contentSizes[k.Op]; !ok || size != len(k.Content) || k.Detail != 0 || k.TimeMS >= 1<<48 {
		return k.Append(dst)
	}
	dst = appendU48(append(dst, byte(k.Status), byte(k.Op)), uint64(k.TimeMS))
	return append(appendU56(binary.BigEndian.AppendUint32(dst, k.Epoch), k.Seq), k.Content...)
}

// ParseKey unpacks it. It shares memory with b.
func ParseKey(b []byte) (journal.KeyRecord, error) {
	if len(b) < shortKeySize {
		return journal.KeyRecord{}, fmt.Errorf("%w: key record of %d bytes", journal.ErrBadRecord, len(b))
	}
	if size, ok := contentSizes[journal.Op(b[1])]; !ok || size != len(b)-shortKeySize {
		return journal.ParseKeyRecord(b)
	}
	return journal.KeyRecord{Status: journal.Status(b[0]), Op: journal.Op(b[1]), TimeMS: int64(u48(b[2:])), Epoch: binary.BigEndian.Uint32(b[8:]),
		Seq: u56(b[12:]), Content: b[shortKeySize:]}, nil
}
