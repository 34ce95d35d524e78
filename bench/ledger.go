package bench

import (
	"sync/atomic"

	"walletd/journal"
)

// standing is what an account is seen or meant to have.
type standing struct {
	money   journal.Amount // available and reserved
	version uint64
}

// ledger is where every account must stand after what the wallet has acknowledged. Safe for concurrent use.
type ledger struct {
	money   []atomic.Int64
	changes []atomic.Uint32 // of the version, beyond its opening and funding
}

func newLedger(accounts int) *ledger {
	return &ledger{make([]atomic.Int64, accounts), make([]atomic.Uint32, accounts)}
}

// move is an acknowledged transfer: each side changes once.
func (l *ledger) move(from, to uint32, amount int64) {
	l.money[from].Add(-amount)
	l.money[to].Add(amount)
	l.changes[from].Add(1)
	l.changes[to].Add(1)
}

// touch is a change of an account's version that leaves available and reserved together as they are: a Try.
func (l *ledger) touch(account uint32) { l.changes[account].Add(1) }

// want is where account i must stand that had money at a version before.
func (l *ledger) want(i int, before standing) standing {
	return standing{before.money + journal.Amount(l.money[i].Load()), before.version + uint64(l.changes[i].Load())}
}
