package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/projector/events"
)

// Config says who is told. Zero values get the defaults named here.
type Config struct {
	Source    *events.Source
	Endpoints []Endpoint
	Dir       string // of places and dead letters
	Logger    *slog.Logger

	GiveUp   time.Duration // how long an event is tried; 0 = 24 h
	RetryMin time.Duration // between two tries, doubling, with jitter; 0 = 5 s
	RetryMax time.Duration // 0 = 30 min
	Answer   time.Duration // 0 = 15 s
}

// Dispatcher delivers. Its methods may be called from several goroutines.
type Dispatcher struct {
	config    Config
	receivers []*receiver
}

// receiver is an endpoint with what is known of it.
type receiver struct {
	*Dispatcher
	Endpoint
	keys   [][]byte
	client *http.Client
	store  *store

	delivered, failed, dead atomic.Uint64
}

// New reads the places of the endpoints.
func New(c Config) (*Dispatcher, error) {
	for to, d := range map[*time.Duration]time.Duration{&c.GiveUp: 24 * time.Hour, &c.RetryMin: 5 * time.Second, &c.RetryMax: 30 * time.Minute, &c.Answer: answerWithin} {
		if *to == 0 {
			*to = d
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	d := &Dispatcher{config: c}
	seen := map[string]bool{}
	for _, e := range c.Endpoints {
		if err := e.Validate(); err != nil || seen[e.Name] {
			return nil, fmt.Errorf("webhook %q (named twice: %t): %w", e.Name, seen[e.Name], err)
		}
		seen[e.Name] = true
		r := &receiver{Dispatcher: d, Endpoint: e, client: e.newClient(c.Answer)}
		var err error
		if r.keys, err = e.keys(); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", e.Name, err)
		}
		r.store, err = openStore(c.Dir, e.Name, c.Source.Partitions(), func(p int) (events.Place, error) {
			seq, err := c.Source.Behind(p, events.Place{})
			return events.Place{Seq: seq, Number: math.MaxInt}, err
		})
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", e.Name, err)
		}
		d.receivers = append(d.receivers, r)
	}
	return d, nil
}

// Run delivers until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, r := range d.receivers {
		for p := range d.config.Source.Partitions() {
			running.Go(func() { r.run(ctx, p) })
		}
	}
	running.Wait()
	for _, r := range d.receivers {
		r.client.CloseIdleConnections()
	}
	return ctx.Err()
}

func (r *receiver) run(ctx context.Context, partition int) {
	at, gone := r.store.place(partition)
	for ctx.Err() == nil && !gone {
		next, idle, err := r.batch(ctx, partition, at)
		at = next
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errGone):
			r.config.Logger.Warn("a webhook's receiver wants no more: 410 Gone; remove its place to begin again", "webhook", r.Name, "file", r.store.path(".json"))
			if err := r.store.gone(); err != nil {
				r.config.Logger.Error("that a receiver wants no more cannot be remembered", "webhook", r.Name, "err", err)
			}
			return
		case err != nil:
			if !errors.Is(err, events.ErrNameless) { // another partition is a moment behind
				r.config.Logger.Warn("a webhook waits", "webhook", r.Name, "partition", partition, "err", err)
			}
			sleep(ctx, time.Second/4)
		case idle:
			if err := r.config.Source.Wait(ctx, partition, at); err != nil {
				sleep(ctx, time.Second)
			}
		}
		_, gone = r.store.place(partition)
	}
}

// batch delivers some events and answers the place behind them. Errors: those of deliver, and of the source.
func (r *receiver) batch(ctx context.Context, partition int, from events.Place) (at events.Place, idle bool, err error) {
	items, next, err := r.config.Source.Read(partition, from, events.Bounds{Events: 32})
	at = from
	for i := range items {
		if !r.wants(&items[i]) {
			continue
		}
		if err := r.deliver(ctx, &items[i]); err != nil {
			return at, false, err
		}
		at = events.PlaceOf(items[i].ID)
		if err := r.remember(ctx, partition, at); err != nil {
			return at, false, err
		}
	}
	if next != at {
		err = errors.Join(err, r.remember(ctx, partition, next))
	}
	return next, len(items) == 0, err
}

// rememberAgain is the pause before a disk is tried again.
const rememberAgain = time.Second / 4

// remember keeps the place, however long the disk does not take it: until then nothing more is sent than what a crash would send
// again. Its error is ctx's.
func (r *receiver) remember(ctx context.Context, partition int, at events.Place) error {
	for said := false; ; said = true {
		err := r.store.reached(partition, at)
		if err == nil {
			return nil
		}
		if !said {
			r.config.Logger.Error("a webhook waits: how far it is cannot be remembered", "webhook", r.Name, "partition", partition, "err", err)
		}
		if sleep(ctx, rememberAgain); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// deliver sends an event until it is taken or given up. Errors: ctx's, errGone, the disk's.
func (r *receiver) deliver(ctx context.Context, i *events.Item) error {
	id, body := MessageID(i.ID), Payload(i)
	deadline := time.Now().Add(r.config.GiveUp)
	for pause := r.config.RetryMin; ; pause = min(2*pause, r.config.RetryMax) {
		if _, gone := r.store.place(i.ID.Partition); gone {
			return errGone
		}
		err := r.post(ctx, r.client, r.keys, id, body)
		switch {
		case err == nil:
			r.delivered.Add(1)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errGone):
			return err
		}
		r.failed.Add(1)
		if time.Now().After(deadline) {
			r.config.Logger.Error("a webhook's event is given up", "webhook", r.Name, "id", id, "err", err, "file", r.store.path(deadFile))
			if err := r.store.bury(Dead{ID: id, At: time.Now().UTC(), Reason: err.Error(), Body: body}); err != nil {
				return err
			}
			r.dead.Add(1)
			return nil
		}
		sleep(ctx, pause/2+rand.N(pause))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// The metrics.
var (
	attempts = prometheus.NewDesc("wallet_webhook_attempts_total", "Deliveries tried: delivered, failed (tried again), dead (given up).", []string{"webhook", "result"}, nil)
	behind   = prometheus.NewDesc("wallet_webhook_lag_events", "Events of the journal, folded, that the receiver is behind.", []string{"webhook"}, nil)
	disabled = prometheus.NewDesc("wallet_webhook_disabled", "1: the receiver answered 410 Gone, and is told nothing more.", []string{"webhook"}, nil)
)

var _ prometheus.Collector = (*Dispatcher)(nil)

// Describe implements prometheus.Collector.
func (d *Dispatcher) Describe(out chan<- *prometheus.Desc) {
	out <- attempts
	out <- behind
	out <- disabled
}

// Collect implements prometheus.Collector.
func (d *Dispatcher) Collect(out chan<- prometheus.Metric) {
	for _, r := range d.receivers {
		for result, n := range map[string]*atomic.Uint64{"delivered": &r.delivered, "failed": &r.failed, "dead": &r.dead} {
			out <- prometheus.MustNewConstMetric(attempts, prometheus.CounterValue, float64(n.Load()), r.Name, result)
		}
		lag, off := uint64(0), 0.0
		for p := range d.config.Source.Partitions() {
			at, gone := r.store.place(p)
			if n, err := d.config.Source.Behind(p, at); err == nil {
				lag += n
			}
			if gone {
				off = 1
			}
		}
		out <- prometheus.MustNewConstMetric(behind, prometheus.GaugeValue, float64(lag), r.Name)
		out <- prometheus.MustNewConstMetric(disabled, prometheus.GaugeValue, off, r.Name)
	}
}
