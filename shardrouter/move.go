package shardrouter

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// States of a move, in their order.
const (
	MoveCopying  = "copying"  // the destination loads the partition and follows it, while the source serves it
	MoveFreezing = "freezing" // the destination has nearly all; the source is to stop serving the partition
	MoveFrozen   = "frozen"   // the source has stopped, and says where
	MoveFailed   = "failed"   // it came to nothing, and says why; the source serves. Another move may take its place
)

// Move is the intention to move a partition to another shard (design.md section
// 8): the node moves/<p>. The map says who owns the partition, as long as a move
// is under way the shard From.
type Move struct {
	Partition int    `json:"partition"`
	From      string `json:"from"`
	To        string `json:"to"`
	State     string `json:"state"`

	Copied uint64 `json:"copied"` // seq up to which the destination has the partition
	Of     uint64 `json:"of"`     // seq of the partition's journal then

	// Where the source stopped: the partition's epoch until then, its last seq, the
	// journal's chain there (64 hex digits), and the digest of what it held, as hex,
	// "" when that was too much to look at in time.
	Epoch  uint32 `json:"epoch,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	Chain  string `json:"chain,omitempty"`
	Digest string `json:"digest,omitempty"`

	Reason string `json:"reason,omitempty"` // failed: why
}

// Moves is where intentions to move partitions are kept, beside the map.
type Moves interface {
	// Moves answers all, by partition. Errors: ErrInvalid, ErrUnavailable.
	Moves(ctx context.Context) (map[int]Move, error)
	// WatchMoves calls fn with all moves as they are and then whenever they have
	// changed, until ctx ends. fn runs in the caller's goroutine.
	WatchMoves(ctx context.Context, fn func(map[int]Move))
	// ChangeMove replaces a partition's move by what change makes of it and of the
	// map, by compare-and-set on both; nil is none. change may be called several
	// times and must be a function of its arguments; one that answers what it was
	// given changes nothing, an error ends it.
	ChangeMove(ctx context.Context, partition int, change func(*Map, *Move) (*Move, error)) error
	// EndMove publishes a map and removes the move, both or none, if the move is
	// still as given; change is as for Store.Publish. When the map says it already,
	// only the move is removed. Errors: ErrMoveChanged, and those of Store.Publish.
	EndMove(ctx context.Context, as Move, change func(*Map) (*Map, error)) error
}

// Faults of moves.
var (
	// ErrMoveChanged: the move is not as it was: somebody has taken it back.
	ErrMoveChanged = errors.New("the move has changed")
	// ErrMoving: the partition is on its way already.
	ErrMoving = errors.New("a move is under way")
	// ErrThere: the shard has the partition already.
	ErrThere = errors.New("the partition is there already")
	// ErrNoMove: no move of the partition is known.
	ErrNoMove = errors.New("no move is known")
)

// RequestMove asks for a partition to be moved. The keepers of both shards do the
// rest, when they are there. Errors: ErrInvalid (no such partition),
// ErrUnknownShard, ErrThere, ErrMoving, and those of Moves.
func RequestMove(ctx context.Context, moves Moves, partition int, to string) error {
	return moves.ChangeMove(ctx, partition, func(m *Map, now *Move) (*Move, error) {
		switch _, known := m.Shards[to]; {
		case !known:
			return nil, fmt.Errorf("%w %q: the map has %v", ErrUnknownShard, to, slices.Sorted(maps.Keys(m.Shards)))
		case m.Partitions[partition].Shard == to:
			return nil, fmt.Errorf("%w: partition %d belongs to shard %s", ErrThere, partition, to)
		case now != nil && now.State != MoveFailed && now.To == to:
			return now, nil // asked for again
		case now != nil && now.State != MoveFailed:
			return nil, fmt.Errorf("%w: partition %d goes to shard %s (%s)", ErrMoving, partition, now.To, now.State)
		}
		return &Move{Partition: partition, From: m.Partitions[partition].Shard, To: to, State: MoveCopying}, nil
	})
}

// AbortMove takes a move back, whatever state it is in. Its source goes on.
// Errors: ErrNoMove, and those of Moves.
func AbortMove(ctx context.Context, moves Moves, partition int) error {
	return moves.ChangeMove(ctx, partition, func(_ *Map, now *Move) (*Move, error) {
		if now == nil {
			return nil, fmt.Errorf("%w of partition %d", ErrNoMove, partition)
		}
		return nil, nil
	})
}

// Validate tells everything that is wrong at once, as ErrInvalid.
func (m Move) Validate() error {
	var faults []error
	report := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	report(m.Partition < 0 || m.Partition >= PartitionsMax, "there is no partition %d", m.Partition)
	report(!validName(m.From, shardIDBytesMax), "from %q is no shard's id", m.From)
	report(!validName(m.To, shardIDBytesMax), "to %q is no shard's id", m.To)
	report(m.From == m.To, "it goes from shard %s to itself", m.From)
	report(!slices.Contains([]string{MoveCopying, MoveFreezing, MoveFrozen, MoveFailed}, m.State), "state %q is not known", m.State)
	frozen := m.State == MoveFrozen
	report(frozen != (m.Epoch > 0) || frozen != (m.Chain != "") || (!frozen && (m.Seq > 0 || m.Digest != "")), "epoch, seq, chain and digest belong to a move that is frozen")
	report(m.Chain != "" && !validDigest(m.Chain), "chain %q is not 64 hex digits", m.Chain)
	report(m.Digest != "" && !validDigest(m.Digest), "digest %q is not 64 hex digits", m.Digest)
	report((m.State == MoveFailed) != (m.Reason != ""), "a reason belongs to a move that failed")
	report(len(m.Reason) > reasonBytesMax, "a reason of %d bytes, %d at most", len(m.Reason), reasonBytesMax)
	if len(faults) > 0 {
		return fmt.Errorf("%w move: %w", ErrInvalid, errors.Join(faults...))
	}
	return nil
}

const reasonBytesMax = 1 << 10

// Failed is the move when it came to nothing.
func (m Move) Failed(reason string) *Move {
	reason = strings.ToValidUTF8(reason[:min(len(reason), reasonBytesMax)], "")
	return &Move{Partition: m.Partition, From: m.From, To: m.To, State: MoveFailed, Copied: m.Copied, Of: m.Of, Reason: reason}
}

func validDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// Encode gives the move's JSON.
func (m Move) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode move: %w", err)
	}
	return encodeNode("move", m)
}

// DecodeMove reads what Encode wrote and nothing else, as DecodeMap does.
func DecodeMove(data []byte) (Move, error) {
	var m Move
	if err := decodeNode("move", data, &m); err != nil {
		return Move{}, err
	}
	again, err := m.Encode()
	if err != nil {
		return Move{}, fmt.Errorf("decode move: %w", err)
	}
	if err := sameForm("move", data, again); err != nil {
		return Move{}, err
	}
	return m, nil
}

// changed runs change on what is there. None: nothing is to be written.
func changed(m *Map, partition int, now *Move, change func(*Map, *Move) (*Move, error)) (next *Move, none bool, err error) {
	if partition < 0 || partition >= len(m.Partitions) {
		return nil, false, fmt.Errorf("%w: there is no partition %d", ErrInvalid, partition)
	}
	var given *Move
	if now != nil {
		given = new(*now)
	}
	next, err = change(m, given)
	switch {
	case err != nil:
		return nil, false, err
	case next == nil:
		return nil, now == nil, nil
	case now != nil && *next == *now:
		return nil, true, nil
	case next.Partition != partition:
		return nil, false, fmt.Errorf("%w: a move of partition %d in the place of partition %d", ErrInvalid, next.Partition, partition)
	}
	return next, false, next.Validate()
}

// How often moves are looked at in ZooKeeper: they are rare, and each lasts for seconds.
const (
	movesIdle = 500 * time.Millisecond
	movesBusy = 20 * time.Millisecond
)
