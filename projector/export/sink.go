package export

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// SinkConfig says what to keep in which PostgreSQL.
type SinkConfig struct {
	Log    journal.Log
	Assets journal.Assets
	Wallet string // its name: a schema is one wallet's
	URL    string // postgres://user@host/database
	Schema string // lower case letters, digits and _
	Follow bool   // go on with what is appended, until ctx ends
	// Progress is told about what is durable, and about failures that are tried again; nil: nobody is told.
	Progress func(SinkProgress)

	bulkRows int                                                               // tests; 0: bulkRows
	dial     func(ctx context.Context, network, addr string) (net.Conn, error) // tests
	brittle  bool                                                              // tests: a lost connection ends it, as a kill does
}

// SinkProgress is how far a sink is.
type SinkProgress struct {
	Events, Legs uint64  // written by this run
	Share        float64 // of the journal's records that are read, 0 … 1
	LagMS        int64   // age of the newest durable event, 0 when all is written
	Failure      error   // nil, or why the last attempt failed: it is made again
}

// The bounds of a bulk.
const (
	bulkRows   = 20_000
	bulkWithin = 250 * time.Millisecond // how long a row waits for others
	retryMax   = 5 * time.Second
)

func (c *SinkConfig) validate() error {
	var errs []error
	if c.Log == nil || c.Wallet == "" || c.URL == "" {
		errs = append(errs, errors.New("no log, no wallet's name or no URL"))
	}
	if !schemaName.MatchString(c.Schema) {
		errs = append(errs, fmt.Errorf("schema %q: want at most 63 of a–z, 0–9 and _, no digit first", c.Schema))
	}
	if c.Progress == nil {
		c.Progress = func(SinkProgress) {}
	}
	if c.bulkRows == 0 {
		c.bulkRows = bulkRows
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	return nil
}

// sink folds the journal and hands bulks to the database.
type sink struct {
	config *SinkConfig
	db     *database
	books  books
	names  *nameReader

	mu       sync.Mutex // guards the rest: the fold fills, the clock flushes
	at       map[int]int64
	bulk     *bulk
	event    event
	timeMS   int64 // of the newest event in the bulk
	progress SinkProgress
}

// Sink writes every leg of the journal into PostgreSQL, exactly once: rows and cursors are committed together, and what a cursor covers is folded
// and not written. Without Follow it ends at the journal's end. A schema of another wallet is ErrForeign; a damaged journal is journal.ErrDamaged, behind
// everything before it. A lost connection is made again for as long as ctx lives.
func Sink(ctx context.Context, c SinkConfig) (SinkProgress, error) {
	if err := c.validate(); err != nil {
		return SinkProgress{}, err
	}
	db, err := newDatabase(c.URL, c.Schema, c.dial)
	if err != nil {
		return SinkProgress{}, err
	}
	defer db.close()
	s := &sink{config: &c, db: db, bulk: newBulk(), names: newNameReader(c.Log)}
	s.books = books{partitions: c.Log.Partitions(), names: s.names.names}
	if err := s.begin(ctx); err != nil {
		return s.progress, fmt.Errorf("sink: %w", err)
	}
	group, running := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		_, err := reconcile.Replay(running, reconcile.ReplayConfig{Log: c.Log, Fold: true, Follow: c.Follow, Progress: s.read}, func(r *reconcile.Replayed) error { return s.take(running, r) })
		return err
	})
	group.Go(func() error { return s.flushNowAndThen(running, done) })
	err = group.Wait()
	if err == nil || errors.Is(err, journal.ErrDamaged) {
		err = errors.Join(err, s.flush(ctx))
	}
	if err != nil {
		return s.progress, fmt.Errorf("sink: %w", err)
	}
	return s.progress, nil
}

func (s *sink) begin(ctx context.Context) error {
	for p := range s.config.Log.Partitions() {
		g, err := genesis(ctx, s.config.Log, p)
		if err != nil {
			return err
		}
		s.db.genesis[p] = g
	}
	if err := s.names.catchUp(ctx); err != nil {
		return err
	}
	err := s.try(ctx, func() (err error) {
		s.at, err = s.db.prepare(ctx, s.config.Wallet, s.config.Log.Partitions())
		return err
	})
	if err != nil || s.names.damaged {
		return err
	}
	return s.covers()
}

