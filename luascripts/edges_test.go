package luascripts

import (
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
)

// Lua's numbers are doubles: every sum at 2^53−1 must be right to the digit (design section 5). MAX is 2^53−1.
func TestAmountsAtTheEdge(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	for name, scenario := range map[string]string{
		"an issuance account gives MAX and not one more": `
			open MINT issuance           -> opened
			open A                       -> opened
			transfer t1 MINT A MAX-1     -> confirmed
			balance MINT                 -> -9007199254740990 0
			balance A                    -> 9007199254740990 0
			transfer t2 MINT A 2         -> limit_exceeded 9007199254740991
			transfer t3 MINT A 1         -> confirmed
			balance MINT                 -> -9007199254740991 0
			balance A                    -> 9007199254740991 0
			transfer t4 MINT A 1         -> limit_exceeded 9007199254740991
			check A 1                    -> balance_overflow
			transfer t5 A MINT MAX       -> confirmed
			balance MINT                 -> 0 0
		`,
		"what is missing": `
			open MINT issuance           -> opened
			open A                       -> opened
			open B                       -> opened
			transfer t1 MINT A 1         -> confirmed
			transfer t2 A B MAX          -> insufficient_funds 9007199254740990
			transfer t2 A B MAX          -> insufficient_funds 9007199254740990 again
			transfer t3 A B 2            -> insufficient_funds 1
			transfer t4 B A MAX          -> insufficient_funds 9007199254740991
		`,
		"the largest overdraft": `
			open A - MAX                 -> opened
			open B                       -> opened
			transfer t1 A B MAX          -> confirmed
			balance A                    -> -9007199254740991 0
			balance B                    -> 9007199254740991 0
			transfer t2 A B 1            -> insufficient_funds 1
			reserve r1 A B MAX           -> insufficient_funds 9007199254740991
			transfer t3 B A MAX          -> confirmed
			balance A                    -> 0 0
			transfer t4 A B MAX-1        -> confirmed
			transfer t5 A B 2            -> insufficient_funds 1
			transfer t6 A B 1            -> confirmed
		`,
		"balance and overdraft above 2^53": `
			open MINT issuance           -> opened
			open A - MAX                 -> opened
			open B issuance              -> opened
			transfer t1 MINT A MAX       -> confirmed
			transfer t2 A B MAX          -> confirmed
			balance A                    -> 0 0
			transfer t3 A B MAX          -> balance_overflow
			transfer t4 A MINT MAX       -> confirmed
			balance A                    -> -9007199254740991 0
		`,
		"room counts what is reserved": `
			open MINT issuance           -> opened
			open A                       -> opened
			open B                       -> opened
			transfer t1 MINT A MAX       -> confirmed
			reserve r1 A B MAX-1         -> tried
			balance A                    -> 1 9007199254740990
			check A 1                    -> balance_overflow
			transfer t2 A B 1            -> confirmed
			check A 1                    -> ok
			check A 2                    -> balance_overflow
			confirm c1 r1:A B MAX-1      -> confirmed 9007199254740990
			balance A                    -> 0 0
			balance B                    -> 9007199254740991 0
		`,
		"a capture that has no room": `
			open MINT issuance           -> opened
			open MINT2 issuance          -> opened
			open A                       -> opened
			open B                       -> opened
			transfer t1 MINT A 10        -> confirmed
			reserve r1 A B 10            -> tried
			transfer t2 MINT2 B MAX-4    -> confirmed
			confirm c1 r1:A B 5          -> balance_overflow
			confirm c2 r1:A B 4          -> tried 6
			balance B                    -> 9007199254740991 0
			cancel r1:A                  -> cancelled
			balance A                    -> 6 0
		`,
	} {
		t.Run(name, func(t *testing.T) {
			b := tellerAt(t, s)
			b.read(scenario)
			b.zero()
		})
	}
}

// A leg can never be refused: one that has no room, or no payee, goes to the suspense account (design section 6).
func TestDeliveries(t *testing.T) {
	b := newTeller(t)
	suspense := func(want int64) {
		t.Helper()
		o := b.do(journal.Row{Op: journal.OpRead, Account: journal.SuspenseHandle(0, 0), Details: true})[0]
		a, details, err := o.Account()
		if want == 0 && o.Status == journal.AccountNotFound {
			return
		}
		must(t, err)
		if int64(a.Available) != want || len(details) != 0 {
			t.Errorf("suspense has %d, want %d (details %q)", a.Available, want, details)
		}
	}
	b.read(`
		open A                       -> opened
		deliver 0 5 A 10 A 20        -> delivered
		balance A                    -> 30 0
		# repeated, late, with a gap
		deliver 0 5 A 10 A 20        -> delivery_gap 5
		deliver 3 5 A 20             -> delivery_gap 5
		deliver 6 7 A 1              -> delivery_gap 5
		# an empty one moves the number on
		deliver 5 9                  -> delivered
		deliver 5 9                  -> delivery_gap 9
		# frozen and closed accounts are credited
		alter A frozen_receiving     -> altered
		deliver 9 10 A 1             -> delivered
		balance A                    -> 31 0
	`)
	suspense(0)
	b.read(`
		# nobody, and no room: also within one delivery
		deliver 10 11 NOBODY 7       -> delivered
		deliver 11 12 A MAX-31 A 1 A 2 -> delivered
		balance A                    -> 9007199254740991 0
	`)
	suspense(10)
	b.read(`
		# suspense is full: nothing of the whole delivery is applied
		open B                       -> opened
		deliver 12 13 B 5 A MAX      -> suspense_full
		balance B                    -> 0 0
		deliver 12 13 B 5 A MAX-10   -> delivered
		balance B                    -> 5 0
		deliver 13 14 NOBODY 1       -> suspense_full
		deliver 13 14 B 1            -> delivered
	`)
	suspense(int64(journal.AmountMax))
	b.read(`
		# room above 2^53: what two legs bring together has no exact double
		open MINT issuance           -> opened
		open C                       -> opened
		transfer t1 MINT C 1         -> confirmed
		deliver 14 15 MINT MAX MINT 2 -> suspense_full
		deliver 14 15 MINT MAX MINT 1 -> delivered
		balance MINT                 -> 9007199254740991 0
	`)
}
