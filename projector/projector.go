package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"walletd/journal"
	"walletd/projector/view"
)

// Config says what to project.
type Config struct {
	Log        journal.Log
	View       *view.View
	Partitions []int          // nil: all of the log
	Assets     journal.Assets // names for metrics
	Logger     *slog.Logger   // nil: slog's default

	// CommitBytes is the size of a batch, bytes; 0: 8 MiB, and less where there are many partitions (commitBytes).
	CommitBytes int
	// Interval is the least time between two looks at a partition; 0: 5 ms. An idle partition is looked at, and committed, as soon
	// as it grows.
	Interval time.Duration
	// CommitEvery is the longest time that a busy partition's events wait to be folded and committed; 0: 2 s. A look and a
	// commit cost as much as tens of events, and many lines of one account are written for the price of one: so the more came
	// with the last look, the later is the next (perEvent), unless a reader comes (CatchUp) or waits for a position.
	CommitEvery time.Duration

	// Watch is told what is folded; nil: nobody watches.
	Watch Watch
}

// Watch is who tells others what is folded (package watch).
type Watch interface {
	// Listener of a partition's fold.
	Listener(partition int) view.Listener
	// Watched reports whether anybody waits for an account of the partition: it is then folded at least every watchedEvery.
	Watched(partition int) bool
}

func (c *Config) validate() error {
	var problems []error
	if c.Log == nil || c.View == nil {
		return errors.New("projector: no log or no view")
	}
	if c.Log.Partitions() != c.View.Partitions() {
		problems = append(problems, fmt.Errorf("the log has %d partitions, the view %d", c.Log.Partitions(), c.View.Partitions()))
	}
	if c.Partitions == nil {
		for p := range c.Log.Partitions() {
			c.Partitions = append(c.Partitions, p)
		}
	}
	seen := map[int]bool{}
	for _, p := range c.Partitions {
		if p < 0 || p >= c.Log.Partitions() || seen[p] {
			problems = append(problems, fmt.Errorf("partition %d is not there, or named twice", p))
		}
		seen[p] = true
	}
	if c.CommitBytes < 0 || c.Interval < 0 || c.CommitEvery < 0 {
		problems = append(problems, errors.New("a negative bound"))
	}
	if c.CommitBytes == 0 {
		c.CommitBytes = commitBytes(len(c.Partitions))
	}
	if c.Interval == 0 {
		c.Interval = 5 * time.Millisecond
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if len(problems) > 0 {
		return fmt.Errorf("projector: %w", errors.Join(problems...))
	}
	return nil
}

// commitBytes shares 64 MiB of open batches among so many partitions: 1 to 8 MiB each.
func commitBytes(partitions int) int { return max(1<<20, min(64<<20/max(partitions, 1), 8<<20)) }

// Projector keeps a view up to date. All methods may be called from several goroutines.
type Projector struct {
	config Config
	parts  []*part
	byNo   map[int]*part
	counts counts
}

// New makes a projector; Run starts it.
func New(c Config) (*Projector, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	p := &Projector{config: c, byNo: map[int]*part{}}
	p.counts.add(0, nil)
	for _, n := range c.Partitions {
		pt := &part{Projector: p, partition: n}
		if err := pt.load(); err != nil {
			return nil, fmt.Errorf("projector: %w", err)
		}
		p.parts = append(p.parts, pt)
		p.byNo[n] = pt
	}
	return p, nil
}

// Run projects until ctx ends, or until the store fails (view.ErrStore) or is of another journal (view.ErrForeign). A
// damaged partition does not end it: see Lag. The log's outages are waited out, and so is a full disk. Nothing outlives it,
// but for goroutines that a dead store, or one that waits for room when ctx ends, does not let go.
func (p *Projector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	failed := make(chan error, len(p.parts))
	for _, pt := range p.parts {
		running.Go(func() {
			if err := pt.run(ctx); err != nil {
				failed <- fmt.Errorf("project partition %d: %w", pt.partition, err)
				cancel(err)
			}
		})
	}
	running.Go(func() { p.watch(ctx) })
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	stuck := p.awaitEnd(ctx, ended)
	cancel(nil)
	var errs []error
	for len(failed) > 0 {
		errs = append(errs, <-failed)
	}
	return errors.Join(append(errs, stuck)...)
}

// awaitEnd waits until the parts have ended. It does not wait for ones that the store does not let go, and answers why.
func (p *Projector) awaitEnd(ctx context.Context, ended <-chan struct{}) error {
	store := p.config.View
	select {
	case <-ended:
		return nil
	case <-store.Dead():
		return store.Trouble()
	case <-ctx.Done():
	}
	const look = 50 * time.Millisecond
	for tick := time.NewTicker(look); ; {
		select {
		case <-ended:
			tick.Stop()
			return nil
		case <-tick.C:
			if store.Trouble() != nil { // it is told by the store's Close
				tick.Stop()
				return nil
			}
		}
	}
}

// watchEvery is how often the running conservation is looked at. The metric is looked at when it is scraped.
const watchEvery = time.Second

// watch says it aloud when money is not conserved.
func (p *Projector) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := p.config.View.Conservation()
		now := ""
		for asset, sum := range c.Error {
			if sum != 0 {
				now += fmt.Sprintf("%s %+d ", p.config.Assets.Code(asset), sum)
			}
		}
		for _, off := range c.Off {
			now += fmt.Sprintf("channel %d→%d %s: %+d legs, %+d ", off.From, off.To, p.config.Assets.Code(off.Asset), off.Legs, off.Amount)
		}
		if now != "" && now != said {
			p.config.Logger.Error("money is not conserved in the journal; walletd reconcile finds the event", "error", now)
		}
		said = now
	}
}

