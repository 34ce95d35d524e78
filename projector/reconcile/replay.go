package reconcile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"walletd/journal"
)

// ReplayConfig says what to replay.
type ReplayConfig struct {
	Log        journal.Log
	Partitions []int // nil: all, one after the other
	// Fold applies every event, too: then Replayed has its changes and legs, and what cannot have happened is damage.
	// Without it only frames are verified (chain, seqs, epochs), in little memory.
	Fold bool
	// Follow goes on with what is appended later, until ctx ends: then Replay answers ctx's error.
	Follow   bool
	Progress func(done, total int64) // records read, now and then; nil: nobody is told
}

// Replayed is an event that counts, the start of an epoch, or a frame that is dropped. It shares memory with the log and
// is reused.
type Replayed struct {
	Partition int
	Offset    int64            // of its record
	Live      bool             // it was appended after the replay had reached the log's end (Follow)
	Epoch     *journal.Frame   // an epoch that started; then there is no event
	Dropped   journal.Verdict  // not "": a frame that fencing keeps out; then there is no event either
	Event     *journal.Event   // else
	Row       journal.Row      // the event's
	Changes   []journal.Change // what the event did to accounts; with Fold
	Legs      []journal.Leg    // credits that it decided for other partitions; with Fold
	Names     Names            // the accounts that have been heard of
}

// Replay calls fn for every event that counts, partition by partition, in order, for every epoch that starts and for every
// frame that is dropped. It answers where each partition ended; Digest is empty without Fold. An error of fn ends it and is
// answered as it is; damage is journal.ErrDamaged, after everything before it has been told.
func Replay(ctx context.Context, c ReplayConfig, fn func(*Replayed) error) ([]PartitionReport, error) {
	partitions, err := chosen(c.Log, c.Partitions)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r := replayer{config: c, fn: fn, now: Replayed{Names: Names{}}}
	for _, p := range partitions {
		end, err := c.Log.End(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("replay: end of partition %d: %w", p, err)
		}
		r.total += end
		r.parts = append(r.parts, newReplayedPart(&c, p))
	}
	err = r.read(ctx)
	for r.live = true; err == nil && c.Follow; {
		if err = r.wait(ctx); err == nil {
			err = r.read(ctx)
		}
	}
	var reports []PartitionReport
	for _, pt := range r.parts {
		reports = append(reports, pt.finish())
	}
	return reports, err
}

type replayer struct {
	config      ReplayConfig
	fn          func(*Replayed) error
	parts       []*replayedPart
	live        bool
	done, total int64
	now         Replayed
	told        error // what fn answered
}

// replayedPart is how far a partition is replayed.
type replayedPart struct {
	cursor journal.Cursor
	book   *journal.Book // nil without Fold
	report PartitionReport
}

func newReplayedPart(c *ReplayConfig, partition int) *replayedPart {
	pt := &replayedPart{cursor: journal.Cursor{Partition: partition}}
	pt.report = PartitionReport{Partition: partition, Dropped: map[journal.Verdict]int64{}}
	if c.Fold {
		pt.book = &journal.Book{Partition: partition, Partitions: c.Log.Partitions(), State: journal.NewTables()}
	}
	return pt
}

func (pt *replayedPart) finish() PartitionReport {
	pt.report.Records, pt.report.Epoch, pt.report.Chain = pt.cursor.Offset, pt.cursor.Epoch, hexOf(pt.cursor.Chain[:])
	if pt.book != nil {
		digest := pt.book.Digest()
		pt.report.Digest = hexOf(digest[:])
		pt.report.Accounts = pt.book.State.(*journal.Tables).Accounts()
	}
	return pt.report
}

// wait blocks until a partition has grown.
func (r *replayer) wait(ctx context.Context) error {
	any, cancel := context.WithCancel(ctx)
	defer cancel()
	var waiting sync.WaitGroup
	for _, pt := range r.parts {
		waiting.Go(func() {
			_ = r.config.Log.Wait(any, pt.cursor.Partition, pt.cursor.Offset) // what is wrong with the log, read will say
			cancel()
		})
	}
	waiting.Wait()
	return ctx.Err()
}

// read goes through all partitions to their ends.
func (r *replayer) read(ctx context.Context) error {
	for _, pt := range r.parts {
		_, err := r.config.Log.Read(ctx, pt.cursor.Partition, pt.cursor.Offset, func(offset int64, record []byte) error { return r.record(pt, offset, record) })
		switch {
		case err == nil:
			continue
		case r.told != nil && errors.Is(err, r.told):
			return err
		case errors.Is(err, journal.ErrBadFrame) && !errors.Is(err, journal.ErrDamaged):
			err = fmt.Errorf("%w: %w", journal.ErrDamaged, err)
		}
		return fmt.Errorf("replay: partition %d behind seq %d: %w", pt.cursor.Partition, pt.report.Seq, err)
	}
	return nil
}

func (r *replayer) record(pt *replayedPart, offset int64, record []byte) error {
	frame, verdict, err := pt.cursor.Next(offset, record)
	if err != nil {
		return err
	}
	if r.done++; r.done%1024 == 0 && r.config.Progress != nil {
		r.config.Progress(r.done, max(r.total, r.done))
	}
	r.now = Replayed{Partition: pt.cursor.Partition, Offset: offset, Live: r.live, Names: r.now.Names, Changes: r.now.Changes[:0], Legs: r.now.Legs[:0]}
	switch {
	case verdict != journal.Accepted:
		pt.report.Dropped[verdict]++
		r.now.Dropped = verdict
	case frame.Kind == journal.FrameEpochStarted:
		r.now.Epoch = &frame
	default:
		return frame.EachEvent(func(e *journal.Event) error { return r.event(pt, e) })
	}
	r.told = r.fn(&r.now)
	return r.told
}

func (r *replayer) event(pt *replayedPart, e *journal.Event) error {
	r.now.Event, r.now.Changes, r.now.Legs = e, r.now.Changes[:0], r.now.Legs[:0]
	if _, err := r.now.Row.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	r.now.Names.Learn(&r.now.Row)
	if pt.book != nil {
		if err := pt.book.Apply(e, &r.now); err != nil {
			return err
		}
	}
	pt.report.Seq, pt.report.TimeMS = e.Seq, e.TimeMS
	r.told = r.fn(&r.now)
	return r.told
}

// Changed implements journal.Effects.
func (r *Replayed) Changed(_ *journal.Event, c journal.Change) { r.Changes = append(r.Changes, c) }

// Leg implements journal.Effects.
func (r *Replayed) Leg(_ *journal.Event, l journal.Leg) { r.Legs = append(r.Legs, l) }

// Keeper names the keeper that started an epoch, and when (ms since 1970).
func (r *Replayed) Keeper() (name string, timeMS int64) {
	if r.Epoch == nil || len(r.Epoch.Payload) < 7 {
		return "", 0
	}
	p := r.Epoch.Payload
	return string(p[7:]), int64(binary.BigEndian.Uint64(append([]byte{0}, p[:7]...)))
}
