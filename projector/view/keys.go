package view

import (
	"encoding/binary"

	"walletd/journal"
)

// The store's keys: one letter, the partition (u16), then what follows. Values are in records.go.
const (
	keyMarker      = 'm' // (no partition) -> format, wallet, partitions: text
	keyCursor      = 'c' // -> cursor
	keyGenesis     = 'g' // -> SHA-256 of the partition's first record: whose log this is
	keyAccount     = 'a' // handle -> journal.Account
	keyDetails     = 'd' // handle -> created_ms, details: as journal.State keeps them
	keyTransfer    = 'k' // id -> journal.KeyRecord without content, then the row as it came
	keyReservation = 'r' // id -> journal.Reservation, place
	keyListing     = 'l' // payer, status (0: any), created_ms, id -> nothing
	keyEntry       = 'e' // handle, time_ms, version -> entry; time never goes back, so this is also the order of versions
	keyCapture     = 'p' // reservation, seq -> capture
	keyDelivered   = 'v' // source u16 -> seq
	keySum         = 's' // asset u16 -> sum of available + reserved
	keySent        = 'o' // payee's partition u16, asset u16 -> tally of decided legs
	keyReceived    = 'i' // payer's partition u16, asset u16 -> tally of credited legs
	keyFlagged     = 'f' // seq, number within the event -> flagged credit
	keyWindow      = 'w' // time_ms u64, id -> nothing: the key records that have not been evicted
	keyLive        = 'h' // id -> nothing: the reservations that have not been evicted
	keyResolved    = 'z' // resolved_ms u64, id -> nothing: those of them that are not open
	keyFilter      = 'b' // number u16 -> journal.FilterBlock
)

const (
	prefixSize = 1 + 2
	handleSize = len(journal.Handle{})
	idSize     = len(journal.ID{})
)

func prefix(dst []byte, kind byte, partition int) []byte {
	return binary.BigEndian.AppendUint16(append(dst, kind), uint16(partition))
}

func handleKey(dst []byte, kind byte, partition int, h journal.Handle) []byte {
	return append(prefix(dst, kind, partition), h[:]...)
}

func idKey(dst []byte, kind byte, partition int, id journal.ID) []byte {
	return append(prefix(dst, kind, partition), id[:]...)
}

func numberKey(dst []byte, kind byte, partition, n int) []byte {
	return binary.BigEndian.AppendUint16(prefix(dst, kind, partition), uint16(n))
}

func tallyKey(dst []byte, kind byte, partition, other int, asset journal.Asset) []byte {
	return binary.BigEndian.AppendUint16(numberKey(dst, kind, partition, other), uint16(asset))
}

func entryKey(dst []byte, partition int, h journal.Handle, timeMS int64, version uint64) []byte {
	dst = binary.BigEndian.AppendUint64(handleKey(dst, keyEntry, partition, h), uint64(timeMS))
	return binary.BigEndian.AppendUint64(dst, version)
}

// parseEntryKey reads what stands behind the handle.
func parseEntryKey(key []byte) (timeMS int64, version uint64) {
	b := key[prefixSize+handleSize:]
	return int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
}

func listingKey(dst []byte, partition int, payer journal.Handle, status journal.Status, createdMS int64, id journal.ID) []byte {
	dst = append(handleKey(dst, keyListing, partition, payer), byte(status))
	return append(binary.BigEndian.AppendUint64(dst, uint64(createdMS)), id[:]...)
}

// parseListingKey reads what stands behind the status.
func parseListingKey(key []byte) (createdMS int64, id journal.ID) {
	b := key[prefixSize+handleSize+1:]
	return int64(binary.BigEndian.Uint64(b)), journal.ID(b[8:])
}

func captureKey(dst []byte, partition int, reservation journal.ID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(idKey(dst, keyCapture, partition, reservation), seq)
}

// timeKey is of keyWindow or keyResolved.
func timeKey(dst []byte, kind byte, partition int, ms int64, id journal.ID) []byte {
	return append(binary.BigEndian.AppendUint64(prefix(dst, kind, partition), uint64(ms)), id[:]...)
}

const timeKeySize = prefixSize + 8 + idSize

func flaggedKey(dst []byte, partition int, seq uint64, n int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(prefix(dst, keyFlagged, partition), seq), uint16(n))
}

// behind is the first key behind every key that begins with p; p's last byte must not be 255 throughout.
func behind(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
