package luascripts

import (
	"testing"

	"walletd/journal"
)

// Semantics section 1, row 4: a key that is used with other content names the first field that differs, in a fixed order,
// and changes nothing; the same content answers the first outcome for ever.
func TestKeyRules(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open MINT issuance        -> opened
		open A                    -> opened
		open B                    -> opened
		open C                    -> opened
		transfer mint MINT A 1000 -> confirmed
		reserve r0 A B 100        -> tried
	`)
	first := map[journal.Op]journal.Row{}
	for _, words := range [][]string{{"transfer", "t1", "A", "B", "10"}, {"pay", "p1", "A", "X", "10"}, {"reserve", "r1", "A", "B", "10"}, {"confirm", "c1", "r0:A", "B", "10"}} {
		r := b.row(words)
		r.Reference = []byte("rent")
		if o := b.do(r)[0]; !o.Status.Accepted() {
			t.Fatalf("%v: %v", words, o.Status)
		}
		first[r.Op] = r
	}
	// Each change leaves those below it in place: the first in this order is named.
	changes := []struct {
		name   string
		change func(*journal.Row)
		status journal.Status
		not    journal.Op // an op whose content does not hold the field
	}{
		{"to", func(r *journal.Row) { r.To = account("C") }, journal.KeyReusedTo, 0},
		{"amount", func(r *journal.Row) { r.Amount++ }, journal.KeyReusedAmount, 0},
		{"asset", func(r *journal.Row) { r.Asset++ }, journal.KeyReusedAsset, journal.OpConfirm},
		{"expires_in_s", func(r *journal.Row) { r.ExpiresInS++ }, journal.KeyReusedExpires, 0},
		{"final", func(r *journal.Row) { r.Final = !r.Final }, journal.KeyReusedFinal, 0},
		{"reference", func(r *journal.Row) { r.Reference = []byte("food") }, journal.KeyReusedReference, journal.OpConfirm},
	}
	for op, row := range first {
		for i := range changes {
			r := row
			for _, c := range changes[i:] {
				c.change(&r)
			}
			want := journal.None
			for _, c := range changes[i:] {
				holds := c.not != op && (c.name != "final" || op == journal.OpConfirm) && (c.name != "expires_in_s" || op == journal.OpReserve)
				if want == journal.None && holds {
					want = c.status
				}
			}
			o := b.do(r)[0]
			if want == journal.None {
				if !o.Replayed {
					t.Errorf("%v with another %s: %v, want the first answer", op, changes[i].name, o.Status)
				}
				continue
			}
			if o.Status != want || o.Replayed || o.Record != nil {
				t.Errorf("%v with another %s and what follows: %v, want %v", op, changes[i].name, o.Status, want)
			}
		}
		if o := b.do(row)[0]; !o.Replayed || !o.Status.Accepted() {
			t.Errorf("%v again: %v, replayed %v", op, o.Status, o.Replayed)
		}
	}
	b.read(`
		balance A -> 870 100
		balance B -> 20 0
	`)
}

// A transfer and a pay are one kind, a reservation is another, and only the kind is named.
func TestKeyOfAnotherKind(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open MINT issuance        -> opened
		open A                    -> opened
		open B                    -> opened
		transfer mint MINT A 1000 -> confirmed
		transfer k1 A B 10        -> confirmed
		reserve k1 A B 11         -> key_reused_with_different_kind
		pay k1 A X 10             -> key_reused_with_different_to
		reserve k2 A B 10         -> tried
		transfer k2 A B 10        -> key_reused_with_different_kind
		pay k2 A X 10             -> key_reused_with_different_kind
	`)
	row := b.row([]string{"transfer", "k1", "A", "B", "10"})
	row.Op, row.Verdict = journal.OpPay, uint8(journal.PayeeClosed)
	if o := b.do(row)[0]; o.Status != journal.Confirmed || !o.Replayed {
		t.Errorf("the same transfer as a pay: %v, replayed %v; a key answers before the payee's verdict", o.Status, o.Replayed)
	}
}

// Semantics section 2: a refusal is an outcome; what is not stored leaves the key usable.
func TestRefusalsAndKeys(t *testing.T) {
	newTeller(t).read(`
		open MINT issuance       -> opened
		open A                   -> opened
		open B                   -> opened
		transfer t1 A B 10       -> insufficient_funds 10
		transfer mint MINT A 100 -> confirmed
		# topping up and retrying the same key still answers the refusal
		transfer t1 A B 10       -> insufficient_funds 10 again
		# a payee who does not exist is frozen under the key, too
		transfer t2 A NEW 10     -> payee_account_not_found
		open NEW                 -> opened
		transfer t2 A NEW 10     -> payee_account_not_found again
		# an unknown payer has no place to record
		transfer t3 LATE B 10    -> payer_account_not_found
		open LATE                -> opened
		transfer t3 LATE B 10    -> insufficient_funds 10
		# a transfer to oneself mints no money, and leaves the key usable
		transfer t4 A A 10       -> same_account
		transfer t4 A B 10       -> confirmed
		balance A                -> 90 0
		# payer first, closed before frozen, then the payee, then funds
		open C frozen_sending    -> opened
		open D closed+frozen_sending -> opened
		open E frozen_receiving  -> opened
		transfer t5 C E 10       -> payer_account_frozen
		transfer t6 D E 10       -> payer_account_closed
		transfer t7 A E 1000     -> payee_account_frozen
		transfer t8 A D 1000     -> payee_account_closed
		transfer t8 A D 1000     -> payee_account_closed again
	`)
}