// covers refuses a database that knows more than the journal, before anything is written.
func (s *sink) covers() error {
	for p, seq := range s.at {
		if seq > int64(s.names.seqs[p]) {
			return fmt.Errorf("%w: partition %d is written up to seq %d, the journal ends at %d", ErrForeign, p, seq, s.names.seqs[p])
		}
	}
	return nil
}

func (s *sink) read(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Share = float64(done) / float64(max(total, 1))
}

func (s *sink) take(ctx context.Context, r *reconcile.Replayed) error {
	if r.Event == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := int64(r.Event.Seq)
	if seq <= s.at[r.Partition] {
		return nil
	}
	if err := s.nameAll(ctx, r); err != nil {
		return err
	}
	legs := s.books.of(r)
	if !balanced(legs) { // nothing of it is written, nor that it was
		return fmt.Errorf("%w: the debits of event %v are not its credits", journal.ErrDamaged, r.Event.Position)
	}
	if _, known := s.bulk.from[r.Partition]; !known {
		if s.db.genesis[r.Partition] == nil { // it was empty at the beginning
			g, err := genesis(ctx, s.config.Log, r.Partition)
			if err != nil {
				return err
			}
			s.db.genesis[r.Partition] = g
		}
		s.bulk.from[r.Partition] = s.at[r.Partition]
	}
	s.bulk.to[r.Partition] = seq
	s.progress.Events++
	s.timeMS = max(s.timeMS, r.Event.TimeMS)
	s.event = event{key: string(r.Row.Key), refer: string(r.Row.Reference), status: r.Event.Status.Code()}
	for i := range legs {
		legs[i].event = &s.event
		s.bulk.rows = append(s.bulk.rows, postgresRow(&legs[i], r.Event.Position, r.Event.TimeMS, s.config.Assets))
	}
	if len(s.bulk.rows) >= s.config.bulkRows {
		return s.flushLocked(ctx)
	}
	return nil
}

// nameAll reads on for names that the fold meets before their accounts: those of other partitions. What an event names was opened before it.
func (s *sink) nameAll(ctx context.Context, r *reconcile.Replayed) error {
	unknown := func(h journal.Handle) bool {
		_, _, suspense := h.Suspense()
		return !h.IsZero() && !suspense && s.names.names[h] == ""
	}
	for i := range r.Changes {
		if unknown(r.Changes[i].Account) || unknown(r.Changes[i].Other) {
			return s.names.catchUp(ctx)
		}
	}
	for i := range r.Legs {
		if unknown(r.Legs[i].Payee) {
			return s.names.catchUp(ctx)
		}
	}
	return nil
}

func (s *sink) flushNowAndThen(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(bulkWithin)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return nil // the fold says why
		case <-tick.C:
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (s *sink) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushLocked(ctx)
}

func (s *sink) flushLocked(ctx context.Context) error {
	if len(s.bulk.to) == 0 {
		s.progress.LagMS = 0
		s.config.Progress(s.progress)
		return nil
	}
	if err := s.try(ctx, func() error { return s.db.write(ctx, s.bulk) }); err != nil {
		return err
	}
	for p, seq := range s.bulk.to {
		s.at[p] = seq
	}
	s.progress.Legs += uint64(len(s.bulk.rows))
	s.progress.LagMS = max(0, time.Now().UnixMilli()-s.timeMS)
	s.bulk = newBulk()
	s.config.Progress(s.progress)
	return nil
}

// try makes an attempt again for as long as its failure may pass.
func (s *sink) try(ctx context.Context, attempt func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, retryMax) {
		err := attempt()
		switch {
		case err == nil:
			s.progress.Failure = nil
			return nil
		case errors.Is(err, ErrForeign), ctx.Err() != nil, s.config.brittle:
			return err
		case !passing(err):
			return fmt.Errorf("%w: %w", ErrDatabase, err)
		}
		s.db.close()
		s.progress.Failure = err
		s.config.Progress(s.progress)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
