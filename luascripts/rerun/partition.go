package rerun

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// decision is a kind of outcome.
type decision struct {
	op     journal.Op
	status journal.Status
}

// partition runs one partition again.
type partition struct {
	all    *collected
	shard  *luascripts.Scratch
	cursor journal.Cursor
	book   *journal.Book // the journal's fold, ahead of the shard by what is in the train
	epoch  uint32        // of the partition in the shard

	train   luascripts.Train
	times   []int64 // of its sections
	steps   []step  // of its rows
	records []byte  // that the steps name
	touched []journal.Handle

	report    PartitionReport
	checked   uint64
	decisions map[decision]uint64
	diverged  *Divergence
}

// step is a row of the train, and what it must answer: an event's, or a look at what an event has left.
type step struct {
	at         journal.Position // of the event
	timeMS     int64
	offset     int64
	decision   decision        // the event's
	detail     uint64          // the event's
	book       journal.Outcome // the event's
	evictedMS  int64           // of the partition, behind the event
	look       bool            // at a record
	of         []byte          // the name of that record: a handle or an id
	from, upto int             // the record in partition.records
}

func newPartition(all *collected, shard *luascripts.Scratch, p int) *partition {
	return &partition{all: all, shard: shard, cursor: journal.Cursor{Partition: p}, book: journal.NewBook(p, all.config.Log.Partitions()),
		report: PartitionReport{Partition: p}, decisions: map[decision]uint64{}}
}

// errDiverged ends a partition; its divergence is noted.
var errDiverged = errors.New("diverged")

func (p *partition) run(ctx context.Context) error {
	if err := p.shard.Begin(ctx, p.cursor.Partition); err != nil {
		return err
	}
	told := int64(0)
	_, err := p.all.config.Log.Read(ctx, p.cursor.Partition, 0, func(offset int64, record []byte) error {
		frame, verdict, err := p.cursor.Next(offset, record)
		if err == nil && verdict == journal.Accepted {
			err = frame.EachEvent(func(e *journal.Event) error { return p.event(ctx, offset, e) })
		}
		if n := offset + 1 - told; n >= 256 {
			p.all.progress(n)
			told += n
		}
		return err
	})
	if errors.Is(err, journal.ErrBadFrame) && !errors.Is(err, journal.ErrDamaged) {
		err = fmt.Errorf("%w: %w", journal.ErrDamaged, err)
	}
	if err == nil {
		err = p.flush(ctx)
	}
	if err == nil {
		err = p.compareEnd(ctx)
	}
	if err != nil && !errors.Is(err, errDiverged) {
		return err
	}
	p.all.progress(p.cursor.Offset - told)
	p.report.Records, p.report.Accounts = p.cursor.Offset, len(p.book.State.(*journal.Memory).Accounts)
	p.all.add(p)
	return nil
}

