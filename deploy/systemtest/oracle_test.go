package systemtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// check is the oracle: it lets the wallet come to rest and holds ledger, journal and answers against each other. The
// package comment lists what must hold.
func (w *wallet) check(l *ledger) {
	w.t.Helper()
	begin := time.Now()
	before := w.atRest()
	w.ask(l, before)
	w.release(l)
	a := w.atRest()

	a.compareChannels()
	a.conserved()
	a.released()
	a.holds(l)
	a.holdsReads(l)
	w.report("the journal", a.faults)
	if len(a.dropped) > 0 {
		w.t.Logf("frames that fencing dropped: %v", a.dropped)
	}
	w.shows(a, l)
	w.report("the answers that clients got", l.faults)
	w.reconciled()
	w.t.Logf("oracle: %d requests, %d events, %d accounts, %v", len(l.requests), a.events, len(a.names), time.Since(begin).Round(time.Millisecond))
}

// report fails the test with what is wrong, a few of it.
func (w *wallet) report(where string, faults []string) {
	w.t.Helper()
	for i, f := range faults {
		if i == 10 {
			w.t.Errorf("%s: %d more", where, len(faults)-i)
			break
		}
		w.t.Errorf("%s: %s", where, f)
	}
}

// atRest waits until no leg is in flight (P7, P9) and returns the journal as it is then.
func (w *wallet) atRest() *audit {
	w.t.Helper()
	var a *audit
	await(w.t, drainLimit, "the channels drain", func() error {
		a = w.replay()
		if sums, legs := a.inFlight(); legs > 0 {
			return fmt.Errorf("%d legs are in flight, in sum %v", legs, sums)
		}
		return nil
	})
	return a
}

