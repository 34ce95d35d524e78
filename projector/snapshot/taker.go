package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/journal"
	"walletd/projector/view"
)

// Schedule says when snapshots are taken by themselves.
type Schedule struct {
	At    string // "15:04", UTC, every day; "": not by the clock
	Every uint64 // events since the newest one; 0: not by their number
}

// Validate reports a time that is none.
func (s Schedule) Validate() error {
	if _, err := s.last(time.Now()); err != nil {
		return fmt.Errorf("%q is no time of day like 00:00", s.At)
	}
	return nil
}

// last is the latest time of the schedule that is not in the future.
func (s Schedule) last(now time.Time) (time.Time, error) {
	if s.At == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse("15:04", s.At)
	if err != nil {
		return t, err
	}
	at := now.UTC().Truncate(24 * time.Hour).Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
	if at.After(now) {
		at = at.AddDate(0, 0, -1)
	}
	return at, nil
}

// TakerConfig says what a Taker stands on.
type TakerConfig struct {
	View     *view.View
	Log      journal.Log
	Taking   Taking
	Schedule Schedule
	Look     time.Duration // 1 s: between two looks at the schedule
	Settle   time.Duration // 1 min: after the start nothing is taken by the schedule; the projection catches up first
}

// Taker takes snapshots of a projection, when it is told to and by a schedule, one at a time.
type Taker struct {
	cfg    TakerConfig
	busy   chan struct{} // holds a token while one is taken, and for ever when it is closed
	closed context.Context
	end    context.CancelFunc

	mu     sync.Mutex // guards what follows
	newest time.Time  // of the store, as last seen
	events uint64     // in it
	known  bool
	size   int64
	took   time.Duration
	failed uint64
}

// NewTaker makes a Taker.
func NewTaker(c TakerConfig) (*Taker, error) {
	if err := c.Schedule.Validate(); err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	if c.Look == 0 {
		c.Look = time.Second
	}
	if c.Settle == 0 {
		c.Settle = time.Minute
	}
	if c.Taking.Now == nil {
		c.Taking.Now = time.Now
	}
	t := &Taker{cfg: c, busy: make(chan struct{}, 1)}
	t.closed, t.end = context.WithCancel(context.Background())
	return t, nil
}

// Close gives up what is being taken, and waits until nothing looks at the projection any more.
func (t *Taker) Close() {
	t.end()
	t.busy <- struct{}{}
}

// ErrBusy says that a snapshot is being taken at the moment.
var ErrBusy = errors.New("a snapshot is being taken already")

// Take takes one now. When only the deletion of old ones fails, the snapshot and an error are answered.
func (t *Taker) Take(ctx context.Context) (*Manifest, error) {
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	default:
		return nil, ErrBusy
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.closed, cancel)()
	log, began := t.cfg.Taking.Shelf.log(), time.Now()
	m, err := t.take(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if m != nil {
		t.newest, t.events, t.known, t.size, t.took = m.CreatedAt, m.Events(), true, m.Size(), time.Since(began)
		log.Info("snapshot taken", "snapshot", m.ID, "to", t.cfg.Taking.Shelf.Store.String(), "events", t.events, "bytes", t.size, "took", t.took)
	}
	if err != nil && ctx.Err() == nil {
		t.failed++
		log.Error("a snapshot failed; what was there is still there", "to", t.cfg.Taking.Shelf.Store.String(), "error", err)
	}
	return m, err
}

func (t *Taker) take(ctx context.Context) (m *Manifest, err error) {
	cut := t.cfg.View.Cut()
	defer func() { err = errors.Join(err, cut.Close()) }()
	return t.cfg.Taking.Take(ctx, FromView(cut, t.cfg.Log))
}

