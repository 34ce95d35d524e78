package systemtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"walletd/gateway/client"
	"walletd/journal"
)

const crowd = 50 // clients that ask for the same at once

// askedAtOnce lets a crowd of clients, spread over all gateways, ask at the same time, and returns what each was told.
func askedAtOnce[T any](w *wallet, ask func(c *client.Client, n int) (T, error)) (told [crowd]T, errs [crowd]error) {
	w.t.Helper()
	var sessions [crowd]*client.Client
	for n := range sessions {
		sessions[n] = w.dial()
	}
	start := make(chan struct{})
	var all sync.WaitGroup
	for n, c := range sessions {
		all.Go(func() {
			<-start
			told[n], errs[n] = ask(c, n)
		})
	}
	close(start)
	all.Wait()
	return told, errs
}

// P4: one key from fifty clients over both gateways: one effect, fifty equal answers; with contents that differ, one of
// them wins and the others are told what differs.
func TestSameKeyFromFiftyClients(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := new(ledger)
	for _, same := range []bool{true, false} {
		name := map[bool]string{true: "same partition", false: "two partitions"}[same]
		from, to := c.pair("crowd"+map[bool]string{true: "s", false: "x"}[same], same)
		c.fund("USD", 1_000, from, to)

		r := &request{act: actTransfer, key: "once", from: from, to: to, amount: 100, asset: "USD"}
		l.add(r)
		told, errs := askedAtOnce(c.wallet, func(s *client.Client, _ int) (client.Result, error) {
			return s.Transfer(within(t, answerLimit), asTransfer(r))
		})
		firsts := 0
		for n := range told {
			if !told[n].Replayed {
				firsts++
			}
			told[n].Replayed = false
			if errs[n] != nil || told[n] != told[0] {
				t.Errorf("%s: client %d was told %+v, %v, another %+v", name, n, told[n], errs[n], told[0])
			}
		}
		if firsts > 1 { // the first one's own answer may have been lost on the way to it
			t.Errorf("%s: %d clients were told that theirs was the first", name, firsts)
		}
		r.told(told[0].Status, told[0].Position, errs[0])
		if b := c.arrived(from, 3); b.Available != 900 {
			t.Errorf("%s: the payer has %+v", name, b)
		}
		c.arrived(to, 3)
		c.differentContents(l, from, to)
		c.confirmsAndCancels(l, from, to)
	}
	c.check(l)
}

// differentContents: one key, fifty amounts.
func (c *cluster) differentContents(l *ledger, from, to string) {
	c.t.Helper()
	told, errs := askedAtOnce(c.wallet, func(s *client.Client, n int) (client.Result, error) {
		return s.Transfer(within(c.t, answerLimit), client.Transfer{Key: "many", From: from, To: to, Amount: journal.Amount(n + 1), Asset: "USD"})
	})
	winners := 0
	for n := range told {
		if errs[n] == nil {
			winners++
			r := &request{act: actTransfer, key: "many", from: from, to: to, amount: journal.Amount(n + 1), asset: "USD"}
			r.told(told[n].Status, told[n].Position, nil)
			l.add(r)
		} else if client.Code(errs[n]) != "key_reused_with_different_amount" {
			c.t.Errorf("client %d was told %v", n, errs[n])
		}
	}
	if winners != 1 {
		c.t.Errorf("%d of %d amounts were paid under one key", winners, crowd)
	}
	c.arrived(from, 4)
	c.arrived(to, 4)
}

// confirmsAndCancels: half of the crowd confirms a reservation, half cancels it: one end, one movement.
func (c *cluster) confirmsAndCancels(l *ledger, from, to string) {
	c.t.Helper()
	reserve := &request{act: actReserve, key: "r", from: from, to: to, amount: 10, asset: "USD", expiresInS: 3600}
	l.add(reserve)
	v, err := askReservation(within(c.t, answerLimit), c.rest(), reserve)
	reserve.told(v.Status, v.Position.Position, err)
	if err != nil {
		c.t.Errorf("reserve: %v", err)
		return
	}
	requests := make([]*request, crowd)
	for n := range requests {
		requests[n] = &request{act: actConfirm, key: fmt.Sprint("c", n), reservation: reserve.id(), to: to}
		if n%2 == 0 {
			requests[n] = &request{act: actCancel, reservation: reserve.id(), from: from}
		}
		l.add(requests[n])
	}
	told, errs := askedAtOnce(c.wallet, func(s *client.Client, n int) (client.Reservation, error) {
		return askReservation(within(c.t, answerLimit), s, requests[n])
	})
	confirms, cancels := 0, 0
	for n, r := range requests {
		r.told(told[n].Status, told[n].Position.Position, errs[n])
		var no *client.RefusedError
		switch code := client.Code(errs[n]); {
		case errs[n] == nil && r.act == actConfirm:
			confirms++
		case errs[n] == nil:
			cancels++
		case !errors.As(errs[n], &no) || code != "already_confirmed" && code != "already_cancelled":
			c.t.Errorf("%v was answered %v", r, errs[n])
		}
	}
	if won := confirms == 1 && cancels == 0 || confirms == 0 && cancels == crowd/2; !won {
		c.t.Errorf("%d confirms and %d cancels of one reservation were acknowledged", confirms, cancels)
	}
}