// each calls fn for every item from a few goroutines.
func each[T any](items []T, fn func(T)) {
	queue := make(chan T)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for item := range queue {
				fn(item)
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	workers.Wait()
}

// ask repeats every request whose outcome is unknown, with its key, twice: the answer is that of the journal where the
// journal had it, and does not change.
func (w *wallet) ask(l *ledger, before *audit) {
	w.t.Helper()
	rest := w.rest()
	each(l.with(unknown), func(r *request) {
		first := w.settle(rest, r)
		if first.outcome == unknown {
			l.fault("%v: still unknown when asked again", r)
			return
		}
		if had := before.acts[r.id()]; len(had) == 1 && r.act != actCancelKey {
			happened := had[0].status.Accepted()
			if r.act == actCancel || had[0].op == journal.OpCancel {
				happened = first.outcome == acknowledged // the id is the reservation's, not the act's
			}
			if happened != (first.outcome == acknowledged) || happened && r.act != actCancel && first.position != had[0].at {
				l.fault("%v: the journal had it %v at %v, asked again it is %s %s at %v", r, had[0].status, had[0].at, first.outcome, first.code, first.position)
			}
		}
		second := w.settle(rest, r)
		if second.outcome != first.outcome || second.code != first.code || second.status != first.status || second.position != first.position && r.act != actCancel && r.act != actCancelKey {
			l.fault("%v: asked again it was first %s %s %s at %v, then %s %s %s at %v", r, first.outcome, first.code, first.status, first.position,
				second.outcome, second.code, second.status, second.position)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		r.outcome, r.code, r.status, r.position = first.outcome, first.code, first.status, first.position
	})
}

// settle makes a request again, with the same key, until it has an outcome.
func (w *wallet) settle(rest *client.REST, r *request) request {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	again := *r
	if r.act == actTransfer {
		info, err := rest.Transfer(ctx, asTransfer(r))
		again.told(info.Status, info.Position.Position, err)
		return again
	}
	v, err := askReservation(ctx, rest, r)
	again.told(v.Status, v.Position.Position, err)
	return again
}

// shortExpiry is what the load gives to reservations that are to end by themselves, seconds.
const shortExpiry = 1

// release cancels what the load left open, but for reservations whose time is over: those must end by themselves (P7).
func (w *wallet) release(l *ledger) {
	w.t.Helper()
	rest := w.rest()
	each(w.replay().openReservations(), func(id journal.ID) {
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		name := id.Text(journal.ReservationPrefix)
		v, err := rest.Reservation(ctx, name)
		if err != nil {
			l.fault("reservation %s is in the journal, a look-up answers %v", name, err)
			return
		}
		if v.ExpiresAt.Sub(v.CreatedAt) <= shortExpiry*time.Second {
			return
		}
		var no *client.RefusedError
		if v, err = rest.Cancel(ctx, name); err != nil && !errors.As(err, &no) || err == nil && v.Status != "cancelled" && v.Status != "expired" {
			l.fault("cancel of the open reservation %s answered %q, %v", name, v.Status, err)
		}
	})
	await(w.t, drainLimit, "every reservation ends", func() error {
		if open := w.replay().openReservations(); len(open) > 0 {
			return fmt.Errorf("%d are open, such as %s", len(open), open[0].Text(journal.ReservationPrefix))
		}
		return nil
	})
}

// released notes a fault where something is reserved although no reservation is open.
func (a *audit) released() {
	for _, id := range a.ids() {
		if account, _ := a.account(id); account.Reserved != 0 {
			a.fault("account %s has %d reserved when all reservations have ended", id, account.Reserved)
		}
	}
}

// holds notes a fault where the journal has not what clients were told: what was acknowledged is there once, with its
// content; what was refused has no effect.
func (a *audit) holds(l *ledger) {
	for _, r := range l.requests {
		had := a.acts[r.id()]
		if r.act == actCancel || r.act == actCancelKey {
			a.holdsCancel(r, had)
			continue
		}
		if len(had) > 1 {
			a.fault("%v: in the journal %d times, at %v and %v", r, len(had), had[0].at, had[1].at)
		}
		accepted := len(had) > 0 && had[0].status.Accepted() && had[0].op != journal.OpCancel
		switch {
		case r.outcome == acknowledged && !accepted:
			a.fault("%v (at %v): the journal does not have it: %+v", r, r.position, had)
		case r.outcome == refused && accepted:
			a.fault("%v: the journal has it %v at %v", r, had[0].status, had[0].at)
		case accepted:
			a.holdsContent(r, &had[0])
		}
	}
}

// holdsReads: a read shows its account as the journal has it at the position that it names, whatever became of the shard
// that answered (P8), and an account whose opening was acknowledged is there.
func (a *audit) holdsReads(l *ledger) {
	for _, r := range l.reads {
		lines := a.lines[journal.HandleOf(r.account)]
		n, _ := slices.BinarySearchFunc(lines, r.Position.Seq, func(x line, seq uint64) int {
			if x.at.Seq <= seq {
				return -1
			}
			return 1
		})
		if n == 0 {
			a.fault("%s reads %+v, the journal opens it later or never", r.account, r.Balance)
			continue
		}
		if was := lines[n-1]; was.After.Available != r.Available || was.After.Reserved != r.Reserved || was.After.Version != r.Version {
			a.fault("%s reads %+v, the journal has %+v there (since %v)", r.account, r.Balance, was.After, was.at)
		}
	}
	for _, id := range l.opened {
		if _, there := a.account(id); !there {
			a.fault("account %s was opened, the journal does not have it", id)
		}
	}
}

func (a *audit) holdsContent(r *request, had *decided) {
	want := map[act][]journal.Op{actTransfer: {journal.OpTransfer, journal.OpPay}, actReserve: {journal.OpReserve}, actConfirm: {journal.OpConfirm}}[r.act]
	to := journal.HandleOf(r.to)
	same := had.key == r.key && had.at == r.position && (had.op == want[0] || had.op == want[len(want)-1])
	if r.act == actConfirm {
		same = same && had.amount == r.amount && had.final == !r.keepOpen && (r.to == "" || had.to == to)
	} else {
		same = same && had.payer == journal.HandleOf(r.from) && had.to == to && had.amount == r.amount && had.reference == r.reference && journal.DevAssets.Code(had.asset) == r.asset
	}
	if !same {
		a.fault("%v at %v: the journal has another content: %+v", r, r.position, *had)
	}
}

// holdsCancel: an acknowledged cancel leaves a reservation that never gives its payee money again, or a tombstone.
func (a *audit) holdsCancel(r *request, had []decided) {
	if r.outcome != acknowledged {
		return
	}
	id := r.id()
	res, reserved := a.reservation(id)
	switch {
	case reserved && (res.Status == journal.Cancelled || res.Status == journal.Expired):
	case !reserved && r.act == actCancelKey && len(had) == 1 && (!had[0].status.Accepted() || had[0].op == journal.OpCancel):
	case !reserved && r.act == actCancelKey && len(had) == 0:
		a.fault("%v: no tombstone is in the journal", r)
	default:
		a.fault("%v: the journal has the reservation %v, and %+v", r, res.Status, had)
	}
}
