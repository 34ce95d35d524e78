package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/projector/reconcile"
	"walletd/projector/view"
)

// Config says what to compare, and how fast.
type Config struct {
	View   *view.View
	Live   reconcile.Accounts
	Assets journal.Assets
	Logger *slog.Logger // nil: slog's default
	// Partitions are those that are folded here at the moment; nil: all of the view.
	Partitions func() []int

	Every time.Duration // a sweep of the whole book should take this long; 0: an hour
	// PauseMin and PauseMax bound the pause between pages; 0: 100 ms, 1 s.
	PauseMin, PauseMax time.Duration
	// Patience is how long to wait for the projection to come to what a shard holds; 0: 10 s.
	Patience time.Duration
	// Again is how long after a difference the account is read again, twice; 0: 250 ms.
	Again time.Duration
}

func (c *Config) validate() error {
	if c.View == nil || c.Live == nil {
		return errors.New("sweep: no view, or no shards")
	}
	if c.Every < 0 || c.PauseMin < 0 || c.PauseMax < 0 || c.Patience < 0 || c.Again < 0 {
		return errors.New("sweep: a negative time")
	}
	orElse := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orElse(&c.Every, time.Hour)
	orElse(&c.PauseMin, 100*time.Millisecond)
	orElse(&c.PauseMax, time.Second)
	orElse(&c.Patience, 10*time.Second)
	orElse(&c.Again, 250*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Partitions == nil {
		c.Partitions = func() (all []int) {
			for p := range c.View.Partitions() {
				all = append(all, p)
			}
			return all
		}
	}
	return nil
}

// Sweeper compares. All methods may be called from several goroutines, Run from one.
type Sweeper struct {
	config Config
	began  time.Time

	pages  atomic.Int64 // of the last sweep
	pacing sync.Mutex   // held by who pauses

	mu sync.Mutex // guards what follows
	state
}

// New makes a sweeper; Run starts it.
func New(c Config) (*Sweeper, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Sweeper{config: c, began: time.Now(), state: newState()}, nil
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.sweep(ctx)
	}
	return ctx.Err()
}

const (
	triesMax = 3  // how often a page is tried in one sweep before the rest of its partition is left out
	abreast  = 16 // partitions that are compared at a time: each waits for its projection, which is folded every few seconds
)

// sweep goes once through the whole book.
func (s *Sweeper) sweep(ctx context.Context) {
	s.begin()
	var group errgroup.Group
	group.SetLimit(abreast)
	var pages, leftOut atomic.Int64
	for _, p := range s.config.Partitions() {
		group.Go(func() error {
			n, whole := s.partition(ctx, p)
			pages.Add(int64(n))
			if !whole {
				leftOut.Add(1)
			}
			return nil
		})
	}
	_ = group.Wait() // none fails: what could not be compared is told by the report
	if ctx.Err() != nil {
		return
	}
	s.pages.Store(pages.Load())
	s.end(leftOut.Load() == 0)
	if pages.Load() == 0 { // nothing is folded here
		sleep(ctx, s.config.PauseMax)
	}
}

// partition compares a partition's accounts page by page.
func (s *Sweeper) partition(ctx context.Context, partition int) (pages int, whole bool) {
	var behind journal.Handle
	for tries := 0; ctx.Err() == nil; pages++ {
		next, end, err := s.page(ctx, partition, behind)
		s.pause(ctx)
		switch {
		case err == nil && end:
			return pages + 1, true
		case err == nil:
			behind, tries = next, 0
		default:
			s.left(partition, err)
			if tries++; tries == triesMax {
				return pages + 1, false
			}
			sleep(ctx, s.config.PauseMax)
		}
	}
	return pages, false
}

// pause waits as long as the sweep's time gives; those that do so wait one after the other.
func (s *Sweeper) pause(ctx context.Context) {
	s.pacing.Lock()
	defer s.pacing.Unlock()
	d := s.config.PauseMax
	if pages := s.pages.Load(); pages > 0 {
		d = min(s.config.Every/time.Duration(pages), d)
	}
	sleep(ctx, max(d, s.config.PauseMin))
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// page compares the next accounts of a partition. An error says that they could not be compared now.
func (s *Sweeper) page(ctx context.Context, partition int, behind journal.Handle) (next journal.Handle, end bool, err error) {
	handles, err := s.accounts(partition, behind)
	if err != nil || len(handles) == 0 {
		return behind, true, err
	}
	wrong, err := s.compare(ctx, partition, handles)
	if err != nil {
		return behind, false, err
	}
	for _, f := range wrong {
		if err := s.again(ctx, partition, f); err != nil {
			return behind, false, err
		}
	}
	return handles[len(handles)-1], len(handles) < reconcile.AccountsMax, nil
}

func (s *Sweeper) accounts(partition int, behind journal.Handle) (list []journal.Handle, err error) {
	r := s.config.View.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.AccountsBehind(partition, behind, reconcile.AccountsMax)
}

// again reads an account that differed twice more, and tells the difference if it is there each time.
func (s *Sweeper) again(ctx context.Context, partition int, f Finding) error {
	for range 2 {
		sleep(ctx, s.config.Again)
		wrong, err := s.compare(ctx, partition, []journal.Handle{f.handle})
		if err != nil || len(wrong) == 0 {
			return err
		}
		if g := wrong[0]; g.epoch != f.epoch || g.Shard != f.Shard {
			return fmt.Errorf("partition %d has changed its owner", partition)
		}
		f = wrong[0]
	}
	s.found(f)
	return nil
}
