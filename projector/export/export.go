package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// Formats are the kinds of files.
var Formats = []string{"csv", "jsonl", "sqlite"}

// Config says what to export, and how.
type Config struct {
	Log        journal.Log
	Assets     journal.Assets
	Partitions []int // nil: all
	// FromMS and ToMS choose the events of FromMS ≤ time < ToMS, ms since 1970; 0: no bound.
	FromMS, ToMS int64
	// FromSeq and ToSeq choose the events of FromSeq ≤ seq ≤ ToSeq of one partition; 0: no bound.
	FromSeq, ToSeq uint64

	Format string    // one of Formats
	Out    io.Writer // of CSV and JSON lines
	Path   string    // of SQLite: an empty file

	Progress func(stage string, done, total int64) // records read, now and then; nil: nobody is told
}

func (c *Config) validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("no log"))
	}
	if !slices.Contains(Formats, c.Format) {
		errs = append(errs, fmt.Errorf("format %q, want one of %v", c.Format, Formats))
	}
	if c.Format == "sqlite" && c.Path == "" || c.Format != "sqlite" && c.Out == nil {
		errs = append(errs, errors.New("nowhere to write to"))
	}
	if c.ToMS != 0 && c.ToMS <= c.FromMS {
		errs = append(errs, errors.New("the time range is empty"))
	}
	if c.ToSeq != 0 && c.ToSeq < c.FromSeq {
		errs = append(errs, errors.New("the range of positions is empty"))
	}
	if (c.FromSeq != 0 || c.ToSeq != 0) && len(c.Partitions) != 1 {
		errs = append(errs, errors.New("positions are of one partition"))
	}
	if c.Progress == nil {
		c.Progress = func(string, int64, int64) {}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// Summary is what an export has written.
type Summary struct {
	Events uint64         `json:"events"` // in the selection, those included that move nothing
	Legs   uint64         `json:"legs"`
	Assets []AssetSummary `json:"assets"`
	// Unbalanced is the position of the first event whose debits are not its credits, "" if there is none.
	Unbalanced string `json:"unbalanced,omitempty"`
}

// AssetSummary is one asset's sums in the selection, minor units.
type AssetSummary struct {
	Asset    string `json:"asset"`
	Debit    Sum    `json:"debit"`
	Credit   Sum    `json:"credit"`
	InFlight Sum    `json:"in_flight"` // credits of channels − their debits: of a whole journal, what is decided and not yet delivered
}

// Balanced reports whether every event's debits are its credits, and the sums are.
func (s *Summary) Balanced() bool {
	return s.Unbalanced == "" && !slices.ContainsFunc(s.Assets, func(a AssetSummary) bool { return a.Debit != a.Credit })
}

// writer is a format.
type writer interface {
	write(*leg) error
	// finish completes what was written.
	finish(*Summary) error
}

// Run writes the journal's legs and answers their sums. A damaged journal is journal.ErrDamaged, behind everything before it.
func Run(ctx context.Context, c Config) (Summary, error) {
	if err := c.validate(); err != nil {
		return Summary{}, err
	}
	w, closeAll, err := c.writer(ctx)
	if err != nil {
		return Summary{}, fmt.Errorf("export: %w", err)
	}
	defer closeAll()
	x := exporter{config: &c, to: w, sums: map[journal.Asset]*sums{}, books: books{partitions: c.Log.Partitions()}}
	if x.books.names, err = names(ctx, &c); err != nil {
		return Summary{}, fmt.Errorf("export: %w", err)
	}
	_, err = reconcile.Replay(ctx, reconcile.ReplayConfig{Log: c.Log, Partitions: c.Partitions, Fold: true,
		Progress: func(done, total int64) { c.Progress("legs", done, total) }}, x.take)
	if err != nil {
		return Summary{}, fmt.Errorf("export: %w", err)
	}
	summary := x.summary()
	if err := w.finish(&summary); err != nil {
		return Summary{}, fmt.Errorf("export: %w", err)
	}
	return summary, nil
}

func (c *Config) writer(ctx context.Context) (writer, func(), error) {
	switch c.Format {
	case "csv":
		return newCSV(c.Out, c.Assets), func() {}, nil
	case "jsonl":
		return newJSONLines(c.Out, c.Assets), func() {}, nil
	}
	return newSQLite(ctx, c.Path, c.Assets)
}

// names are those of all accounts: a delivery names its payer by handle alone, whichever partition that one is in.
func names(ctx context.Context, c *Config) (reconcile.Names, error) {
	all := reconcile.Names{}
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: c.Log, Progress: func(done, total int64) { c.Progress("names", done, total) }},
		func(r *reconcile.Replayed) error {
			all = r.Names
			return nil
		})
	return all, err
}

