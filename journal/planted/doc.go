// Package planted names the bugs that the fault laboratory must find. A build without the tag `planted`, which every
// released one is, has none of them: Is is a constant false and the compiler drops what stands behind it. With the tag, one
// bug at a time is chosen by Choose, or by WALLETD_PLANTED in the environment of a process.
//
// A laboratory that finds nothing proves nothing until it is known to find something (deploy/systemtest names, per bug,
// which part of it does).
package planted

// Bug is one planted bug. Its name says what is wrong in such a build.
type Bug string

// The planted bugs, by the rule that they break.
const (
	ClientRetries      Bug = "client_retries"       // the Redis client sends a train again by itself after a lost reply
	AnswerBeforeLog    Bug = "answer_before_log"    // outcomes are let go before the watermark covers them
	NoTombstone        Bug = "no_tombstone"         // a cancel by key before its Try leaves nothing
	FundsBeforeKey     Bug = "funds_before_key"     // funds are looked at before the key record
	LossyNumbers       Bug = "lossy_numbers"        // amounts pass through Lua's own number formatting
	SeqAfterFailure    Bug = "seq_after_failure"    // an append of unknown outcome is taken as failed, and its frame is sent again
	OffsetUnchecked    Bug = "offset_unchecked"     // a frame counts as durable at whatever offset it landed
	EpochUnchecked     Bug = "epoch_unchecked"      // a shard takes rows of any epoch
	SnapshotNoKeys     Bug = "snapshot_no_keys"     // snapshots leave the key window out
	DeliverNoCompare   Bug = "deliver_no_compare"   // a delivery is applied whatever delivered[source] is
	DeliverUndurable   Bug = "deliver_undurable"    // legs are delivered before their event is durable
	SettledEarly       Bug = "settled_early"        // a leg is settled when it is applied, before that is durable
	ProjectionOffset   Bug = "projection_offset"    // the projector commits its offset before what it folded
	ConfirmNeedsMemory Bug = "confirm_needs_memory" // a full Redis refuses confirms, cancels and deliveries, too
	AdoptUncompared    Bug = "adopt_uncompared"     // a keeper adopts a shard without comparing it with the log
	EvictUnfiltered    Bug = "evict_unfiltered"     // keys are evicted without being remembered by the filter
	LeaseForever       Bug = "lease_forever"        // a deposed shard goes on answering reads
)

// All lists the bugs.
var All = []Bug{
	ClientRetries, AnswerBeforeLog, NoTombstone, FundsBeforeKey, LossyNumbers, SeqAfterFailure, OffsetUnchecked, EpochUnchecked,
	SnapshotNoKeys, DeliverNoCompare, DeliverUndurable, SettledEarly, ProjectionOffset, ConfirmNeedsMemory, AdoptUncompared,
	EvictUnfiltered, LeaseForever,
}
