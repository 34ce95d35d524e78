package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"walletd/journal"
	"walletd/projector/view"
)

// audit is one run.
type audit struct {
	config    Config
	walkers   []*walker
	byNo      map[int]*walker
	channels  map[[2]int]*channel
	offending map[journal.Asset]journal.Position // first delivery that broke the conservation of an asset
	list      []*Difference
	more      int
	unchecked []string
	pending   []seek
	search    map[int]map[record][]*seek // second pass: what is looked for, per partition; nil in the first
}

func newAudit(c Config) *audit {
	return &audit{config: c, byNo: map[int]*walker{}, channels: map[[2]int]*channel{}, offending: map[journal.Asset]journal.Position{}}
}

// Run audits. An error means that it could not be done (the log cannot be read, ctx ended); differences are the report's.
func Run(ctx context.Context, c Config) (r Report, err error) {
	if err := c.validate(); err != nil {
		return r, err
	}
	a := newAudit(c)
	for _, p := range c.Partitions {
		w := newWalker(a, p)
		a.walkers = append(a.walkers, w)
		a.byNo[p] = w
	}
	if err := a.dump(ctx); err != nil {
		return r, fmt.Errorf("reconcile: %w", err)
	}
	if c.View != nil {
		reading := c.View.Read()
		defer func() { err = errors.Join(err, reading.Close()) }()
		if err := a.project(reading); err != nil {
			return r, fmt.Errorf("reconcile: %w", err)
		}
	}
	if err := a.replay(ctx); err != nil {
		return r, fmt.Errorf("reconcile: %w", err)
	}
	a.leftovers()
	assets := a.conservation()
	if err := a.locate(ctx); err != nil {
		return r, fmt.Errorf("reconcile: find the events: %w", err)
	}
	return a.report(assets), nil
}

// dump takes the shards' state first: then the journal, read later, has at least what the shards had.
func (a *audit) dump(ctx context.Context) error {
	if a.config.Shards == nil {
		return nil
	}
	dumps, err := a.config.Shards.Dump(ctx)
	if err != nil {
		return fmt.Errorf("dump the shards: %w", err)
	}
	for _, d := range dumps {
		if w := a.byNo[d.Partition]; w != nil {
			load := func() (*journal.Memory, error) { return d.State, nil }
			w.sources = append(w.sources, &source{where: "shard " + d.Shard, epoch: d.Epoch, before: d.Before, after: d.After, load: load, legal: map[record][]string{}})
			claim := d
			claim.State = nil // the source has it, for as long as it is compared
			w.claims = append(w.claims, claim)
		}
	}
	for _, w := range a.walkers {
		if len(w.sources) == 0 {
			a.unchecked = append(a.unchecked, fmt.Sprintf("shard of partition %d: none serves it", w.cursor.Partition))
		}
	}
	return nil
}

// project prepares the comparison with one state of the projection.
func (a *audit) project(r *view.Reading) error {
	for _, w := range a.walkers {
		c, err := r.Cursor(w.cursor.Partition)
		if err != nil {
			return err
		}
		w.view = &viewCheck{audit: a, reading: r, cursor: c}
		load := func() (*journal.Memory, error) {
			b, err := r.Book(c.Partition)
			if err != nil {
				return nil, err
			}
			return b.State.(*journal.Memory), nil
		}
		w.sources = append(w.sources, &source{where: projection, before: c.Seq, after: c.Seq, load: load, legal: map[record][]string{}})
	}
	return nil
}

// chunk is how many records are read of a partition before it is the next one's turn.
const chunk = 256

// replay reads every partition to its end, the one that is furthest behind in time first: so little is in flight between
// them that has to be remembered. Then it goes on where another partition has already credited what comes later.
func (a *audit) replay(ctx context.Context) error {
	for _, w := range a.walkers {
		var err error
		if w.end, err = a.config.Log.End(ctx, w.cursor.Partition); err != nil {
			return fmt.Errorf("end of partition %d: %w", w.cursor.Partition, err)
		}
		slices.SortStableFunc(w.sources, func(x, y *source) int { return int(x.after) - int(y.after) })
		w.compare()
		if err := w.view.arrived(ctx, w); err != nil {
			return err
		}
	}
	for {
		var next *walker
		for _, w := range a.walkers {
			if !w.damaged && w.cursor.Offset < w.end && (next == nil || w.book.TimeMS < next.book.TimeMS) {
				next = w
			}
		}
		if next == nil {
			break
		}
		if err := next.advance(ctx, chunk, 0); err != nil {
			return err
		}
		a.settle()
		a.progress()
	}
	return a.extend(ctx)
}

func (a *audit) progress() {
	var done, total int64
	for _, w := range a.walkers {
		done += w.cursor.Offset
		total += max(w.end, w.cursor.Offset)
	}
	a.config.Progress(done, total)
}

