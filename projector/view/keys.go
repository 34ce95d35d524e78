package view

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
)

// The store's keys: one letter, the partition (u16), then what follows. Values are in records.go.
const (
	keyMarker      = 'm' // (no partition) -> format, wallet, partitions: text
	keyCursor      = 'c' // -> progress
	keyGenesis     = 'g' // -> SHA-256 of the partition's first record: whose log this is
	keyChunk       = 'e' // seq u64 of its first event -> chunk: the events of a frame as they came
	keyGroup       = 'a' // handle, then ^time_ms u56, ^version u48 of its oldest line -> group: the account behind its newest line, and its lines
	keyDetails     = 'd' // handle -> created_ms, details: as journal.State keeps them
	keyRuns        = 'j' // -> directory of the runs of ids
	keyRun         = 'k' // run u32, bucket u32 -> ids and the seqs of their events, sorted
	keyLive        = 'h' // id -> journal.Reservation, place: those that have not been evicted
	keyReservation = 'r' // id -> the same: those that have
	keyListing     = 'l' // payer, status (0: any), created_ms, id -> nothing
	keyCapture     = 'p' // reservation, seq -> capture
	keyDelivered   = 'v' // source u16 -> seq
	keySum         = 's' // asset u16 -> sum of available + reserved
	keySent        = 'o' // payee's partition u16, asset u16 -> tally of decided legs
	keyReceived    = 'i' // payer's partition u16, asset u16 -> tally of credited legs
	keyFlagged     = 'f' // seq, number within the event -> handle, time_ms u64, version u64 of the flagged line
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

func chunkKey(dst []byte, partition int, first uint64) []byte {
	return binary.BigEndian.AppendUint64(prefix(dst, keyChunk, partition), first)
}

// An account's groups lie newest first, so that the first one whose oldest line is not later than a time has the last line of
// that time: one seek. All of them have the same prefix (Comparer).
const (
	groupPrefixSize = prefixSize + handleSize
	groupKeySize    = groupPrefixSize + 7 + 6
)

func groupKey(dst []byte, partition int, h journal.Handle, timeMS int64, version uint64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], ^uint64(timeMS))
	binary.BigEndian.PutUint64(b[8:], ^version)
	return append(append(handleKey(dst, keyGroup, partition, h), b[1:8]...), b[10:]...)
}

// parseGroupKey reads what stands behind the handle.
func parseGroupKey(key []byte) (timeMS int64, version uint64) {
	var b [16]byte
	copy(b[1:], key[groupPrefixSize:groupPrefixSize+7])
	copy(b[10:], key[groupPrefixSize+7:])
	return int64(^binary.BigEndian.Uint64(b[:]) & (1<<56 - 1)), ^binary.BigEndian.Uint64(b[8:]) & (1<<48 - 1)
}

// Comparer is of the store's keys, for whoever opens it by hand. It is Pebble's own, which orders by bytes, but for the groups' prefix: an account's groups have one entry in a table's
// filter. Under another name a store of an older format could not be opened, to be told from a foreign one.
func Comparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Split = func(key []byte) int {
		if len(key) > groupPrefixSize && key[0] == keyGroup {
			return groupPrefixSize
		}
		return len(key)
	}
	return &c
}

func runKey(dst []byte, partition int, run, bucket uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(prefix(dst, keyRun, partition), run), bucket)
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
