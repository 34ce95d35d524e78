package keeper

import (
	"maps"
	"slices"
	"time"
)

// Bounds of what a keeper sends and remembers.
const (
	legsKept   = 4096 // buffer that an empty channel keeps
	asksMax    = 256  // channels that ask what their destination has, at one time
	emptyAfter = 4096 // seqs without a leg after which a destination is told how far its source is
	expiresMax = 256  // expire rows under way

	retryMin      = 20_000_053 * time.Nanosecond // not at the moment at which lanes try again what was refused, or chance says what is first
	retryMax      = 2 * time.Second
	suspenseAgain = time.Second
	notDueAgain   = time.Second
	sweepEvery    = time.Second
)

// limits bound the legs in memory. Tests take small ones.
type limits struct {
	group   int // in one delivery: half a train
	channel int // of one channel; beyond, it falls behind and reads the log
	all     int // of all channels; beyond, a channel keeps one group
}

var usualLimits = limits{group: 512, channel: 1 << 16, all: 1 << 18} // 4 MiB a channel, 16 MiB in all

// askSeq is a number that no partition ever has delivered: a deliver that names it is answered with the one it has.
const askSeq = 1<<53 - 1

// ordered are the partitions of a map in rising order: what is sent does not depend on how a map is walked, so that a run
// can be repeated exactly.
func ordered[V any](byPartition map[int]V) []int { return slices.Sorted(maps.Keys(byPartition)) }
