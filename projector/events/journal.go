package events

import (
	"context"
	"fmt"
	"slices"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/reconcile"
)

// JournalConfig says which events to make of a journal without a projection.
type JournalConfig struct {
	Log        journal.Log
	Assets     journal.Assets
	Partitions []int // nil: all
	// Follow goes on with what is appended later, until ctx ends: then FromJournal answers ctx's error.
	Follow   bool
	Progress func(stage string, done, total int64) // records read, now and then; nil: nobody is told
}

// FromJournal calls fn for every public event, partition by partition, in order: the same bytes as a Source has. The journal is read twice,
// first for the names of accounts, and folded in memory. The item belongs to fn; an error of fn ends it and is answered.
func FromJournal(ctx context.Context, c JournalConfig, fn func(*Item) error) error {
	if c.Progress == nil {
		c.Progress = func(string, int64, int64) {}
	}
	f := fromJournal{config: c}
	if err := f.readNames(ctx); err != nil {
		return err
	}
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: c.Log, Partitions: c.Partitions, Fold: true, Follow: c.Follow,
		Progress: func(done, total int64) { c.Progress("events", done, total) }},
		func(r *reconcile.Replayed) error {
			if r.Event == nil {
				return nil
			}
			for i := range r.Changes {
				item, err := f.item(ctx, r, i)
				if err != nil {
					return err
				}
				if err := fn(item); err != nil {
					return err
				}
			}
			return nil
		})
	return err
}

type fromJournal struct {
	config JournalConfig
	names  reconcile.Names
}

func (f *fromJournal) readNames(ctx context.Context) error {
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: f.config.Log, Progress: func(done, total int64) { f.config.Progress("names", done, total) }},
		func(r *reconcile.Replayed) error {
			f.names = r.Names
			return nil
		})
	if err != nil {
		return fmt.Errorf("names of accounts: %w", err)
	}
	if f.names == nil {
		f.names = reconcile.Names{}
	}
	return nil
}

// item makes an event of an event's i-th change. A name that came behind the reading of names is in the journal by now.
func (f *fromJournal) item(ctx context.Context, r *reconcile.Replayed, i int) (*Item, error) {
	c := &r.Changes[i]
	for _, h := range [...]journal.Handle{c.Account, c.Other} {
		_, _, suspense := h.Suspense()
		if _, ok := f.names[h]; !ok && !suspense && !h.IsZero() {
			if err := f.readNames(ctx); err != nil {
				return nil, err
			}
		}
	}
	e := public.Of(r.Event, &r.Row, i+1, c)
	return &Item{ID: e.ID, Type: e.Type, Account: f.names.Of(e.Account), Version: e.Version, TimeMS: e.TimeMS, Body: slices.Clip(e.AppendJSON(nil, f.names.Of, f.config.Assets))}, nil
}
