package systemtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"walletd/gateway/client"
	"walletd/journal"
)

// The partitions are nobody's business: one scenario, over 1, 2 and 8 of them, gives the same answers, code by code, and
// the same statements, line by line.
func TestPartitionsDoNotShow(t *testing.T) {
	const seed = 20261124
	var first *story
	for _, partitions := range []int{1, 2, 8} {
		d := startDev(t, partitions)
		s := &story{wallet: d.wallet, rest: d.rest(), dice: rand.New(rand.NewPCG(seed, 0)), versions: map[string]uint64{}}
		s.tell()
		d.check(new(ledger))
		d.stop()
		if first == nil {
			first = s
			s.covers()
			continue
		}
		if s.cross == 0 {
			t.Errorf("%d partitions: nothing crossed from one to another", partitions)
		}
		differing(t, fmt.Sprintf("answers over %d partitions", partitions), first.answers, s.answers)
		differing(t, fmt.Sprintf("statements over %d partitions", partitions), first.statements, s.statements)
	}
}

func differing(t *testing.T, what string, want, got []string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want) || i >= len(got):
			t.Errorf("%s: %d lines, over one partition %d", what, len(got), len(want))
			return
		case want[i] != got[i]:
			t.Errorf("%s: line %d\n got %s\nwant %s", what, i, got[i], want[i])
			return
		}
	}
}

// story is a sequence of requests, each made when the one before has arrived everywhere.
type story struct {
	*wallet
	rest *client.REST
	dice *rand.Rand

	accounts   []string
	versions   map[string]uint64 // that each account must have by now
	made       []client.Transfer
	reserved   []client.Reserve
	cross      int
	answers    []string
	statements []string
}

const storySteps = 400

func (s *story) tell() {
	s.t.Helper()
	for i := range 8 {
		s.create(client.AccountCreate{ID: fmt.Sprintf("usd%d", i), Asset: "USD"}, fmt.Sprintf("usd%d", i))
	}
	s.create(client.AccountCreate{ID: "credit", Asset: "USD", OverdraftLimit: 500}, "credit")
	s.create(client.AccountCreate{ID: "eur", Asset: "EUR"}, "eur")
	s.create(client.AccountCreate{ID: "source", Asset: "USD", Issuance: true}, "source")
	s.create(client.AccountCreate{ID: "credit", Asset: "USD", OverdraftLimit: 501}, "")
	s.create(client.AccountCreate{ID: "full", Asset: "USD"}, "full")
	s.transferOf(client.Transfer{Key: "fill", From: "source", To: "full", Amount: journal.AmountMax - 1000, Asset: "USD"})
	s.transferOf(client.Transfer{Key: "too much", From: "source", To: "usd0", Amount: 2000, Asset: "USD"})
	for i := range 4 {
		s.transferOf(client.Transfer{Key: fmt.Sprint("begin", i), From: "source", To: fmt.Sprintf("usd%d", i), Amount: 200, Asset: "USD"})
	}
	s.prelude()
	for range storySteps {
		s.step()
	}
	s.end()
}

// prelude are the refusals that chance may pass over.
func (s *story) prelude() {
	s.t.Helper()
	s.create(client.AccountCreate{ID: "spring", Asset: "USD", Issuance: true}, "spring")
	s.transferOf(client.Transfer{Key: "overflow", From: "spring", To: "full", Amount: 1001, Asset: "USD"})
	s.patch("usd7", client.AccountPatch{Status: "closed"})
	s.transferOf(client.Transfer{Key: "to closed", From: "spring", To: "usd7", Amount: 1, Asset: "USD"})
	s.transferOf(client.Transfer{Key: "from closed", From: "usd7", To: "usd1", Amount: 1, Asset: "USD"})
	s.reserveOf(client.Reserve{Key: "brief", From: "usd0", To: "usd1", Amount: 7, Asset: "USD", ExpiresInS: 1})
	s.reserveOf(client.Reserve{Key: "to closed too", From: "usd0", To: "usd7", Amount: 7, Asset: "USD", ExpiresInS: 60})
	s.reserveOf(client.Reserve{Key: "to close", From: "usd0", To: "usd6", Amount: 7, Asset: "USD", ExpiresInS: 60})
	s.patch("usd6", client.AccountPatch{Status: "closed"})
	for n, key := range []string{"brief", "to close"} {
		id := client.TransferID("usd0", key).Text(journal.ReservationPrefix)
		s.confirmOf("usd0", client.Confirm{Reservation: id, Key: fmt.Sprint("prelude", n)})
	}
	s.patch("usd6", client.AccountPatch{Status: "open"})
	s.patch("usd7", client.AccountPatch{Status: "open"})
}

