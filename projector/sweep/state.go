package sweep

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/journal"
)

// findingsMax bounds the differences that are remembered.
const findingsMax = 1000

// Report is what has been found so far.
type Report struct {
	Sweeps      int              `json:"sweeps"`              // full ones
	LastFull    *time.Time       `json:"last_full,omitempty"` // when the last full one ended
	AgeSeconds  float64          `json:"age_seconds"`         // since then, or since the process began
	Compared    map[string]int64 `json:"compared"`            // accounts, by asset, all together
	Now         int64            `json:"now"`                 // accounts, in the sweep under way
	Book        int64            `json:"book"`                // accounts in the last full sweep
	LeftOut     int64            `json:"left_out"`            // pages that could not be compared when they were due
	LastLeftOut string           `json:"last_left_out,omitempty"`
	Differences []Finding        `json:"differences"`
}

// state is what a Sweeper tells.
type state struct {
	sweeps    int
	last      time.Time
	byAsset   map[journal.Asset]int64
	now, book int64
	leftOut   int64
	why       string
	findings  map[journal.Handle]Finding
}

func newState() state {
	return state{byAsset: map[journal.Asset]int64{}, findings: map[journal.Handle]Finding{}}
}

func (s *Sweeper) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = 0
}

func (s *Sweeper) end(whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if whole {
		s.sweeps, s.last, s.book = s.sweeps+1, time.Now(), s.now
	}
}

func (s *Sweeper) left(partition int, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leftOut, s.why = s.leftOut+1, why.Error()
	s.config.Logger.Debug("accounts could not be compared now", "partition", partition, "err", why)
}

func (s *Sweeper) compared(accounts map[journal.Asset]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for asset, n := range accounts {
		s.byAsset[asset] += int64(n)
		s.now += int64(n)
	}
}

// right says that an account is as it must be: its money, and whole: everything.
func (s *Sweeper) right(h journal.Handle, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, was := s.findings[h]; was && (whole || f.Why.Available != 0 || f.Why.Reserved != 0) {
		delete(s.findings, h)
		s.config.Logger.Warn("an account is again what the journal says", "account", f.Account, "shard", f.Shard)
	}
}

// found remembers a difference, and says it aloud when it is new or another one.
func (s *Sweeper) found(f Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.findings[f.handle]
	f.Found = time.Now()
	if known {
		f.Found = before.Found
	} else if len(s.findings) >= findingsMax {
		return
	}
	s.findings[f.handle] = f
	if known && before.Why.What == f.Why.What && before.Why.Available == f.Why.Available && before.Why.Reserved == f.Why.Reserved {
		return
	}
	event := f.Why.Position
	if event == "" {
		event = "none"
	}
	s.config.Logger.Error("an account in a shard is not what the journal says; walletd why shows its events", "account", f.Account, "partition", f.Partition, "shard", f.Shard,
		"asset", f.Asset, "position", f.Position, "first_offending_event", event, "what", f.Why.What, "available", int64(f.Why.Available), "reserved", int64(f.Why.Reserved), "have", f.Why.Have, "want", f.Why.Want)
}

// Report answers what has been found so far.
func (s *Sweeper) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Sweeps: s.sweeps, AgeSeconds: s.age().Seconds(), Compared: map[string]int64{}, Now: s.now, Book: s.book, LeftOut: s.leftOut, LastLeftOut: s.why, Differences: []Finding{}}
	if s.sweeps > 0 {
		last := s.last.UTC()
		r.LastFull = &last
	}
	for asset, n := range s.byAsset {
		r.Compared[s.config.Assets.Code(asset)] = n
	}
	r.Differences = slices.AppendSeq(r.Differences, maps.Values(s.findings))
	slices.SortFunc(r.Differences, func(a, b Finding) int { return strings.Compare(a.Account, b.Account) })
	return r
}

// age is how long ago the last full sweep ended, or how long there was none.
func (s *Sweeper) age() time.Duration {
	if s.sweeps == 0 {
		return time.Since(s.began)
	}
	return time.Since(s.last)
}

// The metrics.
var (
	comparedTotal = prometheus.NewDesc("wallet_reconcile_accounts_compared_total", "Accounts of shards that were held against the journal's fold at the same seq.", []string{"asset"}, nil)
	differences   = prometheus.NewDesc("wallet_reconcile_differences", "Accounts whose shard has them otherwise than the journal says: 0, or money in a shard is wrong.", []string{"asset"}, nil)
	bookAccounts  = prometheus.NewDesc("wallet_reconcile_book_accounts", "Accounts that the last full sweep compared.", nil, nil)
	sweepAge      = prometheus.NewDesc("wallet_reconcile_sweep_age_seconds", "Since the last full sweep over all accounts ended, or since the process began.", nil, nil)
	sweepsTotal   = prometheus.NewDesc("wallet_reconcile_sweeps_total", "Full sweeps over all accounts.", nil, nil)
	leftOutTotal  = prometheus.NewDesc("wallet_reconcile_left_out_total", "Pages of accounts that could not be compared when they were due: nobody served them, or the projection was behind.", nil, nil)
)

var _ prometheus.Collector = (*Sweeper)(nil)

// Describe implements prometheus.Collector.
func (s *Sweeper) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{comparedTotal, differences, bookAccounts, sweepAge, sweepsTotal, leftOutTotal} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Sweeper) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	wrong := map[journal.Asset]int{}
	for asset, n := range s.byAsset {
		put(comparedTotal, prometheus.CounterValue, float64(n), s.config.Assets.Code(asset))
		wrong[asset] = 0
	}
	for _, f := range s.findings {
		wrong[f.asset]++
	}
	for asset, n := range wrong {
		put(differences, prometheus.GaugeValue, float64(n), s.config.Assets.Code(asset))
	}
	put(bookAccounts, prometheus.GaugeValue, float64(s.book))
	put(sweepAge, prometheus.GaugeValue, s.age().Seconds())
	put(sweepsTotal, prometheus.CounterValue, float64(s.sweeps))
	put(leftOutTotal, prometheus.CounterValue, float64(s.leftOut))
}