// extend makes the cut consistent: no partition may have credited, and no shard done, what is not replayed yet. It reads
// no further than that, for the journal may grow all the time.
func (a *audit) extend(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, a.config.Patience)
	defer cancel()
	for grew := true; grew; {
		grew = false
		for _, w := range a.walkers {
			need := a.need(w)
			if w.damaged || w.book.Seq >= need {
				continue
			}
			before := w.cursor.Offset
			if err := a.config.Log.Wait(patient, w.cursor.Partition, before); err != nil {
				if patient.Err() != nil && ctx.Err() == nil {
					continue // it does not come: leftovers says so
				}
				return fmt.Errorf("wait for partition %d: %w", w.cursor.Partition, err)
			}
			var err error
			if w.end, err = a.config.Log.End(ctx, w.cursor.Partition); err != nil {
				return fmt.Errorf("end of partition %d: %w", w.cursor.Partition, err)
			}
			if err := w.advance(ctx, 0, need); err != nil {
				return err
			}
			grew = grew || w.cursor.Offset > before
		}
		a.settle()
	}
	a.progress()
	return nil
}

// need is the seq that others rely on.
func (a *audit) need(w *walker) (seq uint64) {
	for _, s := range w.sources {
		seq = max(seq, s.after)
	}
	for at, c := range a.channels {
		if at[0] == w.cursor.Partition {
			for _, g := range c.groups {
				seq = max(seq, g.upTo)
			}
		}
	}
	return seq
}

func (a *audit) channel(from, to int) *channel {
	c := a.channels[[2]int{from, to}]
	if c == nil {
		c = &channel{audit: a, from: from, to: to}
		a.channels[[2]int{from, to}] = c
	}
	return c
}

// sortedChannels are in the order of their names, so that reports are the same every time.
func (a *audit) sortedChannels() []*channel {
	return slices.SortedFunc(maps.Values(a.channels), func(x, y *channel) int { return (x.from-y.from)<<20 + x.to - y.to })
}

// settle compares what both ends of the channels are replayed for.
func (a *audit) settle() {
	for _, c := range a.sortedChannels() {
		if w := a.byNo[c.from]; w != nil {
			c.settle(w.book.Seq)
		} else {
			c.groups, c.decided = nil, nil
		}
		if a.byNo[c.to] == nil {
			c.decided = nil
		}
	}
}

// differ notes a difference; beyond the bound it is only counted. It answers the note, or nil.
func (a *audit) differ(d Difference) *Difference {
	if a.searching() {
		return nil
	}
	if len(a.list) >= a.config.DifferencesMax {
		a.more++
		return nil
	}
	a.list = append(a.list, &d)
	return &d
}

func (a *audit) unreadable(w *walker, where string, err error) {
	a.differ(Difference{Where: where, What: "it cannot be read", Partition: w.cursor.Partition, Have: err.Error()})
}

// name is the account's id, as far as it has been opened in what is replayed.
func (a *audit) name(h journal.Handle) string {
	if p, asset, ok := h.Suspense(); ok {
		return view.SuspenseID(p, asset)
	}
	if w := a.byNo[h.Partition(a.config.Log.Partitions())]; w != nil {
		var d journal.AccountDetails
		if b := w.memory.DetailsOf[h]; len(b) > 7 && json.Unmarshal(b[7:], &d) == nil && d.ID != "" {
			return d.ID
		}
	}
	return unknown(h)
}

func unknown(h journal.Handle) string { return fmt.Sprintf("handle:%x", h) }

func (a *audit) leg(l journal.Leg) string {
	return fmt.Sprintf("%v %x: %d %s from %s to %s", l.Of, l.ID, l.Amount, a.config.Assets.Code(l.Asset), a.name(l.Payer), a.name(l.Payee))
}

// whole reports whether every partition of the wallet was read.
func (a *audit) whole() bool { return len(a.walkers) == a.config.Log.Partitions() }

func (a *audit) report(assets []AssetReport) Report {
	r := Report{Assets: assets, More: a.more, Unchecked: append([]string{}, a.unchecked...), Differences: []Difference{}}
	for _, w := range a.walkers {
		r.Partitions = append(r.Partitions, w.finish())
	}
	for _, c := range a.channels {
		r.Channels.Channels++
		r.Channels.Legs += c.legs
		r.Channels.InFlight += uint64(len(c.decided))
	}
	for _, d := range a.list {
		r.Differences = append(r.Differences, *d)
	}
	slices.SortStableFunc(r.Differences, less)
	slices.SortFunc(r.Unchecked, strings.Compare)
	return r
}

func sortedIDs[V any](m map[journal.ID]V) []journal.ID {
	return slices.SortedFunc(maps.Keys(m), func(x, y journal.ID) int { return strings.Compare(string(x[:]), string(y[:])) })
}
