package view

import (
	"context"
	"fmt"
	"math"

	"walletd/journal"
)

// Balance is an account's money at a moment.
type Balance struct {
	Account   journal.Handle
	ID        string
	Asset     journal.Asset
	Available journal.Amount
	Reserved  journal.Amount
	Version   uint64
	TimeMS    int64            // of the version
	Position  journal.Position // that the answer reflects: nothing behind it is known
}

// moment is behind all events of its partition up to a time and a seq. The time finds a line, the seq decides.
type moment struct {
	timeMS int64
	seq    uint64
}

// BalanceAt answers the balance after the account's last change not later than atMS (milliseconds since 1970); false when
// the account did not exist by then, or not at all. One seek. That everything up to then is folded is not looked at: WaitPast.
func (v *View) BalanceAt(h journal.Handle, atMS int64) (Balance, bool, error) {
	return reading(v, func(r *Reading) (Balance, bool, error) { return r.BalanceAt(h, atMS) })
}

// BalanceAt is as View.BalanceAt.
func (r *Reading) BalanceAt(h journal.Handle, atMS int64) (Balance, bool, error) {
	return r.balanceAt(h, moment{atMS, math.MaxUint64})
}

// BalanceBehind answers the balance behind the event with this seq in the account's partition, which the projection must reflect;
// false when the account did not exist by then.
func (v *View) BalanceBehind(h journal.Handle, seq uint64) (Balance, bool, error) {
	return reading(v, func(r *Reading) (Balance, bool, error) { return r.BalanceBehind(h, seq) })
}

// BalanceBehind is as View.BalanceBehind.
func (r *Reading) BalanceBehind(h journal.Handle, seq uint64) (b Balance, ok bool, err error) {
	p, ok := r.partitionOf(h)
	if !ok || seq == 0 {
		return b, false, nil
	}
	m, err := r.behind(p, seq)
	if err != nil {
		return b, false, err
	}
	return r.balanceAt(h, m)
}

// behind is the moment behind an event.
func (r *Reading) behind(partition int, seq uint64) (moment, error) {
	e, err := r.event(partition, seq)
	return moment{e.TimeMS, seq}, err
}

func (r *Reading) balanceAt(h journal.Handle, m moment) (b Balance, ok bool, err error) {
	p, ok := r.partitionOf(h)
	if !ok || m.timeMS < 0 {
		return b, false, nil
	}
	var last Line
	_, err = r.lines(p, h, span{beforeMS: m.timeMS + 1, seqMax: m.seq}, func(l *Line) (bool, error) {
		last = *l
		return false, nil
	})
	if err != nil || last.Version == 0 {
		return b, false, err
	}
	a, ok, err := r.Account(h)
	if err != nil || !ok {
		return b, false, err
	}
	return Balance{h, a.Details.ID, a.Asset, last.AvailableAfter, last.ReservedAfter, last.Version, last.TimeMS, a.Position}, true, nil
}

// WaitPast blocks until the partition is folded past a time (ms since 1970), or ctx ends: then no event of that time or before is to
// come, since a partition's time does not go back. An idle partition does not get there by itself.
func (v *View) WaitPast(ctx context.Context, partition int, atMS int64) error {
	if partition < 0 || partition >= len(v.waits) {
		return fmt.Errorf("wait for partition %d: there are %d", partition, len(v.waits))
	}
	for {
		g, err := v.progress(v.db, partition)
		if err != nil || g.book.timeMS > atMS {
			return err
		}
		ok, changed, err := v.waits[partition].reached(g.book.seq+1, ctx.Err() == nil)
		switch {
		case err != nil:
			return fmt.Errorf("wait for partition %d past %d ms: %w", partition, atMS, err)
		case ok:
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for partition %d past %d ms: %w", partition, atMS, ctx.Err())
		}
	}
}

// SeqAt is the seq of the partition's last event not later than atMS; 0: there is none. Chunks lie in the order of seqs, which is
// that of time, so it is a binary search.
func (r *Reading) SeqAt(partition int, atMS int64) (uint64, error) {
	end, err := r.Position(partition)
	if err != nil {
		return 0, err
	}
	at, behind := uint64(0), end.Seq+1
	for at+1 < behind {
		mid := at + (behind-at)/2
		e, err := r.event(partition, mid)
		if err != nil {
			return 0, err
		}
		if e.TimeMS <= atMS {
			at = mid
		} else {
			behind = mid
		}
	}
	return at, nil
}
