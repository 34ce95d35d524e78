package systemtest

import (
	"context"
	"fmt"

	"walletd/gateway/client"
	"walletd/journal"
)

const loners = 4

// loner has an account that nobody else uses, so it knows at every moment what must be in it (P8): every read shows
// exactly what was acknowledged, whatever dies in between; no answer runs ahead of the journal, none lags behind.
type loner struct {
	*load
	account string
	session *client.Client
	has     journal.Amount
	version uint64
	paid    int
}

func (l *load) startLoner(n int, taken map[string]bool) {
	l.w.t.Helper()
	k := &loner{load: l, account: l.w.inPartition("loner", n%l.w.partitions, taken), session: l.w.dial(), has: loadFunds, version: 2}
	l.w.fund("USD", loadFunds, k.account)
	l.workers.Go(func() {
		for {
			select {
			case <-l.stopping:
				return
			case <-l.tokens:
				k.pay()
				k.look()
			}
		}
	})
}

// pay moves 1 away and asks again, with the same key, until it knows whether that has happened.
func (k *loner) pay() {
	k.paid++
	r := &request{act: actTransfer, key: fmt.Sprintf("loner/%d", k.paid), from: k.account, to: k.accounts[k.paid%len(k.accounts)], amount: 1, asset: "USD"}
	k.ledger.add(r)
	for {
		result, err := patient(func(ctx context.Context) (client.Result, error) { return k.session.Transfer(ctx, asTransfer(r)) })
		k.ledger.mu.Lock()
		r.told(result.Status, result.Position, err)
		k.ledger.mu.Unlock()
		if r.outcome == acknowledged {
			k.ledger.notAhead(k.w, r, result.Position)
			k.has, k.version = k.has-1, k.version+1
			return
		}
		if forbidden(err) {
			k.ledger.fault("%v: a loner's payment was refused: %v", r, err)
			return
		}
		select {
		case <-k.stopping: // the oracle asks again
			if r.outcome != unknown {
				return
			}
			k.version = 0 // not known any more
			return
		default:
		}
	}
}

// look reads the balance and looks the last payment up.
func (k *loner) look() {
	if k.version == 0 {
		return
	}
	b, err := patient(func(ctx context.Context) (client.Balance, error) { return k.session.Balance(ctx, k.account) })
	if err == nil && (b.Available != k.has || b.Reserved != 0 || b.Version != k.version) {
		k.ledger.fault("%s reads %d at version %d (%v), by what was acknowledged it has %d at version %d", k.account, b.Available, b.Version, b.Position, k.has, k.version)
	}
	key := fmt.Sprintf("loner/%d", k.paid)
	v, err := patient(func(ctx context.Context) (v client.TransferInfo, err error) {
		v, _, err = k.rest.TransferByKey(ctx, k.account, key)
		return v, err
	})
	if err == nil && v.Status != "confirmed" {
		k.ledger.fault("payment %q of %s was acknowledged, a look-up finds %+v", key, k.account, v)
	}
}

// patient makes one call.
func patient[T any](call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLong)
	defer cancel()
	return call(ctx)
}

// alter changes what acts look at, under load: limits and metadata of accounts that pay, freezes of those that do not.
func (k *worker) alter() {
	ctx, cancel := k.call()
	defer cancel()
	frozen, limit, word := k.dice.IntN(2) == 0, journal.Amount(k.dice.IntN(1000)), fmt.Sprint(k.count)
	account, patch := k.foreign[k.dice.IntN(len(k.foreign))], client.AccountPatch{Frozen: &client.FrozenPatch{Receiving: &frozen}}
	switch k.dice.IntN(3) {
	case 0:
		account, patch = k.pick(), client.AccountPatch{Metadata: map[string]*string{"word": &word}}
	case 1:
		account, patch = k.pick(), client.AccountPatch{OverdraftLimit: &limit}
	}
	_, err := k.rest.PatchAccount(ctx, account, patch, 0)
	if forbidden(err) && client.Code(err) != "condition_failed" {
		k.ledger.fault("a patch %+v of %s was answered %v", patch, account, err)
	}
	r := &request{act: actTransfer, key: k.key("e"), from: k.foreign[0], to: k.foreign[len(k.foreign)-1], amount: 1, asset: "EUR"}
	if k.dice.IntN(2) == 0 {
		r.from, r.to = r.to, r.from
	}
	if r.from != r.to {
		k.transfer(r)
	}
}
