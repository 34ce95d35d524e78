package keeper

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// The state of a partition that moves is the journal's before and after. What the destination serves is folded from the journal; what
// the source held is summed up against that while it is frozen, if that is quick, and a difference stops the move. What is more
// is summed up behind the freeze, before it is removed, and a difference is told.
const (
	digestMax     = 250 * time.Millisecond // for looking at all that a frozen partition holds
	digestRecords = 50_000                 // so many are summed up in a tenth of a second, here and at the destination, and the partition waits for both
	lastMarks     = 5 * time.Second        // a partition that has left is still told about: outcomes wait for its last marks
	removeRest    = time.Second            // before its records are removed
)

// digest is that of all that a frozen partition holds, as hex; "" when it is too much to look at in time.
func (r *reign) digest(ctx context.Context, p int) string {
	soon, cancel := context.WithTimeout(ctx, digestMax)
	defer cancel()
	b, err := r.mover().DumpPart(soon, p, r.cfg.Partitions, false)
	if err != nil || recordsOf(b) > r.cfg.sumUpMax {
		r.cfg.Log.Info("moving: the partition's state is compared when it has gone", "partition", p, "error", err)
		return ""
	}
	sum := b.Digest()
	return hex.EncodeToString(sum[:])
}

func recordsOf(b *journal.Book) int {
	m := b.State.(*journal.Memory)
	return len(m.Accounts) + len(m.DetailsOf) + len(m.Keys) + len(m.Reservations)
}

// letGo forgets a partition that is another's, and removes its records. Its last marks are told for a while. end is where it
// stopped.
func (r *reign) letGo(ctx context.Context, own holding, end journal.Cursor, compared bool, frozen time.Duration) {
	p := end.Partition
	r.cfg.atStep("gone")
	r.courier.drop(p)
	r.held.drop(p)
	r.count(func(s *Stats) {
		s.MovesOut++
		s.FrozenMax = max(s.FrozenMax, frozen)
	})
	r.cfg.Log.Info("a partition has moved away", "partition", p, "frozen", frozen)
	r.later(func() error {
		pause(ctx, removeRest+time.Duration(p)*time.Millisecond) // not all of a shard that is drained at one moment
		if !compared {
			r.compareLeft(ctx, own, end)
		}
		r.removeLeft(ctx, p, func(a luascripts.Aside) bool { return a.Frozen && a.Epoch == own.epoch })
		r.cfg.atStep("removed")
		pause(ctx, lastMarks-removeRest)
		r.marks.drop(p, own.epoch)
		return nil
	})
}

// compareLeft holds what a partition left behind, still frozen, against what its journal gives where it stopped. Nobody waits for
// it, and it undoes nothing: the destination serves what the journal gives.
func (r *reign) compareLeft(ctx context.Context, own holding, end journal.Cursor) {
	p := end.Partition
	why, err := r.leftDiffers(ctx, own, end)
	switch {
	case err != nil:
		r.cfg.Log.Warn("moving: what has left could not be compared", "partition", p, "error", err)
	case why != "":
		r.count(func(s *Stats) { s.MovesDiffer++ })
		r.cfg.Log.Error("moving: what has left was not what its journal says; the destination has what it says. This shard may hold more that is wrong: reconcile names it, and a drill rebuilds it",
			"partition", p, "reason", why)
	default:
		r.count(func(s *Stats) { s.MovesAgree++ })
		r.cfg.Log.Info("moving: what has left was what its journal says", "partition", p, "seq", end.Seq)
	}
}

func (r *reign) leftDiffers(ctx context.Context, own holding, end journal.Cursor) (why string, err error) {
	select { // one fold of a whole partition at a time
	case r.loads <- struct{}{}:
		defer func() { <-r.loads }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	held, seq, records, err := r.summedUp(ctx, own, end.Partition)
	if err != nil {
		return "", err
	}
	f := newFolded(end.Partition, r.cfg.Partitions)
	f.until = end.Offset
	if err := r.read(ctx, f, &tally{reign: r}); err != nil {
		return "", err
	}
	if f.end.Offset > end.Offset {
		return "", fmt.Errorf("%s is newer than the move", f.from)
	}
	gives, err := f.book.DigestWithin(ctx)
	if err == nil && held != gives {
		return fmt.Sprintf("at seq %d its %d records have digest %x, the journal gives %x", seq, records, held, gives), nil
	}
	return "", err
}

// summedUp is the digest of what a partition has left here. Its Book is not in memory any more when the journal's is made.
func (r *reign) summedUp(ctx context.Context, own holding, p int) (digest journal.Hash, seq uint64, records int, err error) {
	b, err := r.mover().DumpPart(ctx, p, r.cfg.Partitions, true)
	if err == nil && b.Epoch != own.epoch {
		err = fmt.Errorf("it has come back, in epoch %d", b.Epoch)
	}
	if err != nil {
		return digest, 0, 0, err
	}
	digest, err = b.DigestWithin(ctx)
	return digest, b.Seq, recordsOf(b), err
}
