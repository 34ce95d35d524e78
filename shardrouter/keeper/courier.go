package keeper

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/journal/rows"
)

// courier is the part of a reign that sends rows: the channels' deliveries, what expires and what is evicted. It lives on what is durable:
// the start-up fold, then every frame that the relay reports.
type courier struct {
	partitions int
	shards     rows.Shards
	channels   *channels
	expiry     *expiry
	evictions  *evictions
	wake       chan struct{}

	mu           sync.Mutex // guards what follows
	reservations *reservations
	legs         []destined // of the frame
}

func newCourier(c *Config) *courier {
	wake := make(chan struct{}, 1)
	tell := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	k := &courier{partitions: c.Partitions, shards: c.Shards, wake: wake, reservations: newReservations(),
		channels: newChannels(c.Partitions, c.OfferAgain, c.Log, tell), expiry: newExpiry(c.Partitions, c.OfferAgain, tell), evictions: newEvictions(c.OfferAgain, tell)}
	k.reservations.opened, k.reservations.closed = k.expiry.opened, k.expiry.closed
	return k
}

// begin takes a partition over, folded to the end of its log.
func (k *courier) begin(b *journal.Book, r *recent, p points) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, res := range b.State.(*journal.Memory).Reservations {
		if res.Status == journal.Tried {
			k.reservations.begin(id, open{payer: res.Payer, remaining: res.Remaining, asset: res.Asset, expiresMS: res.ExpiresMS})
		}
	}
	k.evictions.begin(b.Partition, b.EvictedMS)
	k.channels.begin(b.Partition, b.Seq, r, p)
}

// drop forgets a partition, which is another's now. What it has on its way arrives or does not: the destinations compare.
func (k *courier) drop(partition int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.reservations.open {
		if id.Partition(k.partitions) == partition {
			k.reservations.end(id)
		}
	}
	k.channels.drop(partition)
	k.evictions.end(partition)
}

// durable takes a frame of events that is in the log and counts, with the offset of its record.
func (k *courier) durable(offset int64, f *journal.Frame) error {
	if f.Kind != journal.FrameEvents {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.legs = k.legs[:0]
	err := f.EachEvent(func(e *journal.Event) error {
		row, err := e.Row()
		if err != nil {
			return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
		}
		l, ok, err := k.reservations.follow(e, &row)
		if err != nil {
			return fmt.Errorf("event %v: %w", e.Position, err)
		}
		if row.Op == journal.OpEvict {
			k.evictions.durable(e.Partition, row.CutoffMS)
		}
		if ok {
			k.legs = append(k.legs, destined{l.Payee.Partition(k.partitions), packLeg(e.Seq, l)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.channels.report(k.legs, journal.Cursor{Partition: f.Partition, Offset: offset + 1, Epoch: f.Epoch, Seq: f.LastSeq(), Chain: f.Hash})
	return nil
}

// run sends until ctx ends. What it sent and was not answered before is answered into nothing. An error is a damaged log.
func (k *courier) run(ctx context.Context, log journal.Log) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.channels.catchUp(ctx, log) })
	g.Go(func() error { k.send(ctx); return nil })
	return g.Wait()
}

func (k *courier) send(ctx context.Context) {
	stage := rows.NewStage(k.partitions)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pace pace
	for ctx.Err() == nil {
		now := time.Now()
		pace.depart(now, k.channels.decidedSince())
		next := k.channels.pump(now, stage)
		if at := k.expiry.pump(now, stage); !at.IsZero() && at.Before(next) {
			next = at
		}
		if at := k.evictions.pump(now, stage); !at.IsZero() && at.Before(next) {
			next = at
		}
		if stage.Rows() > 0 {
			k.shards.Submit(stage)
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
		select {
		case <-k.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		if d := time.Until(pace.next()); d > 0 {
			pause(ctx, d)
		}
	}
}
