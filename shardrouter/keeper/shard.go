package keeper

import (
	"context"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// Shard is what a keeper needs of its shard; *luascripts.Shard is one, and its comments are the contract.
type Shard interface {
	// CheckSettings, Evicted and Look tell whether it is fit, and still the one that it was.
	CheckSettings(ctx context.Context) error
	Evicted(ctx context.Context) (uint64, error)
	Look(ctx context.Context, epoch uint32) (luascripts.Look, error)
	Parts(ctx context.Context) (map[int]luascripts.Part, error)

	// Stop ends the trains of all epochs, Admit lets those of one epoch run.
	Stop(ctx context.Context, epochs ...uint32) (admitted bool, err error)
	Admit(ctx context.Context, epoch uint32, untilMS int64) error

	// Time is its clock, in which Lease says until when it may run trains.
	Time(ctx context.Context) (time.Time, error)
	Lease(ctx context.Context, untilMS int64, owned ...luascripts.Owned) (bool, error)

	// Fence lets a shard go on in a new epoch as it is; Wipe and Load make it another.
	Fence(ctx context.Context, claims ...luascripts.Claim) ([]luascripts.Fenced, error)
	Wipe(ctx context.Context, epoch uint32) error
	Load(ctx context.Context, books ...*journal.Book) error

	// Role and Follow are about replication; Repair brings what was a replica to the log's end.
	Ping(ctx context.Context) error
	Role(ctx context.Context) (luascripts.Role, error)
	Follow(ctx context.Context, primary string) error
	Repair(ctx context.Context, patches ...luascripts.Patch) error

	// The key window: window.go here and there.
	Window(ctx context.Context) (luascripts.Window, error)
	CloseSlices(ctx context.Context, keeper uint32) error
	ReadSlice(ctx context.Context, slice int64, cursor uint64) (ids []journal.ID, next uint64, err error)
	AddToFilter(ctx context.Context, keeper uint32, blocks map[luascripts.FilterPlace]*journal.FilterBlock) error
	Seal(ctx context.Context, keeper uint32, below int64) error
	DropSlice(ctx context.Context, keeper uint32, slice int64) (records int64, err error)
	Sweep(ctx context.Context, keeper uint32, partitions int, cursor uint64, evictedMS func(partition int) int64) (removed int, next uint64, err error)
	Held(ctx context.Context, partitions int) (luascripts.Held, error)

	ReadOutbox(ctx context.Context, after uint64, limit int, wait time.Duration) ([]luascripts.OutboxEntry, error)
	Trim(ctx context.Context, epoch uint32, upTo uint64) error
	PublishMarks(ctx context.Context, marks []luascripts.Mark) (heard int64, err error)
	Close() error
}

// Mover is a Shard whose partitions can come and go while others serve; *luascripts.Shard is one, and its comments are the contract.
// In a Shard that is none, partitions stay where they are.
type Mover interface {
	Freeze(ctx context.Context, keeper uint32, partition int, epoch uint32) (luascripts.Part, error)
	Thaw(ctx context.Context, keeper uint32, partition int, epoch uint32) error
	Asides(ctx context.Context) (map[int]luascripts.Aside, error)
	Unfreeze(ctx context.Context, keeper uint32, a luascripts.Aside) error
	DumpPart(ctx context.Context, partition, partitions int, gently bool) (*journal.Book, error)
	Join(ctx context.Context, keeper uint32, partition, partitions int) (luascripts.Loading, error)
	Remove(ctx context.Context, a luascripts.Aside, partitions int) error
}
