package events

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics.
var (
	lagEvents      = prometheus.NewDesc("wallet_events_lag_events", "Events of the journal, folded, that the topic of public events does not have yet.", []string{"partition"}, nil)
	lagSeconds     = prometheus.NewDesc("wallet_events_lag_seconds", "How long ago the topic of public events had last all that was folded; 0: it has.", []string{"partition"}, nil)
	publishedTotal = prometheus.NewDesc("wallet_events_published_total", "Public events written to the topic, repeats included.", []string{"partition"}, nil)
	failing        = prometheus.NewDesc("wallet_events_failing", "1: the partition's public events cannot be published at present; the log says why.", []string{"partition"}, nil)
)

var _ prometheus.Collector = (*Publisher)(nil)

// Describe implements prometheus.Collector.
func (p *Publisher) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagEvents, lagSeconds, publishedTotal, failing} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Publisher) Collect(out chan<- prometheus.Metric) {
	for _, l := range p.Lag() {
		n, bad := strconv.Itoa(l.Partition), 0.0
		if l.Trouble != "" {
			bad = 1
		}
		out <- prometheus.MustNewConstMetric(lagEvents, prometheus.GaugeValue, float64(l.Events), n)
		out <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, l.Seconds, n)
		out <- prometheus.MustNewConstMetric(publishedTotal, prometheus.CounterValue, float64(l.Published), n)
		out <- prometheus.MustNewConstMetric(failing, prometheus.GaugeValue, bad, n)
	}
}

// Lag is how far a partition's topic is behind what is folded.
type Lag struct {
	Partition int     `json:"partition"`
	Events    uint64  `json:"events"`  // of the journal
	Seconds   float64 `json:"seconds"` // since it had all
	Published uint64  `json:"published"`
	Trouble   string  `json:"trouble,omitempty"`
}

// Lag answers for every partition.
func (p *Publisher) Lag() []Lag {
	list := make([]Lag, 0, len(p.parts))
	for _, pt := range p.parts {
		pt.mu.Lock()
		l := Lag{Partition: pt.partition, Published: pt.published, Trouble: pt.trouble}
		at, current := pt.shown, pt.current
		pt.mu.Unlock()
		behind, err := p.config.Source.Behind(pt.partition, at)
		if err != nil && l.Trouble == "" {
			l.Trouble = err.Error()
		}
		if l.Events = behind; behind > 0 {
			l.Seconds = time.Since(current).Seconds()
		}
		list = append(list, l)
	}
	return list
}