// event puts an event's row into the train, and looks behind it at what the journal says that it has changed.
func (p *partition) event(ctx context.Context, offset int64, e *journal.Event) error {
	row, err := e.Row()
	if err != nil {
		return fmt.Errorf("%w: event %v: %w", journal.ErrDamaged, e.Position, err)
	}
	if err := p.enterEpoch(ctx, offset, e); err != nil {
		return err
	}
	if row.Op == journal.OpEvict { // a train has one time in production, so that it never evicts what it has itself resolved
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	s := step{at: e.Position, timeMS: e.TimeMS, offset: offset, decision: decision{row.Op, e.Status}}
	if s.book, err = p.book.Decide(e.Packed, e.TimeMS); err != nil {
		return fmt.Errorf("event %v: %w", e.Position, err)
	}
	p.touched = p.touched[:0]
	folded := p.book.Apply(e, p)
	s.evictedMS = p.book.EvictedMS
	if k, ok := p.book.State.Key(row.ID); ok && row.Op.Keyed() {
		s.detail = k.Detail
	}
	if err := p.add(ctx, e.Packed, s); err != nil {
		return err
	}
	if folded != nil {
		return p.unfolded(ctx, s, folded)
	}
	return p.looks(ctx, s, &row)
}

// unfolded: what the journal says cannot have happened, for this build.
func (p *partition) unfolded(ctx context.Context, s step, folded error) error {
	if err := p.flush(ctx); err != nil { // whatever differs before it, or in the decision itself, is told instead
		return err
	}
	p.diverge(&s, "decision", outcomeWords(s.decision, s.detail, false), "the same", "cannot be folded: "+folded.Error())
	return errDiverged
}

// enterEpoch lets the shard go on in the event's epoch, as a keeper does that takes over.
func (p *partition) enterEpoch(ctx context.Context, offset int64, e *journal.Event) error {
	if e.Epoch == p.epoch {
		return nil
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	seen := luascripts.Part{Partition: e.Partition, Epoch: p.epoch, Seq: e.Seq - 1}
	fenced, err := p.shard.Fence(ctx, luascripts.Claim{Seen: seen, Epoch: e.Epoch})
	if err != nil {
		return err
	}
	if !fenced[0].Done {
		there := fenced[0].Part
		p.diverge(&step{at: e.Position, timeMS: e.TimeMS, offset: offset}, "position", e.Position.String(),
			fmt.Sprintf("no such epoch behind epoch %d seq %d", there.Epoch, there.Seq), "not asked")
		return errDiverged
	}
	p.epoch = e.Epoch
	return nil
}

// Changed implements journal.Effects.
func (p *partition) Changed(_ *journal.Event, c journal.Change) {
	p.touched = append(p.touched, c.Account)
}

// Leg implements journal.Effects.
func (p *partition) Leg(*journal.Event, journal.Leg) {}

// add puts a row and what it must answer into the train; what is full goes first.
func (p *partition) add(ctx context.Context, row []byte, s step) error {
	if n := len(p.times); n == 0 || p.times[n-1] != s.timeMS {
		p.section(s.timeMS)
	}
	if !p.train.Add(row) {
		if err := p.flush(ctx); err != nil {
			return err
		}
		p.section(s.timeMS)
		if !p.train.Add(row) {
			return fmt.Errorf("event %v: a row of %d bytes does not fit into a train", s.at, len(row))
		}
	}
	p.steps = append(p.steps, s)
	return nil
}

func (p *partition) section(timeMS int64) {
	p.train.Section(p.cursor.Partition, p.epoch)
	p.times = append(p.times, timeMS)
}

// flush runs the train, and compares what it answers.
func (p *partition) flush(ctx context.Context) error {
	if len(p.steps) == 0 {
		return nil
	}
	reply, err := p.shard.RunAt(ctx, &p.train, p.times)
	if err != nil {
		return err
	}
	var o rows.Outcome
	for i, n := 0, 0; reply.NextSection(); n++ {
		section := reply.Section()
		if section.Rows == 0 { // it was begun for a row that did not fit any more
			continue
		}
		if section.Status != journal.OK {
			return fmt.Errorf("scratch shard %s does not serve at event %v: %v", p.shard.Addr(), p.steps[i].at, section.Status)
		}
		if section.TimeMS != p.times[n] {
			p.diverge(&p.steps[i], "time", fmt.Sprint(p.times[n]), fmt.Sprint(section.TimeMS), "not asked")
			return errDiverged
		}
		for ; reply.NextRow(&o); i++ {
			if !p.compare(&p.steps[i], &reply, &o) {
				return errDiverged
			}
		}
	}
	if err := reply.Err(); err != nil {
		return err
	}
	last := p.steps[len(p.steps)-1]
	p.train.Reset()
	p.times, p.steps, p.records = p.times[:0], p.steps[:0], p.records[:0]
	return p.shard.Tend(ctx, last.timeMS, last.evictedMS, p.book.Partitions, reply.Entry())
}

func (p *partition) diverge(s *step, what, journalHas, acts, book string) {
	p.diverged = &Divergence{Position: s.at, At: s.at.String(), TimeMS: s.timeMS, Offset: s.offset, What: what, Journal: journalHas, Acts: acts, Book: book}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