// Run takes snapshots by the schedule until ctx ends. One that fails is told and tried again, later and later.
func (t *Taker) Run(ctx context.Context) error {
	rest := t.cfg.Settle
	if t.cfg.Schedule == (Schedule{}) {
		<-ctx.Done()
		return ctx.Err()
	}
	for wait := t.cfg.Settle; ; wait = t.cfg.Look {
		if err := pause(ctx, wait); err != nil {
			return err
		}
		due, err := t.due(ctx)
		if err == nil && due {
			_, err = t.Take(ctx)
		} else if err != nil && ctx.Err() == nil {
			t.cfg.Taking.Shelf.log().Warn("the snapshots cannot be looked at; tried again", "in", rest, "error", err)
		}
		if err == nil {
			rest = t.cfg.Settle
			continue
		}
		if err := pause(ctx, rest); err != nil {
			return err
		}
		rest = min(2*rest, time.Hour)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due reports whether the schedule wants one. The store is asked only when it seems so: another process may have taken it.
func (t *Taker) due(ctx context.Context) (bool, error) {
	events, err := t.folded()
	if err != nil || events == 0 {
		return false, err
	}
	if known, wanted := t.wanted(events); known && !wanted {
		return false, nil
	}
	all, err := t.cfg.Taking.Shelf.List(ctx)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	t.newest, t.events, t.known = time.Time{}, 0, true
	for _, e := range all {
		if e.Err == nil {
			t.newest, t.events, t.size = e.Manifest.CreatedAt, e.Manifest.Events(), e.Manifest.Size()
			break
		}
	}
	t.mu.Unlock()
	_, wanted := t.wanted(events)
	return wanted, nil
}

func (t *Taker) wanted(events uint64) (known, wanted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, _ := t.cfg.Schedule.last(t.cfg.Taking.Now()) // it was validated
	byClock := t.cfg.Schedule.At != "" && t.newest.Before(at) && events > t.events
	byEvents := t.cfg.Schedule.Every > 0 && events >= t.events+t.cfg.Schedule.Every
	return t.known, byClock || byEvents
}

// folded is the number of events in the projection.
func (t *Taker) folded() (n uint64, err error) {
	for p := range t.cfg.View.Partitions() {
		at, err := t.cfg.View.Position(p)
		if err != nil {
			return 0, err
		}
		n += at.Seq
	}
	return n, nil
}

// The metrics.
var (
	lastTime     = prometheus.NewDesc("wallet_snapshot_last_timestamp_seconds", "When the newest snapshot that this process has seen was taken; 0: none.", nil, nil)
	lastSize     = prometheus.NewDesc("wallet_snapshot_size_bytes", "Size of the newest snapshot.", nil, nil)
	lastTook     = prometheus.NewDesc("wallet_snapshot_duration_seconds", "How long the last snapshot of this process took, read back included.", nil, nil)
	failedTotal  = prometheus.NewDesc("wallet_snapshot_failures_total", "Snapshots that failed.", nil, nil)
	damagedTotal = prometheus.NewDesc("wallet_snapshot_damaged_total", "Times that a damaged or foreign snapshot was passed over. An alarm.", nil, nil)
)

var _ prometheus.Collector = (*Taker)(nil)

// Describe implements prometheus.Collector.
func (t *Taker) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastTime, lastSize, lastTook, failedTotal, damagedTotal} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (t *Taker) Collect(out chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := 0.0
	if !t.newest.IsZero() {
		at = float64(t.newest.UnixMilli()) / 1000
	}
	out <- prometheus.MustNewConstMetric(lastTime, prometheus.GaugeValue, at)
	out <- prometheus.MustNewConstMetric(lastSize, prometheus.GaugeValue, float64(t.size))
	out <- prometheus.MustNewConstMetric(lastTook, prometheus.GaugeValue, t.took.Seconds())
	out <- prometheus.MustNewConstMetric(failedTotal, prometheus.CounterValue, float64(t.failed))
	out <- prometheus.MustNewConstMetric(damagedTotal, prometheus.CounterValue, float64(t.cfg.Taking.Shelf.Damaged()))
}
