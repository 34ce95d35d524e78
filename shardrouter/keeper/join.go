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

// A partition arrives (design section 8, decision 13): its log is folded and loaded while another shard serves it, then followed
// until little is missing; the source stops it, and says where; the last events, the chain and the state are compared; a new
// epoch begins in its log; it serves here; and the map says so, by compare-and-set against the move.
const (
	arrivalEvents = 1000                   // so few in one pass of the log are little: the source may be asked
	arrivalLook   = 2 * time.Millisecond   // between two looks at the log of a partition that is about to come
	arrivalIdle   = 200 * time.Millisecond // the same while its source is away
	arrivalTell   = 500 * time.Millisecond // between two reports of how far it is
	askAgain      = time.Second            // after a freeze that was taken back
)

// arrival is a partition on its way to us.
type arrival struct {
	*reign
	p       int
	move    shardrouter.Move
	f       *folded
	changed *delta
	loading luascripts.Loading
	began   time.Time
	told    time.Time
	in      uint32 // the epoch in which it will be ours
	served  bool   // it serves in our shard, or may
	joined  bool   // and is relayed
}

// receive brings a partition here, as long as the move stands.
func (r *reign) receive(ctx context.Context, p int) error {
	for {
		s, _ := r.moves.look(p)
		switch {
		case s.move == nil || s.is(shardrouter.MoveFailed) || s.move.To != r.cfg.Shard:
			return nil
		case !s.is(shardrouter.MoveCopying): // of an attempt that is over
			if err := r.beginAgain(ctx, p); err != nil {
				return err
			}
			continue
		}
		a := &arrival{reign: r, p: p, move: *s.move, began: time.Now()}
		err := a.run(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			return nil
		case errors.Is(err, errDeposed), errors.Is(err, errShardLost), errors.Is(err, relay.ErrEnded):
			return err
		case errors.Is(err, luascripts.ErrOvertaken):
			return r.overtaken(ctx, err)
		}
		a.undo(ctx)
		given := error(nil)
		switch {
		case errors.Is(err, journal.ErrDamaged): // its own log's: nothing that the partitions here depend on
			given = r.giveUp(ctx, a.move, "the partition's log cannot be read", err)
		case errors.Is(err, luascripts.ErrOutOfMemory): // the partitions here need the rest
			given = r.giveUp(ctx, a.move, "the shard has no room for the partition", err)
		default:
			r.cfg.Log.Warn("moving: begun again", "partition", p, "reason", err)
		}
		if given != nil {
			return given
		}
		pause(ctx, askAgain)
	}
}

// giveUp says why a move to us comes to nothing. Whatever its source has stopped, it takes back.
func (r *reign) giveUp(ctx context.Context, m shardrouter.Move, what string, why error) error {
	r.cfg.Log.Error("moving: given up, "+what, "partition", m.Partition, "error", why)
	return r.patiently(ctx, "give up", m.Partition, func() error {
		return r.cfg.Moves.ChangeMove(ctx, m.Partition, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
			if now == nil || now.From != m.From || now.To != m.To { // somebody has taken it back
				return now, nil
			}
			return now.Failed(what + ": " + why.Error()), nil
		})
	})
}

// beginAgain lets a move begin again, and waits until that is seen.
func (r *reign) beginAgain(ctx context.Context, p int) error {
	if err := r.patiently(ctx, "take back", p, func() error { return r.takeBack(ctx, p) }); err != nil {
		return err
	}
	_, err := r.moves.await(ctx, p, func(s seen) bool { // what is seen may be the next move already, away from us
		return s.move == nil || s.move.To != r.cfg.Shard || (!s.is(shardrouter.MoveFreezing) && !s.is(shardrouter.MoveFrozen))
	})
	return err
}

func (a *arrival) run(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	for {
		if err := a.comeClose(ctx); err != nil {
			return err
		}
		asked, err := a.ask(ctx)
		if err != nil {
			return err
		}
		note, err := a.follow(ctx, asked)
		if err != nil {
			return err
		}
		if note != nil {
			return a.settle(ctx, *note)
		}
		pause(ctx, askAgain) // the source has taken the freeze back
	}
}

