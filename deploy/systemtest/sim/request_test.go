package sim

import (
	"fmt"

	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/journal/rows"
)

// order is what a client wants: one key, however often it asks.
type order struct {
	no     int
	kind   string
	id     journal.ID
	key    []byte
	home   int
	payer  journal.Handle
	to     journal.Handle
	amount journal.Amount
	of     *order // confirm, cancel: the reservation
	final  bool
	secs   uint32

	tries   int
	open    int  // tries that have not been answered
	doubt   bool // one of them ended without anybody knowing how
	first   *rows.Outcome
	settled bool
}

func (o *order) String() string { return fmt.Sprintf("#%d %s", o.no, o.kind) }

// keyed reports whether the order has a key of its own, under which its outcome is kept.
func (o *order) keyed() bool {
	return o.kind == "transfer" || o.kind == "reserve" || o.kind == "confirm"
}

// accounts are those of the wallet, three a partition.
var accounts = func() (all []journal.Handle) {
	for p := range partitions {
		for i := range 3 {
			all = append(all, accountOf(fmt.Sprintf("account-%d-%d", p, i), p))
		}
	}
	return all
}()

// accountOf is the first account of that name in a partition.
func accountOf(name string, partition int) journal.Handle {
	for n := 0; ; n++ {
		if h := journal.HandleOf(fmt.Sprintf("%s-%d", name, n)); h.Partition(partitions) == partition {
			return h
		}
	}
}

// newOrder draws what a client wants next.
func (w *world) newOrder() *order {
	w.orders = append(w.orders, nil)
	o := &order{no: len(w.orders), payer: pick(w.rng, accounts...), to: pick(w.rng, accounts...), amount: journal.Amount(1 + w.rng.IntN(400))}
	w.orders[o.no-1] = o
	for o.to == o.payer {
		o.to = pick(w.rng, accounts...)
	}
	o.key = fmt.Appendf(nil, "key-%d", o.no)
	reserved := w.reserved[max(0, len(w.reserved)-6):]
	switch n := w.rng.IntN(100); {
	case n < 40 || (n >= 60 && n < 82 && len(reserved) == 0):
		o.kind = "transfer"
	case n < 60:
		o.kind, o.secs = "reserve", uint32(1+w.rng.IntN(8))
		if w.rng.IntN(2) == 0 {
			o.to = journal.Handle{}
		}
		w.reserved = append(w.reserved, o)
	case n < 75:
		o.kind, o.of, o.final = "confirm", pick(w.rng, reserved...), w.rng.IntN(2) == 0
		o.payer = o.of.payer
		switch {
		case w.rng.IntN(3) == 0:
			o.amount = 0
		default:
			o.amount = 1 + o.amount/4
		}
		if !o.of.to.IsZero() {
			o.to = o.of.to
		}
		for o.to == o.payer {
			o.to = pick(w.rng, accounts...)
		}
	case n < 77:
		o.kind, o.of = "cancel", pick(w.rng, reserved...)
	case n < 82:
		o.kind, o.of = "cancel by key", pick(w.rng, reserved...)
	default:
		o.kind = "read"
	}
	o.home, o.id = o.payer.Partition(partitions), journal.IDOf(o.payer, o.key)
	if o.of != nil {
		o.home = o.of.home
		if o.id = o.of.id; o.kind == "confirm" {
			o.id = journal.ConfirmIDOf(o.of.id, o.key)
		}
	}
	return o
}

// stage asks a coordinator for it.
func (o *order) stage(c *tcc.Coordinator, st *rows.Stage, sink rows.Sink, tag uint64) {
	try := &tcc.Try{ID: o.id, From: o.payer, To: o.to, Amount: o.amount, Asset: asset, ExpiresInS: o.secs, Key: o.key}
	switch o.kind {
	case "transfer":
		c.Transfer(st, try, sink, tag)
	case "reserve":
		c.Reserve(st, try, sink, tag)
	case "confirm":
		c.Confirm(st, &tcc.Confirm{ID: o.id, Reservation: o.of.id, To: o.to, Amount: o.amount, Final: o.final, Key: o.key}, sink, tag)
	case "cancel":
		c.Cancel(st, o.of.id, sink, tag)
	case "cancel by key":
		c.CancelByKey(st, o.of.payer, o.of.key, sink, tag)
	case "read":
		c.Read(st, o.payer, false, sink, tag)
	}
}
