package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
)

// why is one explanation in the making.
type why struct {
	*Explanation
	c       *WhyConfig
	live    *Moment         // of the shard; nil: not compared
	account journal.Account // as the replay leaves it
	at      journal.Position
	base    line // the version before the first one remembered
}

// line is one version of the account, as the replay has it.
type line struct {
	version             uint64
	at                  journal.Position
	timeMS              int64
	of                  journal.Op
	id                  journal.ID
	other               journal.Handle
	available, reserved journal.Amount // after it
	dAvailable          journal.Amount
	dReserved           journal.Amount
	flagged             bool
	status              journal.Status
	leg                 bool   // it decided a credit for another partition
	delivered           bool   // it is one
	from, upTo          uint64 // of the delivery, in the other partition's journal
}

// linesMax bounds the versions that are remembered: of a busier account the newest.
const linesMax = 1 << 19

// read reads the shard, then replays the account's partition: to the seq at which the shard was read, or to its end.
func (w *why) read(ctx context.Context) error {
	if w.c.Live != nil {
		m, err := w.c.Live.Accounts(ctx, w.Partition, []journal.Handle{w.c.Account})
		if err == nil {
			w.live = &m
		} else {
			w.Unchecked = append(w.Unchecked, "shard: "+err.Error())
		}
	}
	patient, cancel := context.WithCancel(ctx)
	defer cancel()
	waits := time.AfterFunc(w.c.Patience, cancel)
	defer waits.Stop()
	target, last := ^uint64(0), uint64(0)
	if w.live != nil {
		target = w.live.Seq
	} else {
		waits.Stop()
	}
	if target == 0 {
		return nil
	}
	_, err := Replay(patient, ReplayConfig{Log: w.c.Log, Partitions: []int{w.Partition}, Fold: true, Follow: w.live != nil, Progress: w.c.Progress}, func(r *Replayed) error {
		w.names = r.Names
		if r.Event == nil {
			return nil
		}
		if w.live != nil {
			waits.Reset(w.c.Patience)
		}
		last = r.Event.Seq
		w.at = r.Event.Position
		w.take(r)
		if last >= target {
			return errEnough
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, errEnough):
	case ctx.Err() == nil && errors.Is(err, context.Canceled):
		w.Differences = append(w.Differences, WhyDifference{Where: "shard " + w.live.Shard, Have: fmt.Sprintf("seq %d", target), Want: fmt.Sprintf("at most %d", last),
			What: "the shard is ahead of the journal, which does not come: its account was not compared"})
		w.live = nil
	default:
		return err
	}
	if w.live != nil && w.at.Epoch > w.live.Epoch {
		w.Unchecked = append(w.Unchecked, fmt.Sprintf("shard %s: it was deposed while it was read (epoch %d, the journal has %d); ask again", w.live.Shard, w.live.Epoch, w.at.Epoch))
		w.live = nil
	}
	return nil
}

// take remembers what an event did to the account.
func (w *why) take(r *Replayed) {
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.Account != w.c.Account {
			continue
		}
		l := line{version: c.After.Version, at: r.Event.Position, timeMS: r.Event.TimeMS, of: c.Of, id: c.ID, other: c.Other, available: c.After.Available, reserved: c.After.Reserved,
			dAvailable: c.After.Available - c.Before.Available, dReserved: c.After.Reserved - c.Before.Reserved, flagged: c.Flagged, status: r.Event.Status}
		if r.Row.Op == journal.OpDeliver {
			l.delivered, l.from, l.upTo = true, r.Row.From, r.Row.UpTo
		}
		for j := range r.Legs {
			l.leg = l.leg || r.Legs[j].Payer == c.Account
		}
		if len(w.replayed) == linesMax {
			w.base = w.replayed[linesMax/2-1]
			w.replayed = append(w.replayed[:0], w.replayed[linesMax/2:]...)
		}
		w.replayed = append(w.replayed, l)
		w.account = c.After
	}
}

// standing is a version of the replay.
func (l *line) standing() Standing {
	return Standing{"replay", l.at.String(), l.version, l.available, l.reserved}
}
