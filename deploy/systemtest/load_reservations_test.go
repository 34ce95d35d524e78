package systemtest

import (
	"context"
	"errors"
	"sync"

	"walletd/gateway/client"
	"walletd/journal"
)

func retryable(err error) bool {
	var no *client.RefusedError
	return errors.As(err, &no) && no.Retryable
}

// reservation lives through a reservation: a Try, and then one of the ways in which it may end, or none.
func (k *worker) reservation() {
	r := k.newTransfer()
	r.act, r.key, r.expiresInS = actReserve, k.key("r"), 3600
	if k.dice.IntN(10) == 0 {
		r.expiresInS = 1
	}
	k.ledger.add(r)
	k.do(r)
	switch r.outcome {
	case acknowledged:
	case refused:
		return
	case unknown: // what a client does that got no answer
		k.follow(&request{act: actCancelKey, key: r.key, from: r.from})
		return
	}
	whole := &request{act: actConfirm, key: k.key("c"), reservation: r.id(), to: r.to}
	part := &request{act: actConfirm, key: k.key("c"), reservation: r.id(), amount: 1 + r.amount/2}
	release := &request{act: actCancel, reservation: r.id(), from: r.from}
	switch k.dice.IntN(7) {
	case 0:
		k.follow(whole)
	case 1:
		k.follow(part)
	case 2:
		part.keepOpen = true
		k.follow(part)
		k.follow(whole)
	case 3:
		part.keepOpen = true
		k.follow(part)
		k.follow(release)
	case 4:
		k.follow(release)
	case 5:
		k.race(whole, release)
	case 6: // left open, for the oracle or its time to end it
	}
}

// follow makes a request that belongs to one before.
func (k *worker) follow(r *request) {
	k.ledger.add(r)
	k.do(r)
}

// race makes two requests at once, of which one must win.
func (k *worker) race(a, b *request) {
	k.ledger.add(a)
	k.ledger.add(b)
	ctxA, cancelA := k.call()
	ctxB, cancelB := k.call()
	defer cancelA()
	defer cancelB()
	other := k.sessions[k.dice.IntN(len(k.sessions))]
	var both sync.WaitGroup
	both.Go(func() { k.doOn(ctxA, k.session, a) })
	both.Go(func() { k.doOn(ctxB, other, b) })
	both.Wait()
	if a.outcome == acknowledged && b.outcome == acknowledged && b.status == "cancelled" {
		k.ledger.fault("both were acknowledged: %v and %v", a, b)
	}
}

func (k *worker) do(r *request) {
	ctx, cancel := k.call()
	defer cancel()
	k.doOn(ctx, k.session, r)
}

// doOn makes a request on a reservation and notes its end.
func (k *worker) doOn(ctx context.Context, c *client.Client, r *request) {
	v, err := askReservation(ctx, c, r)
	k.ledger.mu.Lock()
	r.told(v.Status, v.Position.Position, err)
	k.ledger.mu.Unlock()
	if r.outcome == acknowledged {
		k.ledger.notAhead(k.w, r, v.Position.Position)
	}
}

// reserver is a session or REST.
type reserver interface {
	Reserve(context.Context, client.Reserve) (client.Reservation, error)
	Confirm(context.Context, client.Confirm) (client.Reservation, error)
	Cancel(context.Context, string) (client.Reservation, error)
	CancelKey(ctx context.Context, from, key string) (client.Reservation, error)
}

func askReservation(ctx context.Context, c reserver, r *request) (client.Reservation, error) {
	id := r.reservation.Text(journal.ReservationPrefix)
	switch r.act {
	case actReserve:
		return c.Reserve(ctx, client.Reserve{Key: r.key, From: r.from, To: r.to, Amount: r.amount, Asset: r.asset, ExpiresInS: r.expiresInS, Reference: r.reference})
	case actConfirm:
		return c.Confirm(ctx, client.Confirm{Reservation: id, Key: r.key, Amount: r.amount, To: r.to, KeepOpen: r.keepOpen})
	case actCancel:
		return c.Cancel(ctx, id)
	}
	return c.CancelKey(ctx, r.from, r.key)
}

// cancelFirst cancels before the Try comes: the Try must then be refused for ever.
func (k *worker) cancelFirst() {
	r := k.newTransfer()
	first := &request{act: actCancelKey, key: r.key, from: r.from}
	k.follow(first)
	k.transfer(r)
	if first.outcome == acknowledged && r.outcome == acknowledged {
		k.ledger.fault("%v although it was cancelled before it came", r)
	}
}
