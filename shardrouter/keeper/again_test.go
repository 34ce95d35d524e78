package keeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"walletd/shardrouter"
)

// A shard without partitions has no log that could prove anything. When its keeper's election is over, waiting does not help, and a
// new reign does; while ZooKeeper is only away, it is waited for.
func TestWithoutPartitionsTheElectionDecides(t *testing.T) {
	elected, _, end := shardrouter.NewLeadership()
	r := &reign{Keeper: &Keeper{}, held: newHoldings(1, nil), elected: elected}
	if err := r.prove(t.Context()); err != nil {
		t.Errorf("while it is elected: %v", err)
	}
	end(errors.New("the session is gone"))
	if err := r.prove(t.Context()); !errors.Is(err, errUnelected) {
		t.Errorf("when the election is over: %v", err)
	}
	r.elected = nil
	if err := r.prove(t.Context()); !errors.Is(err, errUnelected) {
		t.Errorf("without an election: %v", err)
	}
}

// A destination that takes an old attempt back may see the next move already, by which the partition is to leave it again: it is
// done with the old one then, or it never begins to give.
func TestTheNextMoveIsSeenInPlaceOfTheOld(t *testing.T) {
	for name, next := range map[string]*shardrouter.Move{
		"no move":                 nil,
		"away again":              {Partition: 1, From: "s1", To: "s2", State: shardrouter.MoveFreezing},
		"to us, from its start":   {Partition: 1, From: "s2", To: "s1", State: shardrouter.MoveCopying},
		"away, and frozen by now": {Partition: 1, From: "s1", To: "s2", State: shardrouter.MoveFrozen},
	} {
		moves := newIntentions()
		if next != nil {
			moves.all = map[int]shardrouter.Move{1: *next}
		}
		r := &reign{Keeper: &Keeper{cfg: Config{Shard: "s1", Moves: &between{change: func(context.Context, int, func(*shardrouter.Map, *shardrouter.Move) (*shardrouter.Move, error)) error {
			return nil
		}}}}, moves: moves}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := r.beginAgain(ctx, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
