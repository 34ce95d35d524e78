package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/luascripts"
)

// errUnproven says that nobody knows whether a later epoch has started.
var errUnproven = errors.New("not known to be the owner")

// proofsAtOnce bounds the logs that are asked at one time.
const proofsAtOnce = 8

// keepLease makes the shard's lease longer, for as long as the log proves that we are the owner. It is on nobody's way: a log
// or a shard that does not answer only lets the lease end, and what others do about it is their business.
func (r *reign) keepLease(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Lease / 5)
	defer tick.Stop()
	failing := false
	for {
		err := r.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDeposed), errors.Is(err, errUnelected):
			return err
		case err != nil && !failing:
			r.cfg.Log.Warn("the lease is not made longer: when it ends, the shard refuses everything", "error", err)
		case err == nil && failing:
			r.cfg.Log.Info("the lease is made longer again")
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// renew is one renewal: the shard's time first, then the proof, then the lease from that time on. Whatever is late makes it
// shorter, never longer.
func (r *reign) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease)
	defer cancel()
	until, err := r.provenUntil(ctx)
	if err != nil {
		return err
	}
	held, err := r.shard.Lease(ctx, until, r.held.proven()...)
	if err == nil && !held {
		err = fmt.Errorf("%w: a partition is in another epoch", errShardLost)
	}
	if err == nil {
		r.count(func(s *Stats) { s.LeaseRenewed = time.Now() })
	}
	return err
}

// provenUntil is until when, in the shard's clock, we are the only owner.
func (r *reign) provenUntil(ctx context.Context) (untilMS int64, err error) {
	now, err := r.shard.Time(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.prove(ctx); err != nil {
		return 0, err
	}
	r.leased(time.Now().Add(r.cfg.Lease))
	return now.Add(r.cfg.Lease).UnixMilli(), nil
}

// prove asks every log whether a later epoch had started when it was asked: errDeposed, if so.
//
// A log's end counts only while the election is certain, the one in which the epoch was taken. A broker that is cut off from the
// others, and we and the shard with it, may believe to lead the log, and name an end long after the others have written behind
// it; then ZooKeeper is away for us, too. Without it we append something: what a quorum has taken behind everything before.
func (r *reign) prove(ctx context.Context) error {
	certain, owned := r.certain(), r.held.proven()
	least := make([]int64, len(owned)) // offsets that the ends must be behind
	if !certain && len(owned) == 0 {
		// No log says anything about us, and a partition that comes or goes must not serve under a lease that nothing proves.
		if r.elected == nil || r.elected.Err() != nil { // it never will be certain again, and nothing is lost by a new reign
			return errUnelected
		}
		return fmt.Errorf("%w: somebody else may have been elected, and no partition's log tells", errUnproven)
	}
	if !certain {
		var err error
		if least, err = r.appendProof(ctx, owned); err != nil {
			return fmt.Errorf("%w: %w", errUnproven, err)
		}
	}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(proofsAtOnce)
	for i, o := range owned {
		g.Go(func() error {
			err := r.proveLog(inner, o, least[i])
			if err != nil && !r.held.serves(o) { // it has left meanwhile, and is another's
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	if err == nil && certain && !r.certain() {
		err = errUnproven
	}
	return err
}

// proveLog looks through what the log has behind all that is known to be ours, to the offset least at least.
func (r *reign) proveLog(ctx context.Context, o luascripts.Owned, least int64) error {
	hold, held := r.held.get(o.Partition)
	if !held {
		return nil
	}
	p, from := o.Partition, max(hold.looked.Load(), hold.at.Load())
	end, err := r.cfg.Journal.End(ctx, p)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnproven, err)
	case end < max(from, least):
		return fmt.Errorf("%w: the log of partition %d ends at offset %d, we know more than %d", errUnproven, p, end, max(from, least))
	case end == from:
		hold.looked.Store(from)
		return nil
	}
	next, err := r.cfg.Journal.Read(ctx, p, from, func(_ int64, record []byte) error {
		f, err := journal.ParseFrame(record)
		if err == nil && f.Kind == journal.FrameEpochStarted && f.Epoch > o.Epoch {
			return fmt.Errorf("%w: epoch %d has started", errDeposed, f.Epoch)
		}
		return err
	})
	switch {
	case errors.Is(err, errDeposed):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUnproven, err)
	}
	hold.looked.Store(next)
	return nil
}

// appendProof starts our epoch once more in every log: readers drop the copy, and the relay reads it over.
func (r *reign) appendProof(ctx context.Context, owned []luascripts.Owned) (behind []int64, err error) {
	records := make([]journal.Record, 0, len(owned))
	for _, o := range owned {
		f := journal.NewEpochFrame(o.Partition, o.Epoch, time.Now().UnixMilli(), r.cfg.Name)
		records = append(records, journal.Record{Partition: o.Partition, Bytes: f.Seal(nil)})
	}
	if len(records) == 0 {
		return nil, nil
	}
	behind, err = r.cfg.Journal.Append(ctx, records)
	for i := range behind {
		behind[i]++
	}
	return behind, err
}

// tenancy is what a keeper knows of the lease that it gave last: when it is over, whatever became of it on the way.
type tenancy struct {
	addr  string
	epoch uint32
	over  time.Time
}

// leased notes that a lease may be given that ends before then. The shard's clock is taken to run no slower than ours by more
// than a tenth of a lease within a lease.
func (r *reign) leased(over time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tenancy = tenancy{addr: r.addr, epoch: r.epoch, over: over}
}
