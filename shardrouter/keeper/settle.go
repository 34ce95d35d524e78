package keeper

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
	"walletd/journal/relay"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// settle takes the partition over, where the source has stopped.
func (a *arrival) settle(ctx context.Context, note shardrouter.Move) error {
	if _, err := a.pass(ctx, false); err != nil {
		return err
	}
	if note.Epoch < a.f.end.Epoch { // the source has a successor, and did not know
		return errNotAlone
	}
	if why := a.differs(&note); why != "" {
		a.cfg.Log.Error("moving: given up, the source has another history or state than the journal", "partition", a.p, "reason", why)
		a.undo(ctx)
		return a.patiently(ctx, "give up", a.p, func() error { return a.replaceMove(ctx, note, *note.Failed(why)) })
	}
	a.cfg.atStep("matched")
	end, err := a.claimAlone(ctx, &note)
	if err != nil {
		return err
	}
	a.cfg.atStep("claimed")
	if err := a.serveHere(ctx, end); err != nil {
		return err
	}
	a.cfg.atStep("joined")
	err = a.patiently(ctx, "publish", a.p, func() error {
		return a.cfg.Moves.EndMove(ctx, note, func(m *shardrouter.Map) (*shardrouter.Map, error) {
			if s := m.Shards[a.cfg.Shard]; s.Epoch != a.epoch {
				return nil, fmt.Errorf("%w: the map shows shard %s in epoch %d, ours is %d", errDeposed, a.cfg.Shard, s.Epoch, a.epoch)
			}
			return m.WithPartitions(a.cfg.Shard, a.in, a.p), nil
		})
	})
	if errors.Is(err, shardrouter.ErrDeposed) { // taken back, and the source goes on in an epoch above ours
		err = fmt.Errorf("%w: %w", errNotAlone, err)
	}
	if err != nil {
		return err
	}
	a.cfg.atStep("published")
	took := time.Since(a.began)
	a.count(func(s *Stats) { s.MovesIn, s.MoveTook = s.MovesIn+1, took })
	a.cfg.Log.Info("a partition has come", "partition", a.p, "from", note.From, "epoch", a.in, "seq", note.Seq, "took", took, "compared", note.Digest != "")
	return nil
}

// differs says in what the source's note differs from what the journal gives; "" in nothing.
func (a *arrival) differs(note *shardrouter.Move) string {
	end := &a.f.end
	switch {
	case note.Epoch != end.Epoch || note.Seq != end.Seq:
		return fmt.Sprintf("the source stopped in epoch %d at seq %d, its journal is in epoch %d at seq %d", note.Epoch, note.Seq, end.Epoch, end.Seq)
	case note.Chain != hex.EncodeToString(end.Chain[:]):
		return fmt.Sprintf("the source's chain at seq %d is %s, the journal's is %x", note.Seq, note.Chain, end.Chain)
	case note.Digest == "":
		return ""
	}
	if sum := a.book().Digest(); note.Digest != hex.EncodeToString(sum[:]) {
		return fmt.Sprintf("the source's state at seq %d has digest %s, the journal gives %x: its shard is not what its journal says; let its keeper rebuild it (reconcile names the records)", note.Seq, note.Digest, sum)
	}
	return ""
}

// claimAlone starts our epoch in the log: nothing may have come behind what the source noted.
func (a *arrival) claimAlone(ctx context.Context, note *shardrouter.Move) (end journal.Cursor, err error) {
	if a.in <= note.Epoch {
		return end, errNotAlone
	}
	now, err := a.moveNow(ctx, a.p)
	if err != nil {
		return end, err
	}
	if now == nil || *now != *note {
		return end, shardrouter.ErrMoveChanged
	}
	end, err = relay.Claim(ctx, a.cfg.Journal, a.f.end, a.in, a.cfg.Name, time.Now().UnixMilli(), func(f *journal.Frame, _ journal.Cursor) error {
		if f.Kind != journal.FrameEpochStarted || f.Epoch != a.in {
			return errNotAlone
		}
		return nil
	})
	if errors.Is(err, relay.ErrDeposed) {
		return end, fmt.Errorf("%w: %w", errNotAlone, err)
	}
	return end, err
}

// book is what has been folded, with its State in memory.
func (a *arrival) book() *journal.Book {
	b := *a.f.book
	b.State = a.changed.Memory
	return &b
}

// serveHere lets the partition serve in our shard and be relayed. Nobody sends it a row before the map says so.
func (a *arrival) serveHere(ctx context.Context, end journal.Cursor) error {
	b := a.book()
	b.Epoch = a.in
	a.served = true // or it may at any time from here on
	if err := a.loading.Serve(ctx, b); err != nil {
		return err
	}
	a.cfg.atStep("served")
	a.held.add(a.p, a.in, end.Offset, arriving)
	a.courier.begin(b, &a.f.recent, a.f.points)
	a.marks.begin(a.p, a.in, end.Seq)
	a.joined = true
	return a.relayer.Join(ctx, end)
}

// undo takes back what came here: no act of it has run here. What cannot be removed now, the next reign removes.
func (a *arrival) undo(ctx context.Context) {
	if a.joined {
		a.held.move(a.p, leaving)
		if _, err := a.relayer.Leave(ctx, a.p, a.f.book.Seq); err != nil {
			a.cfg.Log.Debug("moving: not taken out of the relay", "partition", a.p, "error", err)
		}
		a.courier.drop(a.p)
		a.marks.drop(a.p, a.in)
		a.held.drop(a.p)
	}
	if err := a.unserve(ctx); err != nil {
		a.cfg.Log.Warn("moving: not taken out of the shard", "partition", a.p, "error", err)
	}
	a.removeLeft(ctx, a.p, func(luascripts.Aside) bool { return true })
}

// unserve has the partition not serve here, whatever may still be on its way to the shard.
func (a *arrival) unserve(ctx context.Context) (err error) {
	if !a.served {
		return nil
	}
	for range 2 { // it may have begun to serve in between
		if _, err = a.mover().Freeze(ctx, a.epoch, a.p, a.in); !errors.Is(err, luascripts.ErrOvertaken) {
			return err
		}
		// It does not serve. Whoever begins to load it takes the word away by which it still could.
		if _, err = a.mover().Join(ctx, a.epoch, a.p, a.cfg.Partitions); !errors.Is(err, luascripts.ErrOvertaken) {
			return err
		}
	}
	return err
}
