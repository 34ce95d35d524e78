package keeper

import (
	"context"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/journal/relay"
	"walletd/luascripts"
)

// continues refuses a run that happened neither in our epoch nor before it was compared. A Redis that was started again with older
// data, quicker than the watch looks, may have events of an epoch before ours that nobody has journaled, with the very seqs
// that come next in the log: they are of another history.
func (r *reign) continues(h *relay.Section) error {
	if planted.Is(planted.DeliverUndurable) {
		r.deliverNow(h)
	}
	if h.LastSeq() <= r.ends[h.Partition].Seq { // journaled; the relay compares
		return nil
	}
	for _, s := range r.ahead[h.Partition] {
		if h.FirstSeq <= s.last {
			if (span{h.FirstSeq, h.LastSeq(), h.Epoch}) != s {
				return fmt.Errorf("partition %d has events %d…%d of epoch %d where %d…%d of epoch %d were", h.Partition, h.FirstSeq, h.LastSeq(), h.Epoch, s.first, s.last, s.epoch)
			}
			return nil
		}
	}
	if own, held := r.held.get(h.Partition); !held || h.Epoch != own.epoch {
		return fmt.Errorf("partition %d has events %d…%d of epoch %d, ours is %d", h.Partition, h.FirstSeq, h.LastSeq(), h.Epoch, own.epoch)
	}
	return nil
}

// deliverNow lets legs go as soon as the shard has decided them, which is a planted bug.
func (r *reign) deliverNow(h *relay.Section) {
	f := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, Epoch: r.epoch, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
	_ = r.courier.durable(-1, &f)
}

// relayOf makes the reign's relay.
func (r *reign) relayOf() (*relay.Relay, error) {
	cursors := make([]journal.Cursor, 0, len(r.ends))
	for _, p := range ordered(r.ends) {
		cursors = append(cursors, r.ends[p])
	}
	return relay.New(relay.Config{
		Log: r.cfg.Journal, Outbox: r.outbox, Cursors: cursors, Logger: r.cfg.Log, Continues: r.continues,
		OnDurable: r.durable, Watermark: r.advance, OnJournal: r.journal, Jitter: r.cfg.Jitter,
	})
}

// relay runs the relay, and says in our words why it ended.
func (r *reign) relay(ctx context.Context) error {
	err := r.relayer.Run(ctx)
	switch {
	case errors.Is(err, relay.ErrDeposed):
		return fmt.Errorf("%w: %w", errDeposed, err)
	case errors.Is(err, relay.ErrOutbox):
		return r.lost(ctx, fmt.Errorf("%w: %w", errShardLost, err))
	}
	return err
}

// durable takes the relay's frames.
func (r *reign) durable(offset int64, f *journal.Frame) error {
	if own, held := r.held.get(f.Partition); held {
		own.at.Store(offset + 1)
	}
	if planted.Is(planted.DeliverUndurable) {
		return nil
	}
	return r.courier.durable(offset, f)
}

// journal hears that the log does not take a partition's events, or takes them again: lanes refuse what they need not run.
func (r *reign) journal(partition int, available bool, cause error) {
	if available {
		r.cfg.Log.Warn("the journal takes the partition's events again", "partition", partition)
	} else {
		r.cfg.Log.Error("the journal does not take the partition's events; new ones are refused until it does", "partition", partition, "error", cause)
	}
	r.marks.journal(partition, available)
}

// advance takes the relay's marks.
func (r *reign) advance(_ context.Context, durable []relay.Mark) error {
	for _, d := range durable {
		r.marks.advance(d.Partition, d.Seq)
	}
	return nil
}

// publishMarks tells the marks to everyone who listens at the shard, and answers whether that is somebody else than the lanes in this
// process. What is not published is no fault: it comes again.
func (r *reign) publishMarks(ctx context.Context, m []luascripts.Mark) (heard bool) {
	n, err := r.shard.PublishMarks(ctx, m)
	heard = err != nil || n > r.cfg.ownEars
	r.outbox.alone.Store(!heard)
	return heard
}
