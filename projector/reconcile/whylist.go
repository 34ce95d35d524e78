package reconcile

import (
	"context"
	"fmt"
	"slices"

	"walletd/journal"
	"walletd/projector/view"
)

// list chooses what is shown.
func (w *why) list() {
	n := len(w.replayed)
	w.Account = w.names.Of(w.c.Account)
	if w.account.Version > 0 {
		w.Asset = w.assets.Code(w.account.Asset)
	}
	start := slices.IndexFunc(w.replayed, func(l line) bool { return l.version >= w.c.SinceVersion && l.timeMS >= w.c.SinceMS })
	if start < 0 {
		start = n
	}
	w.Begins = "opening"
	if w.c.SinceVersion > 0 || w.c.SinceMS > 0 {
		w.Begins = "since"
	}
	explained := n
	for i := range w.Differences {
		if d := &w.Differences[i]; d.from < explained && d.Position != "" {
			explained = d.from
		}
	}
	end := n
	switch {
	case explained < n && (w.Begins == "opening" || explained < start):
		start = explained
		w.Begins = "difference: right before it they agree"
		end = min(n, start+w.c.Limit)
	case n-start > w.c.Limit:
		start = n - w.c.Limit
		w.Begins = fmt.Sprintf("limit: the newest %d", w.c.Limit)
	}
	w.first, w.More = start, n-end
	before := w.base
	if start > 0 {
		before = w.replayed[start-1]
	}
	if before.version > 0 {
		s := before.standing()
		w.Before = &s
	}
	for i := start; i < end; i++ {
		w.step(i)
	}
}

// step lists one version, and notes what its partner's journal has to say about it.
func (w *why) step(i int) {
	l := &w.replayed[i]
	e := view.Entry{Of: l.of, ID: l.id}
	s := Step{Version: l.version, Position: l.at.String(), Time: timeText(l.timeMS), Kind: e.Kind(), ID: e.IDText(), Counterparty: w.names.Of(l.other),
		AvailableChange: l.dAvailable, ReservedChange: l.dReserved, Available: l.available, Reserved: l.reserved, Flagged: l.flagged}
	for j := range w.Differences {
		if d := &w.Differences[j]; d.from <= i && i < d.to {
			s.Explains = d.how
		}
	}
	if e.Kind() != "account" {
		s.Phase = l.status.Code()
	}
	if q := l.other.Partition(w.c.Log.Partitions()); !l.other.IsZero() && q < w.c.Log.Partitions() {
		s.PartnerAt = &q
		if l.leg || l.delivered {
			s.Phase = string(view.PhaseTried)
			w.wanted[q] = append(w.wanted[q], &partner{line: *l, step: len(w.Steps)})
		} else if q == w.Partition && (l.of == journal.OpTransfer || l.of == journal.OpConfirm) {
			s.Phase = string(view.PhaseConfirmed)
		}
	}
	w.Steps = append(w.Steps, s)
}

// partner is what a step wants to know of its counterparty's journal.
type partner struct {
	line
	step  int
	found bool
}

// partners reads the partitions of the counterparties: whether a leg was credited there, or which event there decided it.
func (w *why) partners(ctx context.Context) error {
	var partitions []int
	others := map[journal.Handle]bool{}
	for q, list := range w.wanted {
		partitions = append(partitions, q)
		for _, p := range list {
			others[p.other] = true
		}
	}
	if len(partitions) == 0 {
		return nil
	}
	_, err := Replay(ctx, ReplayConfig{Log: w.c.Log, Partitions: partitions, Progress: w.c.Progress}, func(r *Replayed) error {
		if r.Event == nil {
			return nil
		}
		for _, p := range w.wanted[r.Partition] {
			if !p.found && p.meets(w.Partition, r) {
				p.found = true
				w.Steps[p.step].PartnerEvent, w.Steps[p.step].Phase = r.Event.String(), string(view.PhaseConfirmed)
			}
		}
		for h, name := range r.Names {
			if others[h] {
				w.names[h] = name
			}
		}
		clear(r.Names) // the others are not needed
		return nil
	})
	if err != nil {
		return err
	}
	for _, list := range w.wanted {
		for _, p := range list {
			w.Steps[p.step].Counterparty = w.names.Of(p.other)
		}
	}
	return nil
}

// meets reports whether an event of the counterparty's partition is the one that belongs to the step.
func (p *partner) meets(ours int, r *Replayed) bool {
	if p.leg {
		return r.Row.Op == journal.OpDeliver && r.Row.Source == ours && r.Row.From < p.at.Seq && p.at.Seq <= r.Row.UpTo
	}
	if r.Event.Seq <= p.from || r.Event.Seq > p.upTo || !r.Event.Status.Accepted() {
		return false
	}
	return r.Row.ID == p.id || r.Row.Op == journal.OpConfirm && r.Row.Reservation == p.id
}
