package projector

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"walletd/journal"
	"walletd/projector/view"
)

// part tails one partition.
type part struct {
	*Projector
	partition int

	// Owned by run.
	dropped map[journal.Verdict]uint64 // since the last commit
	looked  time.Time
	took    time.Duration // the last look
	opened  time.Time     // when the open batch was

	hurry hurry

	mu       sync.Mutex // guards what follows: the state that others see
	due      time.Time  // when it looks again at the latest
	position journal.Position
	offset   int64     // folded up to here
	end      int64     // of the log, as last seen
	timeMS   int64     // of the last event folded
	current  time.Time // when it was last at the log's end
	stopped  error
}

func (pt *part) load() (err error) {
	pt.dropped = map[journal.Verdict]uint64{}
	r := pt.config.View.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Cursor(pt.partition)
	if err != nil {
		return err
	}
	pt.offset, pt.end, pt.current = c.Offset, c.Offset, time.Now()
	pt.position, err = r.Position(pt.partition)
	return err
}

// Waits between tries when the log does not answer.
const (
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
)

// run tails until ctx ends. It fails only when going on makes no sense for any partition.
func (pt *part) run(ctx context.Context) (err error) {
	defer func() { pt.hurry.end(errors.Join(err, errEnded)) }()
	fold, err := pt.config.View.Fold(pt.partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fold.Close()) }()
	fold.Hasten(pt.hurry.up)
	if pt.config.Watch != nil {
		fold.Listen(pt.config.Watch.Listener(pt.partition))
	}
	// careful: commit every frame, so that the projection ends exactly before the damage.
	known, careful, retry := false, false, retryMin
	for ctx.Err() == nil {
		e := pt.look(ctx, fold, &known, careful)
		switch {
		case e == nil:
			careful, retry = false, retryMin
			pt.await(ctx, fold.Cursor().Offset)
		case ctx.Err() != nil:
		case errors.Is(e, view.ErrStore), errors.Is(e, view.ErrForeign):
			pt.mu.Lock()
			pt.stopped = e
			pt.mu.Unlock()
			return e
		case errors.Is(e, journal.ErrDamaged) && careful:
			if err := pt.rollback(fold); err != nil {
				return err
			}
			pt.stop(fold, e)
			<-ctx.Done()
		default:
			if err := pt.rollback(fold); err != nil {
				return err
			}
			if careful = errors.Is(e, journal.ErrDamaged); !careful {
				pt.config.Logger.Warn("the projection cannot read the journal; it tries again", "partition", pt.partition, "err", e, "in", retry)
				sleep(ctx, retry)
				retry = min(2*retry, retryMax)
			}
		}
	}
	return nil
}

func (pt *part) rollback(fold *view.Fold) error {
	clear(pt.dropped)
	return fold.Rollback()
}

// look folds what is there, once it is known that the log is the view's.
func (pt *part) look(ctx context.Context, fold *view.Fold, known *bool, careful bool) (err error) {
	pt.hurry.begin()
	defer func() { pt.hurry.end(err) }()
	if !*known {
		if err := pt.recognise(ctx); err != nil {
			return err
		}
		*known = true
	}
	return pt.catchUp(ctx, fold, careful)
}

// recognise compares the log's first record with the one that the view began with.
func (pt *part) recognise(ctx context.Context) error {
	genesis, ok, err := pt.config.View.Genesis(pt.partition)
	if err != nil || !ok {
		return err
	}
	found := errors.New("found")
	var first journal.Hash
	_, err = pt.config.Log.Read(ctx, pt.partition, 0, func(_ int64, record []byte) error {
		first = sha256.Sum256(record)
		return found
	})
	if err == nil {
		return fmt.Errorf("%w: the journal is empty, the projection is not; delete the projection, or restore the journal", view.ErrForeign)
	}
	if !errors.Is(err, found) {
		return err
	}
	if first != genesis {
		return fmt.Errorf("%w: it was made from another journal; delete its directory, the projection is rebuilt", view.ErrForeign)
	}
	return nil
}