// Lag is how far a partition's projection is behind its log.
type Lag struct {
	Partition int     `json:"partition"`
	Position  string  `json:"position"`          // of the last event folded
	Records   int64   `json:"records"`           // of the log, not folded yet
	Seconds   float64 `json:"seconds"`           // how old the answers may be
	Stopped   string  `json:"stopped,omitempty"` // why the partition is folded no further, for ever or at present
}

// CatchUpMax bounds how long a reader waits for the partitions that it asks about: as long as they may be behind on purpose.
const CatchUpMax = 2 * time.Second

// CatchUp folds these partitions, none: all, up to where their logs end now, and returns when what is there can be read: so nobody
// sees that a busy partition is looked at seldom (Config.CommitEvery). All that ask at the same time are served by one look. It
// answers an error when that takes longer than CatchUpMax or than ctx, and at once when the log does not answer or a partition
// has stopped: then what is folded is all there is.
func (p *Projector) CatchUp(ctx context.Context, partitions ...int) error {
	ctx, cancel := context.WithTimeout(ctx, CatchUpMax)
	defer cancel()
	parts := p.parts
	if len(partitions) > 0 {
		parts = nil
		for _, n := range partitions {
			if pt := p.byNo[n]; pt != nil { // another projector's is not folded here
				parts = append(parts, pt)
			}
		}
	}
	looks := make([]uint64, len(parts))
	for i, pt := range parts { // all at once, not one after the other
		looks[i] = pt.hurry.ask()
	}
	var errs []error
	for i, pt := range parts {
		if err := pt.hurry.await(ctx, looks[i]); err != nil {
			errs = append(errs, fmt.Errorf("catch up with partition %d: %w", pt.partition, err))
		}
	}
	return errors.Join(errs...)
}

// Lag folds what there is (CatchUp), then asks the log for its ends and answers for every partition.
func (p *Projector) Lag(ctx context.Context) ([]Lag, error) {
	_ = p.CatchUp(ctx) // what it could not fold is the answer
	list := make([]Lag, 0, len(p.parts))
	for _, pt := range p.parts {
		end, err := p.config.Log.End(ctx, pt.partition)
		if err != nil {
			return nil, fmt.Errorf("lag of partition %d: %w", pt.partition, err)
		}
		pt.ends(end)
		list = append(list, pt.shown())
	}
	return list, nil
}

// Stopped are the partitions that are folded no further.
func (p *Projector) Stopped() (list []int) {
	for _, pt := range p.parts {
		if pt.shown().Stopped != "" {
			list = append(list, pt.partition)
		}
	}
	return list
}

// Behind is how many records of the partition's log are not folded, as far as the projector knows without asking the log.
func (p *Projector) Behind(partition int) uint64 {
	pt := p.byNo[partition]
	if pt == nil {
		return 0
	}
	return uint64(pt.lag().Records)
}
