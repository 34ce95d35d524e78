package keeper

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
)

// claim folds the logs of the shard's partitions and starts a new epoch in each. The long reading comes first, while a
// predecessor may still serve; then the epoch, and what came meanwhile.
func (r *reign) claim(ctx context.Context) error {
	r.tell(Progress{State: Claiming})
	for _, p := range r.partitions {
		r.own[p] = newFolded(p, r.cfg.Partitions)
	}
	if err := r.eachLog(ctx, r.read); err != nil {
		return err
	}
	if err := r.nextEpoch(ctx); err != nil {
		return err
	}
	return r.startEpoch(ctx)
}

// eachLog does something to every log of the shard, some at a time.
func (r *reign) eachLog(ctx context.Context, do func(context.Context, *folded, *tally) error) error {
	t := &tally{reign: r}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, p := range r.partitions {
		g.Go(func() error {
			if err := do(ctx, r.own[p], t); err != nil {
				return fmt.Errorf("log of partition %d: %w", p, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// read folds a log to its present end, from the newest snapshot on where there is one.
func (r *reign) read(ctx context.Context, f *folded, t *tally) error {
	b, err := r.newest(ctx, f.book.Partition, t)
	if err != nil {
		return err
	}
	end, err := r.cfg.Journal.End(ctx, f.book.Partition)
	if err == nil && b != nil {
		err = r.begin(f, b, end)
	}
	if err != nil {
		return err
	}
	t.of.Add(end - f.end.Offset)
	return r.foldTail(ctx, f, t)
}

// nextEpoch asks for epochs until there is one above all that the logs have seen: a counter that was restored from an old
// copy gives lower ones for a while. One that was given when somebody else may have been elected is not started: the proof of a
// lease counts on that (prove). Nor is one for partitions that are another's by now.
func (r *reign) nextEpoch(ctx context.Context) error {
	for {
		epoch, err := r.cfg.Store.NextEpoch(ctx, r.cfg.Shard, r.partitions)
		if err == nil {
			err = r.stillElected(ctx)
		}
		if err != nil {
			return err
		}
		r.epoch, r.held = epoch, newHoldings(epoch, r.partitions)
		// While the logs were read, a predecessor may have given a partition away; and who has just written reads nothing older.
		if err := r.ownsStill(ctx); err != nil {
			return err
		}
		seen := uint32(0)
		for _, f := range r.own {
			seen = max(seen, f.end.Epoch)
		}
		if epoch > seen {
			r.count(func(s *Stats) { s.Reigns++ })
			return nil
		}
		r.cfg.Log.Warn("the epoch given is lower than one in the log", "given", epoch, "log", seen)
	}
}

// certain reports whether nobody else can have been elected since the reign began.
func (r *reign) certain() bool { return r.elected != nil && r.elected.Certain() }

// stillElected waits until it is certain that nobody else has been elected until now; errUnelected, if somebody may have been.
func (r *reign) stillElected(ctx context.Context) error {
	for !r.certain() {
		if r.elected == nil || r.elected.Err() != nil {
			return errUnelected
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx, r.cfg.RestMin)
	}
	return nil
}

func newFolded(partition, partitions int) *folded {
	return &folded{book: journal.NewBook(partition, partitions), end: journal.Cursor{Partition: partition}, recent: recent{partitions: partitions}}
}

// visit folds a frame that counts. end is the log's cursor behind it.
func (f *folded) visit(frame *journal.Frame, end journal.Cursor) error {
	if frame.Kind != journal.FrameEvents {
		return nil
	}
	f.wrote = frame.Epoch
	f.points.add(end)
	return frame.EachEvent(func(e *journal.Event) error { return f.book.Apply(e, &f.recent) })
}

// tally counts the records of all logs, for Progress.
type tally struct {
	*reign
	done, of atomic.Int64
	noStore  atomic.Bool // that of the snapshots does not answer
}

// progressEvery is how many records lie between two reports.
const progressEvery = 1000

func (t *tally) record(partition int) {
	if n := t.done.Add(1); n%progressEvery == 0 {
		t.tell(Progress{State: Claiming, Partition: partition, Records: n, Of: t.of.Load()})
	}
}
