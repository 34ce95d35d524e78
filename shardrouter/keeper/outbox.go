package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"walletd/journal/relay"
	"walletd/luascripts"
)

// outboxOf is a shard's outbox as the relay reads it: from its beginning, for what is in the log already is dropped there; and only
// what is not handed over by a lane in this process (decision 20).
type outboxOf struct {
	*reign
	missing chan struct{} // something is in the outbox that was not handed over
	alone   atomic.Bool   // nobody else listens to the shard's marks, so nobody else's trains are to be expected

	took, missed atomic.Int64 // when an entry that was handed over was taken last, and when one was missing; ns since 1970
}

const (
	outboxEntries = 256                    // entries at once
	outboxBlock   = 100 * time.Millisecond // a read that finds nothing, or the time between two that need find nothing; no stop takes longer
	outboxAgain   = 10 * time.Millisecond  // after a read that failed
	outboxLull    = 5_000_077              // ns without a train handed over, after which others' trains are waited for
	outboxOthers  = 1_000_000_087          // ns for which they are, when one was missing
)

func newOutbox(r *reign) *outboxOf { return &outboxOf{reign: r, missing: make(chan struct{}, 1)} }

// Next implements relay.Outbox. A shard that does not answer is asked again: watchShard says when that is enough, and
// when it answers and is not the one that it was.
func (o *outboxOf) Next(ctx context.Context) (batch relay.Batch, err error) {
	for {
		block, err := o.await(ctx)
		if err != nil {
			return batch, err
		}
		entries, err := o.shard.ReadOutbox(ctx, o.relayer.Place(), outboxEntries, block)
		switch {
		case ctx.Err() != nil:
			return batch, context.Cause(ctx)
		case errors.Is(err, luascripts.ErrBadEntry):
			return batch, fmt.Errorf("%w: %w", relay.ErrOutbox, err)
		case err != nil:
			pause(ctx, outboxAgain)
			o.look()
			continue
		case len(entries) == 0:
			continue
		}
		for _, e := range entries {
			if err := appendEntry(&batch, e); err != nil {
				return batch, fmt.Errorf("%w: %w", relay.ErrOutbox, err)
			}
		}
		return batch, nil
	}
}

// await waits until the outbox is to be read, and says how long that may wait for something.
func (o *outboxOf) await(ctx context.Context) (block time.Duration, err error) {
	for {
		wait := outboxBlock
		if !o.alone.Load() {
			since, recent := ago(&o.took, outboxLull)
			if _, others := ago(&o.missed, outboxOthers); others || !recent {
				return outboxBlock, nil
			}
			wait = time.Duration(outboxLull - since)
		}
		t := time.NewTimer(wait)
		select {
		case <-o.missing:
			t.Stop()
			return 0, nil
		case <-t.C:
			if o.alone.Load() {
				return 0, nil
			}
		case <-ctx.Done():
			t.Stop()
			return 0, context.Cause(ctx)
		}
	}
}

// look has the outbox looked at.
func (o *outboxOf) look() {
	select {
	case o.missing <- struct{}{}:
	default:
	}
}

// lacks notes that an entry was not handed over, or not in its turn.
func (o *outboxOf) lacks() {
	o.missed.Store(now())
	o.look()
}

// now is the time, ns since 1970.
func now() int64 { return time.Now().UnixNano() }

// ago is how long ago, ns, something happened last, and whether that was less than so long ago. What lies ahead was noted before the
// clock was set back: it was not lately.
func ago(at *atomic.Int64, less int64) (since int64, lately bool) {
	then := at.Load() // first: it is noted meanwhile
	since = now() - then
	return since, since >= 0 && since < less
}

func appendEntry(b *relay.Batch, e luascripts.OutboxEntry) error {
	b.UpTo = e.ID
	return e.Each(func(h luascripts.Happened) error {
		b.Sections = append(b.Sections, relay.Section{Place: e.ID, Partition: h.Partition, FirstSeq: h.FirstSeq, Block: h.Block})
		return nil
	})
}

// Trim implements relay.Outbox. What is not trimmed now is trimmed with what comes later.
func (o *outboxOf) Trim(ctx context.Context, upTo uint64) error {
	if err := o.shard.Trim(ctx, o.epoch, upTo); err != nil {
		o.cfg.Log.Debug("outbox not trimmed", "error", err)
	}
	return nil
}
