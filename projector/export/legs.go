package export

import (
	"fmt"

	"walletd/journal"
	"walletd/projector/reconcile"
)

// The parts of an account, and what is between two partitions.
const (
	Available = "available"
	Reserved  = "reserved"
	InFlight  = "in_flight"
)

// leg is one row.
type leg struct {
	event        *event
	number       int    // in its event, from 1
	id           string // of the transfer or reservation
	kind         string
	account      string
	part         string
	credit       bool
	asset        journal.Asset
	amount       journal.Amount
	balance      journal.Amount // of that part of the account, behind the event; of a channel unknown
	counterparty string
}

func (l *leg) direction() string {
	if l.credit {
		return "credit"
	}
	return "debit"
}

// event is what all legs of one event have in common.
type event struct {
	position string
	time     string
	key      string
	refer    string
	status   string
}

// kinds are those of a statement's entries.
func kindOf(o journal.Op) string {
	if o == journal.OpPay {
		o = journal.OpTransfer
	}
	return o.String()
}

func idOf(of journal.Op, id journal.ID) string {
	if of == journal.OpTransfer || of == journal.OpPay {
		return id.Text(journal.TransferPrefix)
	}
	return id.Text(journal.ReservationPrefix)
}

// books makes the legs of events.
type books struct {
	partitions int
	names      reconcile.Names
	legs       []leg // of the present event
	debits     []leg // of the present event
	credits    []leg
	last       journal.ID // whose text is lastText
	lastOf     journal.Op
	lastText   string
}

// of answers the legs of an event, debits first; they share memory with the next call's.
func (b *books) of(r *reconcile.Replayed) []leg {
	b.debits, b.credits = b.debits[:0], b.credits[:0]
	if r.Row.Op == journal.OpDeliver {
		for i := range r.Row.LegCount {
			l := r.Row.Leg(i)
			b.channel(l, r.Row.Source, r.Partition, false)
		}
	}
	for i := range r.Changes {
		b.change(&r.Changes[i])
	}
	for _, l := range r.Legs {
		b.channel(l, r.Partition, l.Payee.Partition(b.partitions), true)
	}
	b.legs = append(append(b.legs[:0], b.debits...), b.credits...)
	for i := range b.legs {
		b.legs[i].number = i + 1
	}
	return b.legs
}

// change is what an event did to an account's two parts.
func (b *books) change(c *journal.Change) {
	l := leg{kind: kindOf(c.Of), account: b.names.Of(c.Account), asset: c.After.Asset}
	parts := [...]struct {
		part          string
		before, after journal.Amount
	}{{Available, c.Before.Available, c.After.Available}, {Reserved, c.Before.Reserved, c.After.Reserved}}
	for _, p := range parts {
		if p.after == p.before {
			continue
		}
		if l.id == "" {
			l.id, l.counterparty = b.text(c.Of, c.ID), b.names.Of(c.Other)
		}
		l.part, l.balance = p.part, p.after
		b.add(l, p.after-p.before)
	}
}

// channel is a credit on its way from p to q: into the channel with the decision, out of it with the delivery.
func (b *books) channel(l journal.Leg, p, q int, in bool) {
	sum := l.Amount
	if !in {
		sum = -sum
	}
	b.add(leg{kind: kindOf(l.Of), id: b.text(l.Of, l.ID), account: fmt.Sprintf("channel:%d-%d", p, q), part: InFlight, asset: l.Asset,
		counterparty: b.names.Of(l.Payee)}, sum)
}

func (b *books) add(l leg, sum journal.Amount) {
	l.credit = sum > 0
	if l.credit {
		l.amount = sum
		b.credits = append(b.credits, l)
		return
	}
	l.amount = -sum
	b.debits = append(b.debits, l)
}

// text is the id's, kept because an event's legs mostly have the same.
func (b *books) text(of journal.Op, id journal.ID) string {
	if b.lastText == "" || id != b.last || of != b.lastOf {
		b.last, b.lastOf, b.lastText = id, of, idOf(of, id)
	}
	return b.lastText
}
