package keeper

import (
	"context"
	"errors"
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
	if err := r.patiently(ctx, "take back", p, func() error { return r.takeBack(ctx, p, r.receivedByUs) }); err != nil {
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
