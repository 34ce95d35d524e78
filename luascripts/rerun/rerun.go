package rerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/luascripts"
)

// Config says what to run again, and where.
type Config struct {
	Log        journal.Log
	Partitions []int                 // nil: all
	Shards     []*luascripts.Scratch // each takes one partition after the other
	// Progress is told how many of the log's records are done, now and then, by one goroutine at a time; nil: nobody.
	Progress func(done, total int64)
}

func (c *Config) validate() error {
	var errs []error
	if c.Log == nil {
		return errors.New("rerun: no log")
	}
	if len(c.Shards) == 0 {
		errs = append(errs, errors.New("no scratch shard"))
	}
	if c.Partitions == nil {
		for p := range c.Log.Partitions() {
			c.Partitions = append(c.Partitions, p)
		}
	}
	c.Partitions = slices.Compact(slices.Sorted(slices.Values(c.Partitions)))
	for _, p := range c.Partitions {
		if p < 0 || p >= c.Log.Partitions() {
			errs = append(errs, fmt.Errorf("there is no partition %d of %d", p, c.Log.Partitions()))
		}
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("rerun: %w", err)
	}
	return nil
}

// Report is what running a journal again has shown. The same journal and the same acts give the same report.
type Report struct {
	Events     uint64                       `json:"events"`    // whose decisions were compared and agree
	Checked    uint64                       `json:"checked"`   // records compared behind them: accounts, key records, reservations
	Decisions  map[string]map[string]uint64 `json:"decisions"` // of Events, by act and outcome
	Partitions []PartitionReport            `json:"partitions"`
	// Divergences has the first one of each partition, the earliest in time first.
	Divergences []Divergence `json:"divergences"`
}

// OK reports whether every decision agrees.
func (r *Report) OK() bool { return len(r.Divergences) == 0 }

// PartitionReport is how far a partition was run.
type PartitionReport struct {
	Partition int    `json:"partition"`
	Records   int64  `json:"records"` // of the log, read
	Events    uint64 `json:"events"`  // that agree
	Accounts  int    `json:"accounts"`
	Digest    string `json:"digest,omitempty"` // of the state at its end, which the scratch shard had, too, hex; "" when it diverged
}

// Divergence is the first event of a partition at which the journal, the acts and the Book do not agree.
type Divergence struct {
	Position journal.Position `json:"-"`
	Account  journal.Handle   `json:"-"`        // that differs, where it is one
	At       string           `json:"position"` // the event's; of the state at the end, the last one's
	TimeMS   int64            `json:"time_ms"`
	Offset   int64            `json:"offset"` // of its record in the log
	What     string           `json:"what"`   // decision, time, position, account …, key record and reservation of …, state at the end: …
	Journal  string           `json:"journal"`
	Acts     string           `json:"acts"` // of this build
	Book     string           `json:"book"` // of this build
}

func (d *Divergence) String() string {
	return fmt.Sprintf("event %s: %s\n    the journal has   %s\n    this build's acts %s\n    this build's Book %s", d.At, d.What, d.Journal, d.Acts, d.Book)
}

// Run runs the journal again, every partition from its first event on, and answers what it found. A journal that is damaged is
// journal.ErrDamaged; other errors are of servers and reading.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.validate(); err != nil {
		return Report{}, err
	}
	all := collected{config: &c, report: Report{Decisions: map[string]map[string]uint64{}, Divergences: []Divergence{}}}
	for _, p := range c.Partitions {
		end, err := c.Log.End(ctx, p)
		if err != nil {
			return Report{}, fmt.Errorf("rerun: end of partition %d: %w", p, err)
		}
		all.total += end
	}
	next := make(chan int, len(c.Partitions))
	for _, p := range c.Partitions {
		next <- p
	}
	close(next)
	group, ctx := errgroup.WithContext(ctx)
	for _, shard := range c.Shards {
		group.Go(func() error {
			for p := range next {
				if err := newPartition(&all, shard, p).run(ctx); err != nil {
					return fmt.Errorf("rerun: partition %d: %w", p, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Report{}, err
	}
	return all.sorted(), nil
}

// collected is the report as partitions come in.
type collected struct {
	config *Config
	total  int64 // records

	mu     sync.Mutex // guards the rest
	done   int64      // records
	report Report
}

func (c *collected) progress(records int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += records
	c.config.Progress(c.done, max(c.total, c.done))
}

func (c *collected) add(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.report
	r.Partitions = append(r.Partitions, p.report)
	r.Events, r.Checked = r.Events+p.report.Events, r.Checked+p.checked
	if p.diverged != nil {
		r.Divergences = append(r.Divergences, *p.diverged)
	}
	for decision, n := range p.decisions {
		of := r.Decisions[decision.op.String()]
		if of == nil {
			of = map[string]uint64{}
			r.Decisions[decision.op.String()] = of
		}
		of[decision.status.String()] += n
	}
}

func (c *collected) sorted() Report {
	slices.SortFunc(c.report.Partitions, func(a, b PartitionReport) int { return a.Partition - b.Partition })
	slices.SortFunc(c.report.Divergences, func(a, b Divergence) int {
		return cmp.Or(cmp.Compare(a.TimeMS, b.TimeMS), a.Position.Partition-b.Position.Partition)
	})
	return c.report
}
