package sim

import (
	"fmt"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// hold holds a definite answer against the journal, at the moment in which a client hears it.
func (o *order) hold(w *world, t *try, out *rows.Outcome) {
	p := out.Position.Partition
	backed := out.Replayed || (out.Status.Journaled(o.keyed()) && o.kind != "read")
	if !out.Replayed && out.Position.Seq > 0 {
		if p == o.home && out.Position.Seq < t.floor {
			w.fail("P8: %v is answered at %v, after clients had been told of seq %d", o, out.Position, t.floor)
		}
		w.audit.told[p] = max(w.audit.told[p], out.Position.Seq)
	}
	if o.kind == "read" {
		o.read(w, out)
	}
	if !backed || o.bygone(w, out) {
		o.settled = true
		return
	}
	if o.keyed() {
		if h, there := w.audit.keyed[o.id]; !there || h.Position != out.Position || h.status != out.Status {
			w.fail("P3: %v is answered %v at %v; the journal has %v (%v)", o, out.Status, out.Position, h.Position, h.status)
		}
		if f := o.first; f != nil && (f.Status != out.Status || f.Position != out.Position || f.TimeMS != out.TimeMS || f.Detail != out.Detail) {
			w.fail("P4: %v is answered %v %v %d, before %v %v %d", o, out.Status, out.Position, out.Detail, f.Status, f.Position, f.Detail)
		}
		o.first = out
	} else if h, there := w.audit.ends[o.id]; out.Status != journal.Tombstone && (!there || h.Position != out.Position || h.status != out.Status) {
		w.fail("P3: %v is answered %v at %v; the journal has %v (%v)", o, out.Status, out.Position, h.Position, h.status)
	} else if out.Status == journal.Tombstone && !w.audit.tombs[o.id] {
		w.fail("P3: %v is answered %v at %v; the journal has none", o, out.Status, out.Position)
	}
	o.settled = true
}

// bygone reports whether it is a confirm that is answered from the projection: its reservation ended so long ago that the shard
// has forgotten it. Nothing is stored about that: it stays as it is.
func (o *order) bygone(w *world, out *rows.Outcome) bool {
	if _, there := w.audit.keyed[o.id]; there || o.kind != "confirm" || out.Replayed || w.turn.window == time.Hour {
		return false
	}
	end, ended := w.audit.ends[o.of.id]
	switch out.Status {
	case journal.AlreadyConfirmed:
		return ended && end.status == journal.Confirmed
	case journal.AlreadyCancelled:
		return w.audit.tombs[o.of.id] || (ended && end.status == journal.Cancelled)
	case journal.ReservationExpired:
		return ended && end.status == journal.Expired
	}
	return false
}

func (o *order) read(w *world, out *rows.Outcome) {
	if out.Status != journal.OK {
		w.fail("P8: %v is answered %v", o, out.Status)
		return
	}
	got, _, err := out.Account()
	if want, ok := w.audit.account(o.payer, out.Position.Seq); err != nil || !ok || got != want {
		w.fail("P8: %v at %v says %+v, the journal %+v (%v)", o, out.Position, got, want, err)
	}
}

// restless says what is not at rest yet, "" when all is.
func (w *world) restless() string {
	for _, c := range w.clients {
		if !c.idle {
			return fmt.Sprintf("%s waits for %v", c.label(), c.order)
		}
	}
	for p, of := range w.audit.of {
		for q := range w.audit.of {
			if n := w.audit.of[q].credited[p]; n < len(of.decided[q]) {
				return fmt.Sprintf("P9: partition %d has credited %d legs of %d from %d", q, n, len(of.decided[q]), p)
			}
		}
		for _, res := range of.book.State.(*journal.Memory).Reservations {
			if res.Status == journal.Tried {
				return fmt.Sprintf("P7: a reservation of partition %d is open", p)
			}
		}
	}
	if why := w.unlike(); why != "" {
		return why
	}
	return w.unprojected()
}

// unlike says which shard is not what the journal says, "" when none (P11).
func (w *world) unlike() string {
	m := w.zoo.static.Current()
	for p, of := range w.audit.of {
		part := w.shardAt(m.ShardOf(p).Primary).parts[p]
		switch {
		case part == nil || !part.serves:
			return fmt.Sprintf("P11: partition %d is not served", p)
		case part.book.Seq != of.book.Seq:
			return fmt.Sprintf("P11: partition %d is at %d in the shard, at %d in the journal", p, part.book.Seq, of.book.Seq)
		}
		if why := w.shardAt(m.ShardOf(p).Primary).unlike(p, of.book); why != "" {
			return fmt.Sprintf("P11: partition %d in the shard: %s", p, why)
		}
	}
	return w.astray()
}

// judge looks at what must hold at the end.
func (w *world) judge() {
	sum := int64(0)
	for _, of := range w.audit.of {
		for _, a := range of.book.State.(*journal.Memory).Accounts {
			sum += int64(a.Available + a.Reserved)
		}
	}
	if sum != 0 {
		w.fail("P1: all accounts together have %d", sum)
	}
	if w.failed > 0 && !w.restarted { // by a note of another history or state than the journal's
		w.fail("P11: %d moves have failed, though no shard ever came back with other data", w.failed)
	}
	w.judgeProjection()
	for _, o := range w.orders {
		h, there := w.audit.keyed[o.id]
		switch {
		case !o.keyed() || o.open > 0 || o.doubt: // an answer that is missing says nothing
		case there && o.first == nil:
			w.fail("P5: %v was refused each time, and the journal has %v (%v)", o, h.Position, h.status)
		}
	}
}
