package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"walletd/journal"
)

// Section is a run of events of one partition, as one train left them in the shard's outbox.
type Section struct {
	Partition int
	FirstSeq  uint64
	journal.Block
}

func (s *Section) lastSeq() uint64 { return s.FirstSeq + uint64(s.Count) - 1 }

// Entry is one train's events: one entry of the outbox.
type Entry struct {
	ID       uint64 // rises along the outbox
	Sections []Section
}

// Outbox is the shard's side. Both calls may fail with any error; the relay then ends with it, and the keeper decides.
type Outbox interface {
	// Next blocks until there are entries behind the last one that it answered, and answers them in order. The memory
	// belongs to the caller.
	Next(ctx context.Context) ([]Entry, error)
	// Trim says that everything up to this entry is durable in the log.
	Trim(ctx context.Context, upTo uint64) error
}

// Mark is a partition's watermark: the log is durable up to seq, under this keeper's epoch.
type Mark struct {
	Partition int
	Epoch     uint32
	Seq       uint64
}

// Errors that end a relay.
var (
	// ErrDeposed says that the log shows a higher epoch: another keeper owns the partition. Nothing may be acknowledged.
	ErrDeposed = errors.New("deposed: the log shows a higher epoch")
	// ErrOutbox says that the outbox does not go on where the log ends: the shard has another history.
	ErrOutbox = errors.New("the outbox does not continue the log")
)

// Config of a relay. Log, Outbox and Cursors must be set; callbacks may be nil. They are called on the relay's goroutine
// and must not block for long.
type Config struct {
	Log     journal.Log
	Outbox  Outbox
	Epoch   uint32
	Cursors []journal.Cursor // of the partitions claimed, each read to the log's end with Epoch started (Claim)

	// OnDurable is told every durable frame, in order, before its mark. The frame belongs to the callback.
	OnDurable func(*journal.Frame)
	// Marks is told the watermarks that rose, once an append. It must not keep the slice.
	Marks func([]Mark)
	// Appended is told how long an append took, and how many bytes it carried.
	Appended func(took time.Duration, bytes int)
	// Unavailable is told when the log does not take frames, with the error, and with nil when it does again.
	Unavailable func(error)

	Logger *slog.Logger
}

// Bounds of a relay.
const (
	pendingBytesMax = 16 << 20 // read from the outbox and not durable yet; then the relay reads no further
	payloadBytesMax = journal.FrameBytesMax - journal.FrameHeadSize
	backoffMin      = 5 * time.Millisecond
	backoffMax      = 500 * time.Millisecond
)

// Relay is made by New and run once.
type Relay struct {
	cfg Config

	// owned by Run
	cursors map[int]*journal.Cursor
	pace    pace
	failing bool

	mu      sync.Mutex // guards the rest
	pending []piece
	bytes   int
	arrived chan struct{} // capacity 1: there is something pending
	room    chan struct{} // capacity 1: there is room again
}

// piece is a section that is not durable yet.
type piece struct {
	Section
	entry uint64
}

