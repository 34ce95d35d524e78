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
