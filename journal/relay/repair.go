package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
)

// send makes the requests of healthy lanes.
func (r *Relay) send(ctx context.Context) error {
	for {
		select {
		case lanes := <-r.requests:
			offsets, err := r.append(ctx, lanes)
			r.landed <- sent{lanes, offsets, err}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// append sends the lanes' frames in one request. It answers an offset for each, -1 where there is none.
func (r *Relay) append(ctx context.Context, lanes []*lane) ([]int64, error) {
	records, size := make([]journal.Record, len(lanes)), 0
	for i, l := range lanes {
		records[i] = journal.Record{Partition: l.partition, Bytes: l.flight.record}
		size += len(l.flight.record)
	}
	start := time.Now()
	offsets, err := r.cfg.Log.Append(ctx, records)
	r.cfg.OnAppend(time.Since(start), len(lanes), size, err)
	for len(offsets) < len(lanes) {
		offsets = append(offsets, -1)
	}
	r.mu.Lock()
	r.stats.Appends++
	r.mu.Unlock()
	return offsets, err
}

// repair finds out what became of a frame that did not land where it should, and sends it again until it has. It never
// gives up on a journal that is away, and holds up no other partition.
func (r *Relay) repair(ctx context.Context, l *lane) error {
	f := &l.flight
	for pause := r.cfg.RetryMin; ; pause = min(2*pause, r.cfg.RetryMax) {
		if f.look {
			if err := r.lookFor(ctx, l); err != nil {
				return err
			}
		}
		if f.at >= 0 {
			r.repaired <- l
			return nil
		}
		if err := rest(ctx, r.cfg.Jitter(pause)); err != nil {
			return err
		}
		if f.look {
			continue
		}
		// Certainly, or as far as the log can be read, it is not there: the identical bytes are sent again.
		offsets, err := r.append(ctx, []*lane{l})
		r.mu.Lock()
		r.stats.Resent++
		r.mu.Unlock()
		if _, err := l.counts(offsets[0], errors.Is(err, journal.ErrNotAppended)); err != nil {
			return err
		}
	}
}

// rest waits.
func rest(ctx context.Context, pause time.Duration) error {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookFor reads what has come into the lane's log since it was last known. An error is one that ends Run; a log that
// cannot be read is looked at again later.
func (r *Relay) lookFor(ctx context.Context, l *lane) error {
	_, err := r.cfg.Log.Read(ctx, l.partition, l.cursor.Offset, func(offset int64, record []byte) error {
		return r.meet(l, offset, record)
	})
	switch {
	case err == nil:
		f := &l.flight
		// Where the log has said that it took the frame, the frame will be seen there, and is not sent again.
		f.look = f.at < 0 && f.landed >= l.cursor.Offset
		return nil
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, ErrDeposed), errors.Is(err, errForeign):
		return err
	}
	return nil
}

// errForeign says that somebody else writes in our epoch.
var errForeign = errors.New("a frame of our epoch that we did not send")

// meet judges a record that stands where our frame was expected, or behind.
func (r *Relay) meet(l *lane, offset int64, record []byte) error {
	f, verdict, err := l.cursor.Next(offset, record)
	if err != nil {
		return err
	}
	switch {
	case verdict == journal.Accepted && f.Kind == journal.FrameEpochStarted:
		return &DeposedError{Partition: l.partition, Epoch: l.epoch, By: f.Epoch}
	case verdict == journal.Accepted && f.Hash != l.flight.frame.Hash:
		return fmt.Errorf("%w: partition %d epoch %d offset %d seq %d", errForeign, l.partition, l.epoch, offset, f.FirstSeq)
	case verdict == journal.Accepted:
		l.flight.at = offset
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if verdict == journal.DropStaleEpoch {
		r.stats.Stale++
	} else {
		r.stats.Duplicates++
	}
	return nil
}
