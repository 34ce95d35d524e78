package luascripts

import (
	"strconv"
	"strings"
)

// The keys of a shard (design section 5). They belong to the shard, not to a partition; a field says whose it is.
const (
	accountsKey     = "accounts"     // handle 12 → AppendAccount
	detailsKey      = "details"      // handle 12 → created_ms u56, JSON
	reservationsKey = "reservations" // id 16 → journal.Reservation
	deliveredKey    = "delivered"    // partition u16, source u16 → seq u56
	partsKey        = "parts"        // partition u16 → epoch u32, seq u56, time_ms, evicted_ms u56; and the fields below
	filterKey       = "filter"       // partition u16, block u16 → journal.FilterBlock, of the ids in sealed slices (window.go)
	outboxKey       = "outbox"       // a stream with ids 1-0, 2-0, …; its fields: outbox.go

	counterField  = "outbox"   // in parts: the number of the last outbox entry, u56
	loaderField   = "loader"   // in parts: who is loading the shard at the moment (Load)
	windowField   = "window"   // in parts: the time slices of key records (Window)
	leaseField    = "lease"    // in parts: until when, in the shard's clock, it may run trains, ms since 1970, u56 (lease.go)
	keeperField   = "keeper"   // in parts: epoch u32 of the keeper that admitted trains last (Admit)
	admittedField = "admitted" // in parts: the token of the admissions since trains were stopped last (library.lua)
	movingField   = "moving"   // in parts, + partition u16: it does not serve, though records of it may be here (move.go)

	marksChannel = "marks" // pub/sub (PublishMarks)
)

// keysKey is the hash of a time slice's key records: id 16 → AppendKey. A slice is dropped by one UNLINK. Scripts
// name it themselves.
func keysKey(slice int64) string { return "keys:" + strconv.FormatInt(slice, 10) }

const keysPattern = "keys:*"

// sliceOf is the slice of a key that keysKey has named.
func sliceOf(key string) (slice int64, ok bool) {
	n, ok := strings.CutPrefix(key, strings.TrimSuffix(keysPattern, "*"))
	if !ok {
		return 0, false
	}
	slice, err := strconv.ParseInt(n, 10, 64)
	return slice, err == nil
}