func (s *story) end() {
	s.t.Helper()
	ctx := within(s.t, drainLimit)
	for _, id := range s.accounts {
		b := s.arrived(id, s.versions[id])
		entries, err := statement(ctx, s.rest.After(b.Position), id)
		if err != nil {
			s.t.Fatalf("statement of %s: %v", id, err)
		}
		for _, e := range entries {
			s.statements = append(s.statements, fmt.Sprintf("%s %d %s %s%s %s %d %+d %+d = %d %d %s %s", e.Account, e.Version, e.Kind, e.Transfer, e.Reservation, e.Direction,
				e.Amount, e.AvailableChange, e.ReservedChange, e.AvailableAfter, e.ReservedAfter, e.Counterparty, e.Reference))
		}
	}
}

// said notes an answer, without what may differ: positions and times.
func (s *story) said(what, accepted string, err error) {
	s.t.Helper()
	var no *client.RefusedError
	switch {
	case err == nil:
		s.answers = append(s.answers, what+": "+accepted)
	case errors.As(err, &no) && !no.Retryable:
		s.answers = append(s.answers, fmt.Sprintf("%s: %d %s side=%s field=%s needed=%d limit=%d remaining=%d replayed=%t", what, no.HTTP, no.Code, no.Side, no.Field, no.Needed, no.Limit, no.Remaining, no.Replayed))
	default:
		s.t.Fatalf("%s: %v", what, err)
	}
}

// changed waits until an account shows one more version: also what came by channel is there before the next step.
func (s *story) changed(accounts ...string) {
	s.t.Helper()
	for _, id := range accounts {
		s.versions[id]++
		s.arrived(id, s.versions[id])
	}
}

func (s *story) create(a client.AccountCreate, opened string) {
	s.t.Helper()
	v, err := s.rest.CreateAccount(within(s.t, answerLimit), a)
	s.said(fmt.Sprintf("open %+v", a), fmt.Sprintf("%s %d", v.Status, v.Version), err)
	if opened != "" {
		s.accounts = append(s.accounts, opened)
		s.changed(opened)
	}
}

func (s *story) transferOf(x client.Transfer) {
	s.t.Helper()
	v, err := s.rest.Transfer(within(s.t, answerLimit), x)
	s.said(fmt.Sprintf("%+v", x), fmt.Sprintf("%s %s replayed=%t", v.ID, v.Status, v.Replayed), err)
	if err == nil && !v.Replayed {
		if s.partitionOf(x.From) != s.partitionOf(x.To) {
			s.cross++
		}
		s.changed(x.From, x.To)
	}
	s.made = append(s.made, x)
}

func (s *story) account() string { return s.accounts[s.dice.IntN(len(s.accounts))] }

func (s *story) step() {
	s.t.Helper()
	n := len(s.answers)
	switch d := s.dice.IntN(100); {
	case d < 40:
		s.transferOf(s.someTransfer(n))
	case d < 55:
		s.repeat()
	case d < 70:
		s.reserve(n)
	case d < 90 && len(s.reserved) > 0:
		s.resolve(n)
	default:
		s.alter()
	}
}

