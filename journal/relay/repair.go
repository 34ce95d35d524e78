package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

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

// repair finds out what became of frames that did not land where they should, and sends them again until they have,
// beside the healthy lanes. It never gives up on a journal that is away.
func (r *Relay) repair(ctx context.Context) error {
	var open []*lane
	pause := r.cfg.RetryMin
	for {
		var err error
		if open, err = r.gather(ctx, open, &pause); err != nil {
			return err
		}
		if err := r.lookUp(ctx, open); err != nil {
			return err
		}
		n := len(open)
		if open = r.handBack(open); len(open) == 0 || len(open) < n {
			pause = r.cfg.RetryMin
		}
		if len(open) == 0 {
			continue
		}
		more, err := r.rest(ctx, pause)
		if err != nil {
			return err
		}
		if more != nil { // somebody else needs a look first
			open = append(open, more)
			continue
		}
		pause = min(2*pause, r.cfg.RetryMax)
		if err := r.sendAgain(ctx, open); err != nil {
			return err
		}
	}
}

// gather adds the lanes that have come to be repaired; without any it waits for one.
func (r *Relay) gather(ctx context.Context, open []*lane, pause *time.Duration) ([]*lane, error) {
	if len(open) == 0 {
		select {
		case l := <-r.broken:
			open, *pause = append(open, l), r.cfg.RetryMin
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for {
		select {
		case l := <-r.broken:
			open = append(open, l)
		default:
			return open, nil
		}
	}
}

// rest waits, with some jitter, or until another lane needs a repair.
func (r *Relay) rest(ctx context.Context, pause time.Duration) (*lane, error) {
	t := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil, nil
	case l := <-r.broken:
		return l, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// handBack returns the lanes whose frame counts to the loop, and answers the others.
func (r *Relay) handBack(open []*lane) []*lane {
	rest := open[:0]
	for _, l := range open {
		if l.flight.at >= 0 {
			r.repaired <- l
			continue
		}
		rest = append(rest, l)
	}
	return rest
}

const looksAtOnce = 8

// lookUp reads the log of every lane whose frame may be there. An error is one that ends Run; a log that cannot be read
// is looked at again later.
func (r *Relay) lookUp(ctx context.Context, open []*lane) error {
	var g errgroup.Group
	g.SetLimit(looksAtOnce)
	for _, l := range open {
		if l.flight.look {
			g.Go(func() error { return r.lookFor(ctx, l) })
		}
	}
	return g.Wait()
}

// lookFor reads what has come into the lane's log since it was last known.
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

// sendAgain sends the identical bytes of every frame that is certainly, or as far as the log can be read, not there.
func (r *Relay) sendAgain(ctx context.Context, open []*lane) error {
	var lanes []*lane
	for _, l := range open {
		if !l.flight.look {
			lanes = append(lanes, l)
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	offsets, err := r.append(ctx, lanes)
	r.mu.Lock()
	r.stats.Resent += uint64(len(lanes))
	r.mu.Unlock()
	notAppended := errors.Is(err, journal.ErrNotAppended)
	for i, l := range lanes {
		if _, err := l.counts(offsets[i], notAppended); err != nil {
			return err
		}
	}
	return nil
}