// exporter takes events.
type exporter struct {
	config *Config
	to     writer
	books  books
	event  event
	timeMS int64 // whose text event.time is
	sums   map[journal.Asset]*sums
	total  Summary
}

// sums are an asset's.
type sums struct{ debit, credit, inFlight Sum }

func (x *exporter) take(r *reconcile.Replayed) error {
	if r.Event == nil || !x.config.selects(r.Event) {
		return nil
	}
	x.total.Events++
	if len(r.Changes) == 0 && len(r.Legs) == 0 {
		return nil
	}
	legs := x.books.of(r)
	if len(legs) == 0 {
		return nil
	}
	x.describe(r)
	for i := range legs {
		legs[i].event = &x.event
		x.count(&legs[i])
		if err := x.to.write(&legs[i]); err != nil {
			return err
		}
	}
	if x.total.Unbalanced == "" && !balanced(legs) {
		x.total.Unbalanced = x.event.position
	}
	return nil
}

func (c *Config) selects(e *journal.Event) bool {
	return e.TimeMS >= c.FromMS && (c.ToMS == 0 || e.TimeMS < c.ToMS) && e.Seq >= c.FromSeq && (c.ToSeq == 0 || e.Seq <= c.ToSeq)
}

func (x *exporter) describe(r *reconcile.Replayed) {
	e := &x.event
	e.position, e.key, e.refer, e.status = r.Event.String(), string(r.Row.Key), string(r.Row.Reference), r.Event.Status.Code()
	if e.time == "" || x.timeMS != r.Event.TimeMS {
		x.timeMS, e.time = r.Event.TimeMS, time.UnixMilli(r.Event.TimeMS).UTC().Format("2006-01-02T15:04:05.000Z")
	}
}

func (x *exporter) count(l *leg) {
	s := x.sums[l.asset]
	if s == nil {
		s = &sums{}
		x.sums[l.asset] = s
	}
	x.total.Legs++
	sign := int64(-1)
	if l.credit {
		s.credit.Add(int64(l.amount))
		sign = 1
	} else {
		s.debit.Add(int64(l.amount))
	}
	if l.part == InFlight {
		s.inFlight.Add(sign * int64(l.amount))
	}
}

// balanced reports whether an event's debits are its credits, per asset. An event has few assets, mostly one.
func balanced(legs []leg) bool {
	for i := range legs {
		var sum Sum
		for j := range legs {
			switch {
			case legs[j].asset != legs[i].asset:
			case legs[j].credit:
				sum.Add(int64(legs[j].amount))
			default:
				sum.Add(-int64(legs[j].amount))
			}
		}
		if sum != (Sum{}) {
			return false
		}
		if !slices.ContainsFunc(legs[i:], func(l leg) bool { return l.asset != legs[i].asset }) {
			return true
		}
	}
	return true
}

func (x *exporter) summary() Summary {
	s := x.total
	s.Assets = []AssetSummary{}
	var assets []journal.Asset
	for a := range x.sums {
		assets = append(assets, a)
	}
	slices.Sort(assets)
	for _, a := range assets {
		s.Assets = append(s.Assets, AssetSummary{x.config.Assets.Code(a), x.sums[a].debit, x.sums[a].credit, x.sums[a].inFlight})
	}
	return s
}
