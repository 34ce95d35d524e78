package gateway

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/gateway/push"
	"walletd/journal"
)

// Metrics are the gateway's (surface, "Metrics"). Counters of the hot path are resolved once, per status.
type Metrics struct {
	transfers     [64]prometheus.Counter // by status
	wsConnections prometheus.Gauge
	wsDisconnects *prometheus.CounterVec
	requests      *prometheus.HistogramVec
	inFlight      prometheus.Gauge
	reg           prometheus.Registerer // nil: metrics stay here
}

// NewMetrics registers the gateway's metrics; a nil registerer keeps them to itself.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		wsConnections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "wallet_ws_connections", Help: "Open WebSocket sessions."}),
		wsDisconnects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wallet_ws_disconnects_total", Help: "Ended WebSocket sessions by close code."}, []string{"code"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "wallet_http_request_duration_seconds", Help: "REST requests by route and status.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "wallet_in_flight", Help: "Acts of WebSocket sessions under way."}),
	}
	transfers := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wallet_transfers_total", Help: "Settled transfers, reservations, confirms and cancels by result and code."}, []string{"result", "code"})
	for s := range m.transfers {
		if st := journal.Status(s); st.Known() {
			result := "refused"
			if st.Accepted() {
				result = "accepted"
			}
			m.transfers[s] = transfers.WithLabelValues(result, st.String())
		}
	}
	m.reg = reg
	if reg != nil {
		reg.MustRegister(m.wsConnections, m.wsDisconnects, m.requests, m.inFlight, transfers)
	}
	return m
}

// past registers the counts of old keys.
func (m *Metrics) past(counts func() (found, cleared, failed uint64)) {
	if m.reg == nil {
		return
	}
	for i, outcome := range []string{"found", "cleared", "failed"} {
		m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "wallet_old_keys_total",
			Help: "Rows whose key a shard may have evicted: answered from the projection, sent on as new, or not answered in time.", ConstLabels: prometheus.Labels{"outcome": outcome}},
			func() float64 {
				found, cleared, failed := counts()
				return float64([]uint64{found, cleared, failed}[i])
			}))
	}
}

// pushes registers what subscribers are told.
func (m *Metrics) pushes(hub *push.Hub, unsent *atomic.Int64) {
	if m.reg == nil {
		return
	}
	count := func(name, help string, of func(push.Stats) uint64, labels prometheus.Labels) {
		m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return float64(of(hub.Stats())) }))
	}
	m.reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wallet_subscriptions", Help: "Accounts that WebSocket sessions have subscribed to, each once a session."},
			func() float64 { return float64(hub.Stats().Subscriptions) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wallet_pushes_unsent_bytes", Help: "Pushes that sessions have not been sent yet."},
			func() float64 { return float64(unsent.Load()) }))
	count("wallet_pushes_total", "Events pushed to subscribers.", func(s push.Stats) uint64 { return s.Pushed }, nil)
	count("wallet_push_gaps_total", "Times that a subscription missed something and asked the projection for it.", func(s push.Stats) uint64 { return s.Filled }, nil)
	count("wallet_push_interrupted_total", "Sessions ended because events that they were owed could not be had.", func(s push.Stats) uint64 { return s.Cut }, nil)
	const help = "Subscribes by how they began: with the events since, or with a balance."
	count("wallet_subscribes_total", help, func(s push.Stats) uint64 { return s.Resumed }, prometheus.Labels{"begin": "recovered"})
	count("wallet_subscribes_total", help, func(s push.Stats) uint64 { return s.Snapshots }, prometheus.Labels{"begin": "snapshot"})
}

func (m *Metrics) settled(s journal.Status) {
	if int(s) < len(m.transfers) && m.transfers[s] != nil {
		m.transfers[s].Inc()
	}
}

func (m *Metrics) disconnected(code int) {
	m.wsConnections.Dec()
	m.wsDisconnects.WithLabelValues(strconv.Itoa(code)).Inc()
}