// someTransfer is any transfer, sensible or not.
func (s *story) someTransfer(n int) client.Transfer {
	x := client.Transfer{Key: fmt.Sprint("t", n), From: s.account(), To: s.account(), Amount: journal.Amount(1 + s.dice.IntN(120)), Asset: "USD"}
	switch s.dice.IntN(12) {
	case 0:
		x.To = "nobody"
	case 1:
		x.From = "nobody"
	case 2:
		x.Amount = journal.AmountMax
	case 3:
		x.Asset = "EUR"
	case 4:
		x.Reference = "r" + x.Key
	case 5:
		x.Asset = "XXX"
	case 6:
		x.From = "source"
	}
	return x
}

// repeat asks again for an earlier transfer: as it was, or changed in one field.
func (s *story) repeat() {
	s.t.Helper()
	x := s.made[s.dice.IntN(len(s.made))]
	switch s.dice.IntN(8) {
	case 0:
		x.Amount++
	case 1:
		x.To = s.account()
	case 2:
		x.Reference += "!"
	case 3:
		x.Asset = "EUR"
	case 4: // another kind
		v, err := s.rest.Reserve(within(s.t, answerLimit), client.Reserve{Key: x.Key, From: x.From, To: x.To, Amount: x.Amount, Asset: x.Asset})
		s.said(fmt.Sprintf("reserve with the key of %+v", x), v.Status, err)
		if err == nil && !v.Replayed {
			s.changed(x.From)
		}
		return
	}
	s.transferOf(x)
}

func (s *story) reserve(n int) {
	s.t.Helper()
	x := client.Reserve{Key: fmt.Sprint("r", n), From: s.account(), To: s.account(), Amount: journal.Amount(1 + s.dice.IntN(60)), Asset: "USD", ExpiresInS: 3600}
	if s.dice.IntN(5) == 0 {
		x.To = ""
	}
	if s.dice.IntN(12) == 0 {
		x.ExpiresInS = 1
	}
	if len(s.reserved) > 0 && s.dice.IntN(5) == 0 {
		x = s.reserved[s.dice.IntN(len(s.reserved))]
		if s.dice.IntN(2) == 0 {
			x.ExpiresInS++
		}
	}
	s.reserveOf(x)
}

func (s *story) reserveOf(x client.Reserve) {
	s.t.Helper()
	v, err := s.rest.Reserve(within(s.t, answerLimit), x)
	s.said(fmt.Sprintf("%+v", x), fmt.Sprintf("%s %s remaining=%d replayed=%t", v.ID, v.Status, v.Remaining, v.Replayed), err)
	if err != nil || v.Replayed {
		return
	}
	s.changed(x.From)
	if x.ExpiresInS == 1 { // its end belongs to this step
		await(s.t, drainLimit, "the reservation expires", func() error {
			v, err := s.rest.Reservation(context.WithoutCancel(s.t.Context()), v.ID)
			if err == nil && v.Status != "expired" {
				err = errors.New("it is " + v.Status)
			}
			return err
		})
		s.changed(x.From)
	}
	s.reserved = append(s.reserved, x)
}

// resolve confirms or cancels a reservation, open or not.
func (s *story) resolve(n int) {
	s.t.Helper()
	r := s.reserved[s.dice.IntN(len(s.reserved))]
	id := client.TransferID(r.From, r.Key).Text(journal.ReservationPrefix)
	if s.dice.IntN(3) == 0 {
		s.cancel(r, id, n)
		return
	}
	x := client.Confirm{Reservation: id, Key: fmt.Sprint("c", n), To: r.To}
	switch s.dice.IntN(6) {
	case 0:
		x.Amount = journal.Amount(1 + s.dice.IntN(80))
	case 1:
		x.Amount, x.KeepOpen = journal.Amount(1+s.dice.IntN(20)), true
	case 2:
		x.Key = "again" // the same for every confirm of this reservation
	case 3:
		x.To = s.account()
	}
	if x.To == "" && s.dice.IntN(2) == 0 {
		x.To = s.account()
	}
	s.confirmOf(r.From, x)
}

