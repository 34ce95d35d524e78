package projector

import (
	"maps"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/journal"
)

// counts are the projector's own counters.
type counts struct {
	mu      sync.Mutex
	events  uint64
	dropped map[journal.Verdict]uint64
}

func (c *counts) add(events int, dropped map[journal.Verdict]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += uint64(events)
	if c.dropped == nil {
		c.dropped = map[journal.Verdict]uint64{journal.DropStaleEpoch: 0, journal.DropDuplicate: 0}
	}
	for why, n := range dropped {
		c.dropped[why] += n
	}
}

// Dropped counts the frames that fencing kept out, by reason, since the projector was made.
func (p *Projector) Dropped() map[journal.Verdict]uint64 {
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	return maps.Clone(p.counts.dropped)
}

// The metrics (surface, "Metrics").
var (
	lagRecords   = prometheus.NewDesc("wallet_projection_lag_records", "Records of the journal that the projection had not folded when it last looked.", []string{"partition"}, nil)
	lagSeconds   = prometheus.NewDesc("wallet_projection_lag_seconds", "How old the projection may be. Up to 2 s under load are on purpose: a reader's question ends that wait.", []string{"partition"}, nil)
	stopped      = prometheus.NewDesc("wallet_projection_stopped", "1: the partition is projected no further: its journal is damaged, or the projection's disk is full or broken.", []string{"partition"}, nil)
	eventsTotal  = prometheus.NewDesc("wallet_projection_events_total", "Events folded.", nil, nil)
	droppedTotal = prometheus.NewDesc("wallet_projection_dropped_total", "Frames that fencing kept out of the projection.", []string{"why"}, nil)
	conservation = prometheus.NewDesc("wallet_conservation_error_minor_units", "Sum of all balances, reservations and money in flight: 0, or money was created or lost.", []string{"asset"}, nil)
	inFlight     = prometheus.NewDesc("wallet_channel_in_flight_minor_units", "Decided credits that have not arrived yet.", []string{"asset"}, nil)
	channelsOff  = prometheus.NewDesc("wallet_channels_off", "Channels whose credits are not the legs that were decided: 0, or deliveries were lost, doubled or changed.", nil, nil)
)

var _ prometheus.Collector = (*Projector)(nil)

// Describe implements prometheus.Collector.
func (p *Projector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagRecords, lagSeconds, stopped, eventsTotal, droppedTotal, conservation, inFlight, channelsOff} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It asks nobody: the ends of the log are as last seen.
func (p *Projector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, pt := range p.parts {
		l, n := pt.shown(), strconv.Itoa(pt.partition)
		gauge(lagRecords, float64(l.Records), n)
		gauge(lagSeconds, l.Seconds, n)
		down := 0.0
		if l.Stopped != "" {
			down = 1
		}
		gauge(stopped, down, n)
	}
	p.counts.mu.Lock()
	out <- prometheus.MustNewConstMetric(eventsTotal, prometheus.CounterValue, float64(p.counts.events))
	for why, n := range p.counts.dropped {
		out <- prometheus.MustNewConstMetric(droppedTotal, prometheus.CounterValue, float64(n), string(why))
	}
	p.counts.mu.Unlock()
	c := p.config.View.Conservation()
	for asset, sum := range c.Error {
		gauge(conservation, float64(sum), p.config.Assets.Code(asset))
	}
	for asset, sum := range c.InFlight {
		gauge(inFlight, float64(sum), p.config.Assets.Code(asset))
	}
	gauge(channelsOff, float64(len(c.Off)))
}
