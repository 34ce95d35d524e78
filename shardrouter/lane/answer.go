package lane

import (
	"time"

	"walletd/journal"
	"walletd/journal/planted"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// prompt collects the outcomes of one train that need not wait. They point into the train.
type prompt struct {
	outs  []rows.Outcome
	waits []wait
}

func (n *prompt) add(o *rows.Outcome, sink rows.Sink) {
	n.outs = append(n.outs, *o)
	n.waits = append(n.waits, wait{sink: sink})
}

// answered takes the reply: each row's outcome leaves now, or waits for the journal; rows of a partition that does not
// serve go back.
func (ln *lane) answered(r *luascripts.Reply) {
	now := time.Now()
	done := 0
	for r.NextSection() {
		s := &ln.train.sections[done]
		done++
		if r.Section().Status != journal.OK {
			ln.refused(s, r.Section().Status)
			continue
		}
		s.part.refused.Store(0)
		if r.Section().Base < s.known { // its events take seqs that the journal has: no mark would say anything about them
			ln.counts.badReplies.Add(1)
			ln.l.cfg.Log.Error("the shard has forgotten durable events, outcomes are unknown", "shard", ln.shard, "partition", s.part.number, "seq", r.Section().Base, "durable", s.known)
			ln.notUnderstood(s, 0)
			continue
		}
		if n := ln.section(s, r, now); n < len(s.metas) {
			ln.notUnderstood(s, n)
		}
	}
	if err := r.Err(); err != nil {
		ln.counts.badReplies.Add(1)
		ln.l.cfg.Log.Error("reply not understood, its outcomes are unknown", "shard", ln.shard, "error", err)
		for ; done < len(ln.train.sections); done++ {
			ln.notUnderstood(&ln.train.sections[done], 0)
		}
	}
	settle(ln.now.outs, ln.now.waits)
	ln.l.open.done(len(ln.now.outs))
	clear(ln.now.outs)
	clear(ln.now.waits)
	ln.now.outs, ln.now.waits = ln.now.outs[:0], ln.now.waits[:0]
}

// notUnderstood answers the rows from the n-th on: they have run, and how is not known.
func (ln *lane) notUnderstood(s *section, n int) {
	s.drop(n)
	s.unsure = len(s.metas)
	ln.l.answer(&s.batch, journal.OutcomeUnknown)
}

// section takes the outcomes of one partition, and answers how many there were.
func (ln *lane) section(s *section, r *luascripts.Reply, now time.Time) (n int) {
	p := s.part
	epoch, durable := p.held.watermark()
	sent := r.Section().Epoch
	wait := wait{}
	var later *bulk
	var o rows.Outcome
	for ; r.NextRow(&o); n++ {
		m := &s.metas[n]
		o.Owner, o.Tag, o.Carry = m.Owner, m.Tag, s.carryOf(n)
		wait.sink, wait.need = m.Sink, need(&o, r.Seq())
		if n < s.unsure && undecided(o.Status) {
			lose(&o, journal.ShardUnavailable)
		}
		if (epoch == sent && wait.need <= durable) || planted.Is(planted.AnswerBeforeLog) ||
			(planted.Is(planted.SettledEarly) && o.Op == journal.OpDeliver) {
			ln.now.add(&o, m.Sink)
			continue
		}
		if later == nil {
			later = newBulk(sent, now, &ln.ledger)
		}
		later.add(&o, wait)
	}
	if later != nil {
		p.held.hold(later)
	}
	return n
}

// need is the seq up to which an outcome's partition must be durable before it may leave: the partition's seq when it was
// answered, which for an act that happened is its own. A repeat's first outcome may lie further back, but what else it
// says must not run ahead either. A check tells nothing but an account's status (design section 6).
func need(o *rows.Outcome, seq uint64) uint64 {
	if o.Op != journal.OpCheck {
		return seq
	}
	return o.Detail
}

// undecided reports whether a refusal that is not stored could turn into a success when an earlier copy of the same row,
// still on its way somewhere, ran later: such a refusal is not known to be the row's outcome.
func undecided(s journal.Status) bool {
	return s == journal.PayerNotFound || s == journal.ReservationNotFound
}

// partAgain is the pause before a partition that was refused is tried again under the same epoch.
const partAgain = 20 * time.Millisecond

// refused takes rows that the shard did not look at, because it does not serve their partition in the epoch that the map showed,
// or says that it moves. They wait for another epoch, within bounds.
func (ln *lane) refused(s *section, why journal.Status) {
	p, now := s.part, time.Now()
	ln.counts.refused.Add(1)
	if !p.refused.CompareAndSwap(0, now.UnixNano()) && now.Sub(time.Unix(0, p.refused.Load())) >= ln.l.cfg.RetryFor {
		home := p.lock()
		rest := home.flush(p)
		home.mu.Unlock()
		if why != journal.Moving {
			why = journal.ShardUnavailable
		}
		ln.l.answer(&s.batch, why)
		ln.l.answer(rest, why)
		return
	}
	home := p.lock()
	current := p.epoch == s.epoch
	home.mu.Unlock()
	if current {
		p.takeBack(&s.batch, now.Add(partAgain))
	} else {
		p.takeBack(&s.batch, time.Time{})
	}
}