// load folds the log and loads what it gives, beside the partitions that serve.
func (a *arrival) load(ctx context.Context) (err error) {
	select { // others that arrive wait: memory, and the shard's time, are for one of them
	case a.loads <- struct{}{}:
		defer func() { <-a.loads }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	a.f = newFolded(a.p, a.cfg.Partitions)
	if err := a.read(ctx, a.f, &tally{reign: a.reign}); err != nil {
		return err
	}
	a.cfg.atStep("folded")
	if a.loading, err = a.mover().Join(ctx, a.epoch, a.p, a.cfg.Partitions); err != nil {
		return err
	}
	a.cfg.atStep("loading")
	if err := a.loading.Write(ctx, a.f.book, true); err != nil {
		return err
	}
	a.changed = newDelta(a.f.book)
	a.cfg.atStep("loaded")
	return nil
}

// pass reads on to the log's end, and writes what has changed. It answers how many events there were.
func (a *arrival) pass(ctx context.Context, gently bool) (events uint64, err error) {
	before := a.f.book.Seq
	if err := a.foldOn(ctx); err != nil {
		return 0, err
	}
	if a.f.book.Seq == before {
		return 0, nil
	}
	return a.f.book.Seq - before, a.loading.Write(ctx, a.changed.take(), gently)
}

func (a *arrival) foldOn(ctx context.Context) error {
	_, err := a.cfg.Journal.Read(ctx, a.p, a.f.end.Offset, func(offset int64, record []byte) error {
		frame, verdict, err := a.f.end.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return a.f.visit(&frame, a.f.end)
	})
	return err
}

// comeClose follows the log until little is missing.
func (a *arrival) comeClose(ctx context.Context) error {
	for {
		events, err := a.pass(ctx, true)
		if err != nil {
			return err
		}
		if err := a.stands(shardrouter.MoveCopying); err != nil {
			return err
		}
		if events <= arrivalEvents {
			return nil
		}
		if err := a.tellProgress(ctx, events); err != nil {
			return err
		}
	}
}

// stands reports, as an error, that the move is not what we take part in any more.
func (a *arrival) stands(states ...string) error {
	s, _ := a.moves.look(a.p)
	for _, state := range states {
		if s.is(state) && s.move.To == a.cfg.Shard {
			return nil
		}
	}
	return shardrouter.ErrMoveChanged
}

// tellProgress says now and then how far the copy is.
func (a *arrival) tellProgress(ctx context.Context, lag uint64) error {
	if time.Since(a.told) < arrivalTell {
		return nil
	}
	a.told = time.Now()
	err := a.cfg.Moves.ChangeMove(ctx, a.p, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
		if now == nil || now.State != shardrouter.MoveCopying || now.To != a.cfg.Shard {
			return nil, shardrouter.ErrMoveChanged
		}
		next := *now
		next.Copied, next.Of = a.f.book.Seq-lag, a.f.book.Seq
		return &next, nil
	})
	if errors.Is(err, shardrouter.ErrUnavailable) {
		return nil
	}
	return err
}

// ask has the source stop the partition. Our epoch comes first: a source that begins anew afterwards has a higher one, and we
// never depose it.
func (a *arrival) ask(ctx context.Context) (asked shardrouter.Move, err error) {
	if a.in, err = a.epochFor(ctx, a.p, a.f.end.Epoch); err != nil {
		return asked, err
	}
	asked = shardrouter.Move{Partition: a.p, From: a.move.From, To: a.move.To, State: shardrouter.MoveFreezing, Copied: a.f.book.Seq, Of: a.f.book.Seq}
	err = a.patiently(ctx, "ask", a.p, func() error {
		return a.cfg.Moves.ChangeMove(ctx, a.p, func(_ *shardrouter.Map, now *shardrouter.Move) (*shardrouter.Move, error) {
			switch {
			case now == nil || now.From != asked.From || now.To != asked.To || now.State == shardrouter.MoveFailed:
				return nil, shardrouter.ErrMoveChanged
			case now.State == shardrouter.MoveCopying:
				return &asked, nil
			}
			return now, nil // asked without a reply, and the source may have stopped already
		})
	})
	if err == nil {
		a.cfg.atStep("asked")
	}
	return asked, err
}

// follow follows the log until the source says where it stopped; nil when it took that back.
func (a *arrival) follow(ctx context.Context, asked shardrouter.Move) (note *shardrouter.Move, err error) {
	began := time.Now()
	freezing, doubt := false, began.Add(askAgain)
	for {
		if _, err := a.pass(ctx, false); err != nil {
			return nil, err
		}
		s, changed := a.moves.look(a.p)
		freezing = freezing || s.is(shardrouter.MoveFreezing) || s.is(shardrouter.MoveFrozen)
		switch {
		case s.move == nil || s.move.From != asked.From || s.move.To != asked.To || s.is(shardrouter.MoveFailed):
			return nil, shardrouter.ErrMoveChanged
		case s.is(shardrouter.MoveFrozen):
			return s.move, nil
		case s.is(shardrouter.MoveCopying) && freezing:
			return nil, nil
		case time.Now().After(doubt): // it was taken back before we saw that we had asked
			now, err := a.moveNow(ctx, a.p)
			if err != nil || now == nil || now.State == shardrouter.MoveCopying {
				return nil, err
			}
			doubt = time.Now().Add(askAgain)
		}
		rest := arrivalLook
		if time.Since(began) > frozenMax { // the source is away: whatever it does will be seen
			rest = arrivalIdle
		}
		t := time.NewTimer(rest)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
		t.Stop()
	}
}

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
	if asides, err := a.mover().Asides(ctx); err == nil {
		if aside, is := asides[a.p]; is {
			a.remove(ctx, aside)
		}
	}
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
