package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal/relay"
)

// errNobody says that no candidate could take over.
var errNobody = errors.New("no candidate can take over")

// failOver gives the shard another primary: the first candidate that can be made equal to the log, in a new epoch each. The map
// shows it when it serves, not before: whoever comes after a crash in between finds the map as it was, and begins again.
func (r *reign) failOver(ctx context.Context, why error) error {
	found, err := r.candidates(ctx)
	if err != nil {
		return err
	}
	for _, c := range found {
		if c.spare {
			taken, err := r.take(ctx, c.addr)
			if err != nil {
				return err
			}
			if !taken { // by another shard, just now
				continue
			}
		}
		r.cfg.Log.Warn("the shard's primary fails over", "from", r.shown, "to", c.addr, "reason", why)
		err := r.moveTo(ctx, c)
		switch {
		case err == nil:
			r.count(func(s *Stats) { s.Failovers++ })
			return nil
		case over(ctx, err):
			return err
		}
		r.cfg.Log.Warn("candidate did not take over", "candidate", c.addr, "error", err)
	}
	if r.addr != r.shown { // the next attempt is at the old place again, which is all there is
		if err := errors.Join(r.nextClaim(ctx), r.goTo(r.shown)); err != nil {
			return err
		}
	}
	return errNobody
}

// moveTo makes a candidate the primary, and admits trains there.
func (r *reign) moveTo(ctx context.Context, c candidate) error {
	if err := r.nextClaim(ctx); err != nil {
		return err
	}
	claimed := time.Now()
	old := r.shard
	if r.addr != r.shown {
		var err error
		if old, err = r.cfg.Open(r.shown); err != nil {
			return err
		}
		defer func() { _ = old.Close() }()
	}
	harmless := r.disarm(ctx, old, claimed)
	if err := r.goTo(c.addr); err != nil {
		return err
	}
	if _, err := r.shard.Stop(ctx); err != nil { // it may have been served once
		return err
	}
	if err := r.shard.Follow(ctx, ""); err != nil {
		return err
	}
	r.promoted = c.replica
	r.harmless = harmless
	return r.trySettle(ctx)
}

// disarm stops the trains of the primary that the map shows, and answers when it is harmless: at once, if it says so; else when
// the lease is over that it may have.
func (r *reign) disarm(ctx context.Context, old Shard, claimed time.Time) time.Time {
	ctx, cancel := context.WithTimeout(ctx, candidateWithin)
	defer cancel()
	_, err := old.Stop(ctx)
	if err == nil {
		return claimed
	}
	over := claimed.Add(r.cfg.Lease)
	r.mu.Lock()
	if t := r.tenancy; t.addr == r.shown && t.epoch >= r.shownEpoch { // nobody but us has given it a lease since
		over = t.over
	}
	r.mu.Unlock()
	over = over.Add(r.cfg.Lease / 10) // clocks do not run equally fast
	r.cfg.Log.Info("the old primary does not answer; what it may still do ends with its lease", "addr", r.shown, "in", time.Until(over), "error", err)
	return over
}

// nextClaim takes a new epoch: one is served by one Redis only.
func (r *reign) nextClaim(ctx context.Context) error {
	if err := r.nextEpoch(ctx); err != nil {
		return err
	}
	return r.startEpoch(ctx)
}

// startEpoch starts our epoch in every log, and folds what came before it.
func (r *reign) startEpoch(ctx context.Context) error {
	r.tell(Progress{State: Claiming, Epoch: r.epoch})
	err := r.eachLog(ctx, func(ctx context.Context, f *folded, _ *tally) (err error) {
		f.end, err = relay.Claim(ctx, r.cfg.Journal, f.end, r.epoch, r.cfg.Name, time.Now().UnixMilli(), f.visit)
		return err
	})
	if errors.Is(err, relay.ErrDeposed) {
		return fmt.Errorf("%w: %w", errDeposed, err)
	}
	return err
}

// goTo makes the Redis at an address the one that the reign is about.
func (r *reign) goTo(addr string) error {
	shard, err := r.cfg.Open(addr)
	if err != nil {
		return fmt.Errorf("open shard %s at %s: %w", r.cfg.Shard, addr, err)
	}
	_ = r.shard.Close()
	r.shard, r.addr, r.promoted, r.harmless = shard, addr, false, time.Time{}
	return nil
}
