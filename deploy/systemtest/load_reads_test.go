package systemtest

import (
	"fmt"

	"walletd/gateway/client"
	"walletd/journal"
)

// runReads reads balances all the time, of accounts that everybody uses, and notes what it is told.
func (k *worker) runReads() {
	for {
		select {
		case <-k.stopping:
			return
		case <-k.tokens:
			k.read()
		}
	}
}

func (k *worker) read() {
	ctx, cancel := k.call()
	defer cancel()
	account := k.pick()
	ask := k.session.Balance
	if k.dice.IntN(3) == 0 {
		ask = k.rest.Balance
	}
	newest := k.ledger.newestOf(account)
	b, err := ask(ctx, account)
	if forbidden(err) {
		k.ledger.fault("a read of %s was refused: %v", account, err)
	}
	if err != nil {
		return
	}
	k.ledger.notAhead(k.w, fmt.Sprintf("a read of %s (%d, version %d)", account, b.Available, b.Version), b.Position.Position)
	if b.Position.Seq < newest {
		k.ledger.fault("a read of %s shows %+v, after a payment of it was acknowledged at seq %d", account, b, newest)
	}
	k.ledger.addRead(read{account, b})
}

// open opens an account and pays it something.
func (k *worker) open() {
	ctx, cancel := k.call()
	defer cancel()
	k.count++
	id := fmt.Sprintf("new-%d-%d", k.n, k.count)
	if _, err := k.rest.CreateAccount(ctx, client.AccountCreate{ID: id, Asset: "USD"}); err != nil {
		if forbidden(err) {
			k.ledger.fault("the opening of %s was refused: %v", id, err)
		}
		return
	}
	k.ledger.addOpened(id)
	k.transfer(&request{act: actTransfer, key: k.key("first"), from: k.pick(), to: id, amount: journal.Amount(1 + k.dice.IntN(9)), asset: "USD"})
}
