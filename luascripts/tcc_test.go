package luascripts

import (
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// Semantics section 3, read aloud: what arrives, in which state.
func TestTCCTable(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	const opening = `
		open MINT issuance       -> opened
		open A                   -> opened
		open B                   -> opened
		transfer mint MINT A 100 -> confirmed
	`
	for name, scenario := range map[string]string{
		"none": `
			confirm c1 r1:A B 40  -> reservation_not_found
			cancel r1:A           -> reservation_not_found
			cancel_by_key r1 A    -> tombstone
			balance A             -> 100 0
		`,
		"none: an unknown payer leaves no tombstone": `
			cancel_by_key r1 NOBODY -> payer_account_not_found
			reserve r1 A B 40       -> tried
		`,
		"tombstone": `
			cancel_by_key r1 A    -> tombstone
			reserve r1 A B 40     -> cancelled_before_try
			reserve r1 A B 40     -> cancelled_before_try
			transfer r1 A B 40    -> cancelled_before_try
			pay r1 A X 40         -> cancelled_before_try
			cancel_by_key r1 A    -> ok
			cancel r1:A           -> ok
			confirm c1 r1:A B 40  -> already_cancelled
			confirm c1 r1:A B 40  -> already_cancelled again
			expire r1:A           -> not_due
			balance A             -> 100 0
		`,
		"tried": `
			reserve r1 A B 40     -> tried
			balance A             -> 60 40
			reserve r1 A B 40     -> tried again
			balance A             -> 60 40
			confirm c1 r1:A B 40  -> confirmed 40
			balance A             -> 60 0
			balance B             -> 40 0
		`,
		"tried, cancelled by id": `
			reserve r1 A B 40     -> tried
			cancel r1:A           -> cancelled
			balance A             -> 100 0
		`,
		"tried, cancelled by key": `
			reserve r1 A B 40     -> tried
			cancel_by_key r1 A    -> cancelled
			balance A             -> 100 0
		`,
		"confirmed": `
			reserve r1 A B 40     -> tried
			confirm c1 r1:A B 40  -> confirmed 40
			reserve r1 A B 40     -> tried again
			confirm c1 r1:A B 40  -> confirmed 40 again
			confirm c2 r1:A B 40  -> already_confirmed
			confirm c2 r1:A B 40  -> already_confirmed again
			cancel r1:A           -> already_confirmed
			cancel_by_key r1 A    -> already_confirmed
			expire r1:A           -> not_due
			balance A             -> 60 0
			balance B             -> 40 0
		`,
		"cancelled": `
			reserve r1 A B 40     -> tried
			cancel r1:A           -> cancelled
			reserve r1 A B 40     -> tried again
			confirm c1 r1:A B 40  -> already_cancelled
			cancel r1:A           -> ok
			cancel_by_key r1 A    -> ok
			expire r1:A           -> not_due
			balance A             -> 100 0
		`,
		"expired by the keeper": `
			reserve r1 A B 40     -> tried
			expire r1:A           -> not_due
			pass 3600
			expire r1:A           -> expired
			expire r1:A           -> not_due
			reserve r1 A B 40     -> tried again
			confirm c1 r1:A B 40  -> reservation_expired
			cancel r1:A           -> ok
			cancel_by_key r1 A    -> ok
			balance A             -> 100 0
		`,
		"expired, and nobody has noticed": `
			reserve r1 A B 40     -> tried
			pass 3600
			confirm c1 r1:A B 40  -> reservation_expired
			balance A             -> 60 40
			cancel r1:A           -> expired
			balance A             -> 100 0
		`,
		"a transfer that is confirmed": `
			transfer t1 A B 10    -> confirmed
			cancel_by_key t1 A    -> already_confirmed
			cancel t1:A           -> reservation_not_found
			transfer t1 A B 10    -> confirmed again
		`,
		"a Try that was refused": `
			reserve r1 A B 101    -> insufficient_funds 1
			cancel_by_key r1 A    -> ok
			cancel r1:A           -> reservation_not_found
			confirm c1 r1:A B 1   -> reservation_not_found
			reserve r1 A B 101    -> insufficient_funds 1 again
		`,
	} {
		t.Run(name, func(t *testing.T) {
			b := tellerAt(t, s)
			b.read(opening)
			b.read(scenario)
			b.zero()
		})
	}
}

// zero says that no money was made or lost (promise P1); what was paid to X is on a channel.
func (b *teller) zero(onChannels ...int64) {
	b.t.Helper()
	books, err := b.s.Dump(b.t.Context(), 1)
	must(b.t, err)
	sums := map[journal.Asset]int64{}
	books[0].State.(*journal.Memory).Sums(sums)
	for _, n := range onChannels {
		sums[0] += n
	}
	if sums[0] != 0 {
		b.t.Errorf("the accounts sum up to %d", sums[0])
	}
}

// Semantics section 4: captures in parts, the rest, frozen and closed accounts, never the overdraft.
func TestReservations(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	const opening = `
		open MINT issuance       -> opened
		open A - 50              -> opened
		open B                   -> opened
		transfer mint MINT A 100 -> confirmed
	`
	for name, scenario := range map[string]string{
		"in parts": `
			reserve r1 A B 40           -> tried
			confirm c1 r1:A B 10        -> tried 30
			confirm c1 r1:A B 10        -> tried 30 again
			balance A                   -> 60 30
			confirm c2 r1:A B 31        -> exceeds_reservation 30
			confirm c3 r1:A B 5 final   -> confirmed 15
			balance A                   -> 85 0
			balance B                   -> 15 0
			confirm c2 r1:A B 31        -> exceeds_reservation 30 again
			confirm c1 r1:A B 10        -> tried 30 again
		`,
		"all that remains": `
			reserve r1 A B 40           -> tried
			confirm c1 r1:A B 15        -> tried 25
			confirm c2 r1:A B 0         -> confirmed 40
			balance B                   -> 40 0
		`,
		"the last part closes it": `
			reserve r1 A B 40           -> tried
			confirm c1 r1:A B 40        -> confirmed 40
			balance A                   -> 60 0
		`,
		"never the overdraft": `
			reserve r1 A B 101          -> insufficient_funds 1
			transfer t1 A B 101         -> confirmed
			reserve r2 A B 1            -> insufficient_funds 2
		`,
		"frozen and closed": `
			reserve r1 A B 40           -> tried
			alter A frozen_sending 50   -> altered
			reserve r2 A B 1            -> payer_account_frozen
			confirm c1 r1:A B 10        -> tried 30
			alter B frozen_receiving    -> altered
			confirm c2 r1:A B 10        -> payee_account_frozen
			alter B closed              -> account_not_empty
			cancel r1:A                 -> cancelled
			balance A                   -> 90 0
		`,
		"to oneself": `
			reserve r1 A A 40           -> same_account
			reserve r2 A B 40           -> tried
			confirm c1 r2:A A 40        -> same_account
		`,
		"expiry": `
			reserve r1 A B 40           -> tried
			pass 3599
			confirm c1 r1:A B 10        -> tried 30
			pass 1
			confirm c2 r1:A B 10        -> reservation_expired
			confirm c1 r1:A B 10        -> tried 30 again
			expire r1:A                 -> expired
			balance A                   -> 90 0
		`,
	} {
		t.Run(name, func(t *testing.T) {
			b := tellerAt(t, s)
			b.read(opening)
			b.read(scenario)
			b.zero()
		})
	}
}

// Beside its status a confirm, first or again, carries the reservation as it is now.
func TestConfirmCarriesTheReservationAsItIsNow(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open MINT issuance       -> opened
		open B                   -> opened
		open A                   -> opened
		transfer mint MINT A 100 -> confirmed
		reserve r1 A B 40        -> tried
	`)
	first := b.row([]string{"confirm", "c1", "r1:A", "B", "10"})
	record := func(o rows.Outcome) journal.Reservation {
		t.Helper()
		r, ok := o.Reservation()
		if !ok {
			t.Fatalf("%v carries no reservation", o.Status)
		}
		return r
	}
	if r := record(b.do(first)[0]); r.Status != journal.Tried || r.Remaining != 30 || r.Captured != 10 {
		t.Fatalf("after the first part: %+v", r)
	}
	record(b.do(b.row([]string{"confirm", "c2", "r1:A", "B", "0"}))[0])
	again := b.do(first)[0]
	if r := record(again); !again.Replayed || again.Detail != 30 || r.Status != journal.Confirmed || r.Remaining != 0 || r.Captured != 40 {
		t.Fatalf("again, when all is captured: %v %d, %+v", again.Status, again.Detail, r)
	}
	look := b.do(journal.Row{Op: journal.OpLook, ID: first.Reservation})[0]
	if k, ok := look.Key(); !ok || k.Op != journal.OpReserve || k.Status != journal.Tried {
		t.Fatalf("look answers the key record %+v", k)
	}
	if r := record(look); r.Captured != 40 {
		t.Fatalf("look answers %+v", r)
	}
	if o := b.do(journal.Row{Op: journal.OpLook, ID: first.ID})[0]; o.Status != journal.OK {
		t.Fatalf("look at a confirm: %v", o.Status)
	} else if k, ok := o.Key(); !ok || k.Op != journal.OpConfirm || k.Detail != 30 {
		t.Fatalf("look at a confirm: %+v", k)
	} else if _, ok := o.Reservation(); ok {
		t.Fatal("a confirm is no reservation")
	}
}