func (s *story) confirmOf(payer string, x client.Confirm) {
	s.t.Helper()
	before := s.balance(payer)
	v, err := s.rest.Confirm(within(s.t, answerLimit), x)
	s.said(fmt.Sprintf("%+v", x), fmt.Sprintf("%s remaining=%d captured=%d from=%s to=%s replayed=%t", v.Status, v.Remaining, v.Captured, v.From, v.To, v.Replayed), err)
	if err == nil && !v.Replayed {
		s.changed(payer, cmp.Or(v.To, x.To))
	} else if after := s.balance(payer); after.Version != before.Version {
		s.t.Errorf("%+v moved something: %+v before, %+v after", x, before, after)
	}
}

func (s *story) cancel(r client.Reserve, id string, n int) {
	s.t.Helper()
	version := s.balance(r.From).Version
	var v client.Reservation
	var err error
	switch s.dice.IntN(3) {
	case 0:
		v, err = s.rest.CancelKey(within(s.t, answerLimit), r.From, r.Key)
	case 1: // before its Try
		r.Key = fmt.Sprint("late", n)
		v, err = s.rest.CancelKey(within(s.t, answerLimit), r.From, r.Key)
		s.made = append(s.made, client.Transfer{Key: r.Key, From: r.From, To: r.To, Amount: r.Amount, Asset: r.Asset})
	default:
		v, err = s.rest.Cancel(within(s.t, answerLimit), id)
	}
	s.said(fmt.Sprintf("cancel %s of %s", r.Key, r.From), fmt.Sprintf("%s remaining=%d", v.Status, v.Remaining), err)
	if b := s.balance(r.From); b.Version != version {
		s.changed(r.From)
	}
}

// alter freezes, thaws, closes, reopens.
func (s *story) alter() {
	s.t.Helper()
	id := s.account()
	yes, no := true, false
	limit := journal.Amount(s.dice.IntN(800))
	patch := []client.AccountPatch{
		{Frozen: &client.FrozenPatch{Sending: &yes}}, {Frozen: &client.FrozenPatch{Receiving: &yes}},
		{Frozen: &client.FrozenPatch{Sending: &no, Receiving: &no}}, {Frozen: &client.FrozenPatch{Sending: &no, Receiving: &no}},
		{Status: "closed"}, {Status: "open"}, {OverdraftLimit: &limit},
	}[s.dice.IntN(7)]
	s.patch(id, patch)
}

func (s *story) patch(id string, patch client.AccountPatch) {
	s.t.Helper()
	version := s.balance(id).Version
	v, err := s.rest.PatchAccount(within(s.t, answerLimit), id, patch, 0)
	s.said(fmt.Sprintf("alter %s %s limit=%d", id, patch.Status, v.OverdraftLimit), fmt.Sprintf("%s %+v %d", v.Status, v.Frozen, v.Version), err)
	if b := s.balance(id); b.Version != version {
		s.changed(id)
	}
}

// covers fails the test when the scenario does not reach what it is there for.
func (s *story) covers() {
	s.t.Helper()
	all := strings.Join(s.answers, "\n")
	for _, code := range []string{"same_account", "asset_mismatch", "asset_unknown", "account_not_found side=payer", "account_not_found side=payee", "account_frozen side=payer", "account_frozen side=payee",
		"account_closed side=payee", "insufficient_funds", "balance_overflow", "limit_exceeded", "exceeds_reservation", "already_confirmed", "already_cancelled", "reservation_expired", "cancelled_before_try",
		"key_reused_with_different_amount", "key_reused_with_different_to", "key_reused_with_different_reference", "key_reused_with_different_asset", "key_reused_with_different_kind",
		"account_not_empty", "account_exists_with_different_overdraft_limit", "replayed=true"} {
		if !strings.Contains(all, code) {
			s.t.Errorf("the scenario never reaches %s", code)
		}
	}
	s.t.Logf("%d answers, %d lines of statements", len(s.answers), len(s.statements))
}
