package gateway

import (
	"context"
	"slices"
	"sync"

	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/journal/rows"
)

// desk makes an act a blocking call: for REST, where a goroutine waits anyway.
type desk struct {
	tcc *tcc.Coordinator
}

// waiter is the sink of one desk call: it keeps copies, because outcomes are reused.
type waiter struct {
	done chan struct{}

	mu   sync.Mutex // guards the rest
	outs []rows.Outcome
	left int
	tcc  *tcc.Coordinator
}

func (w *waiter) Settle(outcomes []rows.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range outcomes {
		if o.Status == journal.KeyOld && w.tcc.Old(&o, w) {
			continue
		}
		o.Record, o.Carry = slices.Clone(o.Record), nil
		w.outs[o.Tag] = o
		w.left--
	}
	if w.left == 0 {
		close(w.done)
	}
}

// all stages n acts, tagged 0 … n−1, and waits for their outcomes, in that order. When ctx ends first, what is not
// settled yet is OutcomeUnknown: it may have happened, and a repeat with the same key tells.
func (d *desk) all(ctx context.Context, n int, stage func(*rows.Stage, rows.Sink)) []rows.Outcome {
	w := &waiter{done: make(chan struct{}), outs: make([]rows.Outcome, n), left: n, tcc: d.tcc}
	st := d.tcc.Stage()
	stage(st, w)
	d.tcc.Submit(st)
	select {
	case <-w.done:
		return w.outs
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	outs := slices.Clone(w.outs)
	for i := range outs {
		if outs[i].Status == journal.None {
			outs[i].Status = journal.OutcomeUnknown
		}
	}
	return outs
}

// one is all for a single act.
func (d *desk) one(ctx context.Context, stage func(*rows.Stage, rows.Sink)) rows.Outcome {
	return d.all(ctx, 1, stage)[0]
}

// read reads an account with its details.
func (d *desk) read(ctx context.Context, h journal.Handle) rows.Outcome {
	return d.one(ctx, func(st *rows.Stage, sink rows.Sink) { d.tcc.Read(st, h, true, sink, 0) })
}

// look looks at a reservation or key.
func (d *desk) look(ctx context.Context, id journal.ID) rows.Outcome {
	return d.one(ctx, func(st *rows.Stage, sink rows.Sink) { d.tcc.Look(st, id, sink, 0) })
}
