package sim

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/projector"
	"walletd/projector/view"
)

// project begins a projector's life: the production projector, and its store on the disk that its earlier lives have left.
func (p *process) project(ctx context.Context) {
	w := p.world
	v, err := view.Open(view.Config{Dir: "view", Wallet: "sim", Partitions: partitions, CacheBytes: 1 << 20, CacheAccounts: 8, FS: w.disk})
	if err != nil {
		panic(err)
	}
	pr, err := projector.New(projector.Config{Log: journalOf{p, w.log}, View: v, Logger: slog.New(slog.DiscardHandler), CommitBytes: 300, Interval: 5_000_011, CommitEvery: 250 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	p.view = v
	p.ended.Go(func() {
		err := pr.Run(ctx)
		if err == nil && ctx.Err() != nil {
			err = v.Close()
		}
		if err != nil && !p.dead.Load() {
			w.audit.complain("the projector gives up: %v", err)
		}
	})
}

// lose is what the disk has after a crash: all, nothing or some of what was not synced.
func (w *world) lose() {
	w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: pick(w.rng, 0, 50, 100), RNG: w.rng})
}

// projection is the living projector's view, nil when there is none.
func (w *world) projection() *view.View {
	for _, p := range w.processes {
		if p.view != nil && !p.dead.Load() {
			return p.view
		}
	}
	return nil
}

// reached reports whether a view has come to a position.
func reached(v *view.View, at journal.Position) bool {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return v.WaitFor(now, at) == nil
}

// past is what a process asks the projector about.
type past struct{ from *process }

var _ tcc.Past = past{}

// Past implements tcc.Past. The projector waits a while until it has come far enough.
func (p past) Past(ctx context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	w := p.from.world
	r := request{from: p.from, label: p.from.name + " past", faults: &w.weather.read, timeout: journalTimeout, lost: errNotRead}
	till := time.Now().Add(1_500_000_029)
	r.held, r.till = func() bool {
		v := w.projection()
		for i := range questions {
			if v == nil || !reached(v, questions[i].At) {
				return true
			}
		}
		return false
	}, till
	return ask(ctx, r, func() ([]tcc.Known, error) {
		v, known := w.projection(), make([]tcc.Known, len(questions))
		if v == nil {
			return nil, errNotRead
		}
		for i, q := range questions {
			if known[i].Behind = !reached(v, q.At); known[i].Behind {
				continue
			}
			k, err := v.Past(q.ID)
			if err != nil {
				return nil, fmt.Errorf("look up %x: %w", q.ID, err)
			}
			known[i] = tcc.Known{EvictedMS: k.EvictedMS, Seen: k.Seen, Key: k.Key, Reserved: k.Reserved, Reservation: k.Reservation}
			w.audit.past(q.ID, &k)
			w.asked++
		}
		return known, nil
	})
}

// past: what the projection says of an id is what the journal has up to there.
func (a *audit) past(id journal.ID, k *view.Past) {
	h, there := a.keyed[id]
	if there = there && h.Seq <= k.Position.Seq; there != (k.Seen && k.Key.Status != journal.Tombstone) {
		a.world.fail("P13: the projection at %v knows %x: %t; the journal has %v (%v)", k.Position, id, k.Seen, h.Position, h.status)
	}
	if there && (h.Seq != k.Key.Seq || h.Epoch != k.Key.Epoch || h.status != k.Key.Status) {
		a.world.fail("P13: the projection has %x as %v at seq %d; the journal at %v (%v)", id, k.Key.Status, k.Key.Seq, h.Position, h.status)
	}
}

// unprojected says what the projection lacks, "" when it is at every log's end.
func (w *world) unprojected() string {
	if !w.turn.projects {
		return ""
	}
	v := w.projection()
	for p, of := range w.audit.of {
		if v == nil || !reached(v, journal.Position{Partition: p, Seq: of.book.Seq}) {
			return fmt.Sprintf("P13: partition %d is not projected up to %d", p, of.book.Seq)
		}
	}
	return ""
}

// judgeProjection holds the projection against the fold.
func (w *world) judgeProjection() {
	if !w.turn.projects {
		return
	}
	v := w.projection()
	for p, of := range w.audit.of {
		if digest, at, err := v.Digest(p); err != nil || digest != of.book.Digest() || at.Seq != of.book.Seq {
			w.fail("P13: the projection of partition %d at %v is not the fold at %d (%v)", p, at, of.book.Seq, err)
		}
	}
	c := v.Conservation()
	for asset, sum := range c.Error {
		if sum != 0 {
			w.fail("P1: the projection says that asset %d has %d too much", asset, sum)
		}
	}
	if len(c.Off) > 0 || c.Open > 0 {
		w.fail("P9: the projection says of channels: %+v, open: %d", c.Off, c.Open)
	}
}