// catchUp folds what is there. What it has taken when an error comes from the log is committed.
func (pt *part) catchUp(ctx context.Context, fold *view.Fold, careful bool) error {
	end, err := pt.config.Log.End(ctx, pt.partition)
	if err != nil {
		return fmt.Errorf("end of the journal: %w", err)
	}
	if at := fold.Cursor().Offset; end < at {
		return fmt.Errorf("%w: partition %d ends at offset %d, and the projection has folded %d records of it", journal.ErrDamaged, pt.partition, end, at)
	}
	pt.ends(end)
	pt.looked = time.Now()
	pt.opened = pt.looked
	taken := fold.Position().Seq
	_, err = pt.config.Log.Read(ctx, pt.partition, fold.Cursor().Offset, func(offset int64, record []byte) error {
		verdict, err := fold.Take(offset, record)
		if err != nil {
			return err
		}
		if verdict != journal.Accepted {
			pt.dropped[verdict]++
		}
		if careful || fold.Size() >= pt.config.CommitBytes || time.Since(pt.opened) >= pt.config.CommitEvery {
			return pt.commit(fold)
		}
		runtime.Gosched() // there may be seconds of frames: whoever is waited for goes first
		return nil
	})
	if errors.Is(err, journal.ErrDamaged) || errors.Is(err, view.ErrStore) {
		return err
	}
	err = errors.Join(pt.commit(fold), err)
	pt.rest(fold.Position().Seq - taken)
	return err
}

// perEvent is how long the next look waits for every event of the last one: a partition with fewer than a hundred events a
// second is committed every Interval, a busier one as seldom as CommitEvery lets it.
const perEvent = 10 * time.Millisecond

// Readers that come all the time do not make a partition be looked at all the time: behind a look it rests for so many times as
// long as that took, at most restMax.
const (
	restTimes = 4
	restMax   = 100 * time.Millisecond
)

// rest says when the partition is looked at next, behind a look that found so many events.
func (pt *part) rest(events uint64) {
	now, longest := time.Now(), pt.config.CommitEvery
	if pt.config.Watch != nil && pt.config.Watch.Watched(pt.partition) {
		longest = min(longest, watchedEvery)
	}
	pt.took = now.Sub(pt.looked)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.due = now.Add(min(time.Duration(events)*perEvent, longest))
}

// watchedEvery is how long a push waits for the fold of a busy partition.
const watchedEvery = 50 * time.Millisecond

func (pt *part) commit(fold *view.Fold) error {
	events := fold.Events()
	if err := fold.Commit(); err != nil {
		return err
	}
	pt.opened = time.Now()
	pt.counts.add(events, pt.dropped)
	clear(pt.dropped)
	c := fold.Cursor()
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.position, pt.offset, pt.timeMS = fold.Position(), c.Offset, fold.TimeMS()
	if pt.end = max(pt.end, c.Offset); pt.end == c.Offset {
		pt.current = time.Now()
	}
	return nil
}

// await waits for more: until the next look is due, or somebody waits for what has come; and at least Interval since the last one
// began.
func (pt *part) await(ctx context.Context, offset int64) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer pt.hurry.waiting(cancel)()
	sleep(wait, time.Until(pt.due)) // only this goroutine writes it
	if err := pt.config.Log.Wait(wait, pt.partition, offset); err != nil && wait.Err() == nil {
		pt.config.Logger.Warn("the projection cannot wait for the journal; it looks again", "partition", pt.partition, "err", err)
		sleep(ctx, retryMin)
		return
	}
	sleep(ctx, max(pt.config.Interval, min((1+restTimes)*pt.took, restMax))-time.Since(pt.looked))
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stop says aloud that the partition is folded no further: in the log, in Lag, and to everyone who waits for it.
func (pt *part) stop(fold *view.Fold, why error) {
	pt.config.Logger.Error("the journal is damaged; the projection of this partition stops here", "partition", pt.partition, "position", fold.Position(), "err", why)
	fold.Stop(why)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.stopped = why
}

func (pt *part) ends(end int64) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.end = end
	if end <= pt.offset && pt.stopped == nil {
		pt.current = time.Now()
	}
}

// shown is lag, with what the store is in trouble for.
func (pt *part) shown() Lag {
	l := pt.lag()
	if err := pt.config.View.Trouble(); err != nil && l.Stopped == "" && l.Records > 0 {
		l.Stopped = err.Error()
	}
	return l
}

// lag tells how far behind it is. Its seconds are the smaller of two bounds that both hold: the age of the last event
// folded, and the time since the log's end was last reached. While it lets events collect it does not know whether there are any.
func (pt *part) lag() Lag {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	l := Lag{Partition: pt.partition, Position: pt.position.String(), Records: max(pt.end-pt.offset, 0)}
	if pt.stopped != nil {
		l.Stopped = pt.stopped.Error()
	}
	if now := time.Now(); l.Records > 0 || pt.stopped != nil || now.Before(pt.due) {
		behind := now.Sub(pt.current)
		if pt.timeMS > 0 {
			behind = min(behind, now.Sub(time.UnixMilli(pt.timeMS)))
		}
		l.Seconds = max(behind, 0).Seconds()
	}
	return l
}
