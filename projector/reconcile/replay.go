package reconcile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"walletd/journal"
)

// ReplayConfig says what to replay.
type ReplayConfig struct {
	Log        journal.Log
	Partitions []int // nil: all, one after the other
	// Fold applies every event, too: then Replayed has its changes and legs, and what cannot have happened is damage.
	// Without it only frames are verified (chain, seqs, epochs), in little memory.
	Fold     bool
	Progress func(done, total int64) // records read, now and then; nil: nobody is told
}

// Replayed is one event that counts, or the start of an epoch. It shares memory with the log and is reused.
type Replayed struct {
	Partition int
	Offset    int64            // of its record
	Epoch     *journal.Frame   // an epoch that started; then there is no event
	Event     *journal.Event   // else
	Row       journal.Row      // the event's
	Changes   []journal.Change // what the event did to accounts; with Fold
	Legs      []journal.Leg    // credits that it decided for other partitions; with Fold
	Dropped   journal.Verdict  // not "": a frame that fencing keeps out; there is no event
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
	r := replayer{config: c, fn: fn, names: Names{}}
	for _, p := range partitions {
		end, err := c.Log.End(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("replay: end of partition %d: %w", p, err)
		}
		r.total += end
	}
	var reports []PartitionReport
	for _, p := range partitions {
		report, err := r.partition(ctx, p)
		reports = append(reports, report)
		if err != nil {
			return reports, err
		}
	}
	return reports, nil
}

type replayer struct {
	config      ReplayConfig
	fn          func(*Replayed) error
	names       Names
	done, total int64

	now  Replayed
	book *journal.Book // nil without Fold
}

func (r *replayer) partition(ctx context.Context, p int) (report PartitionReport, err error) {
	cursor := journal.Cursor{Partition: p}
	report = PartitionReport{Partition: p, Dropped: map[journal.Verdict]int64{}}
	if r.book = nil; r.config.Fold {
		r.book = journal.NewBook(p, r.config.Log.Partitions())
	}
	var told error // what fn answered
	_, err = r.config.Log.Read(ctx, p, 0, func(offset int64, record []byte) error {
		frame, verdict, err := cursor.Next(offset, record)
		if err != nil {
			return err
		}
		if r.done++; r.done%1024 == 0 && r.config.Progress != nil {
			r.config.Progress(r.done, max(r.total, r.done))
		}
		r.now = Replayed{Partition: p, Offset: offset, Names: r.names, Changes: r.now.Changes[:0], Legs: r.now.Legs[:0]}
		if verdict != journal.Accepted {
			report.Dropped[verdict]++
			r.now.Dropped = verdict
			told = r.fn(&r.now)
			return told
		}
		if frame.Kind == journal.FrameEpochStarted {
			r.now.Epoch = &frame
			told = r.fn(&r.now)
			return told
		}
		return frame.EachEvent(func(e *journal.Event) error { return r.event(e, &report, &told) })
	})
	report.Records, report.Epoch, report.Chain = cursor.Offset, cursor.Epoch, hexOf(cursor.Chain[:])
	if r.book != nil {
		digest := r.book.Digest()
		report.Digest = hexOf(digest[:])
		report.Accounts = len(r.book.State.(*journal.Memory).Accounts)
	}
	switch {
	case err == nil || (told != nil && errors.Is(err, told)):
		return report, err
	case errors.Is(err, journal.ErrBadFrame) && !errors.Is(err, journal.ErrDamaged):
		err = fmt.Errorf("%w: %w", journal.ErrDamaged, err)
	}
	return report, fmt.Errorf("replay: partition %d behind seq %d: %w", p, report.Seq, err)
}

func (r *replayer) event(e *journal.Event, report *PartitionReport, told *error) error {
	r.now.Event, r.now.Changes, r.now.Legs = e, r.now.Changes[:0], r.now.Legs[:0]
	if _, err := r.now.Row.Parse(e.Packed); err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	r.names.learn(&r.now.Row)
	if r.book != nil {
		if err := r.book.Apply(e, &r.now); err != nil {
			return err
		}
	}
	report.Seq, report.TimeMS = e.Seq, e.TimeMS
	*told = r.fn(&r.now)
	return *told
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