// New makes a relay, or says everything that is wrong with its configuration.
func New(cfg Config) (*Relay, error) {
	var errs []error
	if cfg.Log == nil || cfg.Outbox == nil {
		errs = append(errs, errors.New("no log or no outbox"))
	}
	r := &Relay{cfg: cfg, cursors: map[int]*journal.Cursor{}, arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	for _, c := range cfg.Cursors {
		if c.Epoch != cfg.Epoch {
			errs = append(errs, fmt.Errorf("partition %d: the log is in epoch %d, this keeper in %d", c.Partition, c.Epoch, cfg.Epoch))
		}
		r.cursors[c.Partition] = &c
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if r.cfg.OnDurable == nil {
		r.cfg.OnDurable = func(*journal.Frame) {}
	}
	if r.cfg.Marks == nil {
		r.cfg.Marks = func([]Mark) {}
	}
	if r.cfg.Appended == nil {
		r.cfg.Appended = func(time.Duration, int) {}
	}
	if r.cfg.Unavailable == nil {
		r.cfg.Unavailable = func(error) {}
	}
	if r.cfg.Logger == nil {
		r.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Run relays until ctx ends, or until an error that only the keeper can deal with: ErrDeposed, ErrOutbox,
// journal.ErrDamaged, or the outbox's own. A log that does not take frames is no such error: it is tried again.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reader sync.WaitGroup
	reader.Go(func() {
		if err := r.read(ctx); err != nil {
			cancel(err)
		}
	})
	err := r.relay(ctx)
	cancel(err)
	reader.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// read collects what the outbox has, as long as there is room.
func (r *Relay) read(ctx context.Context) error {
	for {
		entries, err := r.cfg.Outbox.Next(ctx)
		if err != nil {
			return fmt.Errorf("read outbox: %w", err)
		}
		r.mu.Lock()
		for _, e := range entries {
			for _, s := range e.Sections {
				r.pending = append(r.pending, piece{s, e.ID})
				r.bytes += len(s.Events)
			}
		}
		full := r.bytes > pendingBytesMax
		r.mu.Unlock()
		poke(r.arrived)
		for full {
			select {
			case <-r.room:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			r.mu.Lock()
			full = r.bytes > pendingBytesMax
			r.mu.Unlock()
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// relay makes frames of what is pending and appends them, one request at a time.
func (r *Relay) relay(ctx context.Context) error {
	for {
		if !r.havePending() {
			r.pace.idle()
			select {
			case <-r.arrived:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		r.fill(ctx, r.pace.wait())
		frames, last, err := r.frames()
		if err != nil {
			return err
		}
		if len(frames) > 0 {
			if err := r.append(ctx, frames); err != nil {
				return err
			}
		}
		if err := r.cfg.Outbox.Trim(ctx, last); err != nil {
			return fmt.Errorf("trim outbox: %w", err)
		}
	}
}

func (r *Relay) havePending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending) > 0
}

// fill waits for fuller frames, at most d.
func (r *Relay) fill(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-r.arrived:
			r.mu.Lock()
			full := r.bytes >= frameTarget*len(r.cursors)
			r.mu.Unlock()
			if full {
				return
			}
		}
	}
}

// outgoing is a frame on its way, sealed: it is sent again as these very bytes.
type outgoing struct {
	journal.Frame
	cursor *journal.Cursor
	bytes  []byte
}

// frames takes what is pending, as much as one frame a partition holds, and answers the last entry that is wholly taken.
func (r *Relay) frames() ([]*outgoing, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var frames []*outgoing
	of := map[int]*outgoing{}
	full := map[int]bool{}
	var left []piece
	bytes, last := 0, uint64(0)
	for _, p := range r.pending {
		c, ours := r.cursors[p.Partition]
		if !ours {
			return nil, 0, fmt.Errorf("%w: events of partition %d, which this keeper does not own", ErrOutbox, p.Partition)
		}
		f := of[p.Partition]
		at := c.Seq
		if f != nil {
			at = f.LastSeq()
		}
		if p.lastSeq() <= at {
			last = p.entry
			continue // journaled before: the outbox was not trimmed
		}
		if f != nil && len(f.Payload)+len(p.Events)+journal.BlockHeadSize > payloadBytesMax {
			full[p.Partition] = true
		}
		if full[p.Partition] {
			left = append(left, p)
			bytes += len(p.Events)
			continue
		}
		if p.FirstSeq != at+1 {
			return nil, 0, fmt.Errorf("%w: partition %d: seq %d…%d follows %d", ErrOutbox, p.Partition, p.FirstSeq, p.lastSeq(), at)
		}
		if f == nil {
			f = &outgoing{Frame: journal.Frame{Kind: journal.FrameEvents, Partition: p.Partition, Epoch: r.cfg.Epoch, FirstSeq: p.FirstSeq, Prev: c.Chain}, cursor: c}
			of[p.Partition], frames = f, append(frames, f)
		}
		f.Payload = p.Block.Append(f.Payload)
		f.Count += p.Count
		last = p.entry
	}
	for _, f := range frames {
		f.bytes = f.Seal(nil)
	}
	if len(left) > 0 {
		last = min(last, left[0].entry-1)
	}
	r.pending, r.bytes = left, bytes
	poke(r.room)
	return frames, last, nil
}

// append makes frames durable, whatever it takes, and tells of them.
func (r *Relay) append(ctx context.Context, frames []*outgoing) error {
	start, bytes := time.Now(), 0
	for _, f := range frames {
		bytes += len(f.bytes)
	}
	for open, wait := frames, backoffMin; len(open) > 0; wait = min(2*wait, backoffMax) {
		var err error
		if open, err = r.attempt(ctx, open); err != nil {
			return err
		}
		if len(open) > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
	}
	r.available(nil)
	r.cfg.Appended(time.Since(start), bytes)
	r.pace.sent(bytes)
	marks := make([]Mark, len(frames))
	for i, f := range frames {
		r.cfg.OnDurable(&f.Frame)
		marks[i] = Mark{f.Partition, r.cfg.Epoch, f.LastSeq()}
	}
	r.cfg.Marks(marks)
	return nil
}

// attempt sends frames once and answers those that are not durable for certain. The cursors of the others have advanced.
func (r *Relay) attempt(ctx context.Context, frames []*outgoing) (open []*outgoing, err error) {
	records := make([]journal.Record, len(frames))
	for i, f := range frames {
		records[i] = journal.Record{Partition: f.Partition, Bytes: f.bytes}
	}
	offsets, appendErr := r.cfg.Log.Append(ctx, records)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if appendErr != nil {
		r.available(appendErr)
	}
	for i, f := range frames {
		if i < len(offsets) && offsets[i] == f.cursor.Offset {
			f.cursor.Offset, f.cursor.Seq, f.cursor.Chain = f.cursor.Offset+1, f.LastSeq(), f.Hash
			continue
		}
		durable, err := r.look(ctx, f)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, ErrDeposed) || errors.Is(err, journal.ErrDamaged) || errors.Is(err, ErrOutbox):
			return nil, err
		case err != nil:
			r.available(err)
		}
		if !durable {
			open = append(open, f)
		}
	}
	return open, nil
}

// look reads what the log has from the expected offset on. The cursor advances over what does not count for us; our
// own frame, found, is durable.
func (r *Relay) look(ctx context.Context, f *outgoing) (durable bool, err error) {
	_, err = r.cfg.Log.Read(ctx, f.Partition, f.cursor.Offset, func(offset int64, record []byte) error {
		g, verdict, err := f.cursor.Next(offset, record)
		switch {
		case err != nil:
			return err
		case verdict != journal.Accepted:
			return nil
		case g.Epoch > r.cfg.Epoch:
			return fmt.Errorf("%w: partition %d is in epoch %d, this keeper's is %d", ErrDeposed, f.Partition, g.Epoch, r.cfg.Epoch)
		case g.Hash == f.Hash:
			durable = true
			return nil
		}
		return fmt.Errorf("%w: partition %d offset %d has events of epoch %d that this keeper did not write", ErrOutbox, f.Partition, offset, g.Epoch)
	})
	if err != nil {
		return durable, fmt.Errorf("look for a frame of partition %d: %w", f.Partition, err)
	}
	return durable, nil
}

// available tells the keeper when the log stops and starts taking frames.
func (r *Relay) available(err error) {
	if (err != nil) == r.failing {
		return
	}
	r.failing = err != nil
	if err != nil {
		r.cfg.Logger.Warn("the journal does not take frames; trying again", "err", err)
	}
	r.cfg.Unavailable(err)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
