package relay

import (
	"context"
	"fmt"

	"walletd/journal"
)

// tell reports the frames that count, then the watermark they give, and has the outbox trimmed.
func (r *Relay) tell(ctx context.Context) error {
	if len(r.told) > 0 {
		if err := r.tellDurable(ctx); err != nil {
			return err
		}
	}
	r.trimOutbox()
	return nil
}

func (r *Relay) tellDurable(ctx context.Context) error {
	r.marks = r.marks[:0]
	for i := range r.told {
		t := &r.told[i]
		if err := r.cfg.OnDurable(t.offset, &t.frame); err != nil {
			return fmt.Errorf("partition %d: report the frame at offset %d: %w", t.lane.partition, t.offset, err)
		}
		r.marks = append(r.marks, Mark{t.lane.partition, t.lane.epoch, t.frame.LastSeq()})
	}
	if err := r.cfg.Watermark(ctx, r.marks); err != nil {
		return fmt.Errorf("advance the watermark: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.told {
		t := &r.told[i]
		t.lane.settle(t.frame.LastSeq())
		r.stats.Frames++
		r.stats.Events += uint64(t.frame.Count)
		r.stats.Bytes += uint64(journal.FrameHeadSize + len(t.frame.Payload))
	}
	clear(r.told)
	r.told = r.told[:0]
	return nil
}

// trimOutbox has the outbox trimmed up to what is durable, beside the loop: nobody waits for that.
func (r *Relay) trimOutbox() {
	r.mu.Lock()
	n := 0
	for n < len(r.queue) && r.queue[n].left == 0 {
		r.trimTo = r.queue[n].upTo
		n++
	}
	r.queue = r.queue[:copy(r.queue, r.queue[n:])]
	r.mu.Unlock()
	if r.trimTo != r.trimAsked && !r.trimming {
		r.trimAsked, r.trimming = r.trimTo, true
		r.trims <- r.trimTo
	}
}

// trim trims the outbox, not more often than configured.
func (r *Relay) trim(ctx context.Context) error {
	for {
		select {
		case upTo := <-r.trims:
			if err := r.cfg.Outbox.Trim(ctx, upTo); err != nil {
				return fmt.Errorf("trim the outbox up to %d: %w", upTo, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := rest(ctx, r.cfg.TrimEvery); err != nil {
			return err
		}
		r.trimmed <- struct{}{}
	}
}
