package luascripts

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// teller runs acts one by one against a shard, from text that can be read aloud:
//
//	reserve r1 A B 40   -> tried
//	confirm c1 r1 B 40  -> confirmed 40
//	balance A           -> 60 0
//
// Accounts A, B, … are opened by `open`; all are in partition 0. X is an account of another partition. Behind the arrow:
// the status, its detail if there is one, and `again` for a first answer.
type teller struct {
	t    testing.TB
	s    *Shard
	tr   Train
	time int64
}

func newTeller(t *testing.T) *teller {
	t.Helper()
	return tellerAt(t, openShard(t, local.Redis(t).Addr))
}

func tellerAt(t testing.TB, s *Shard) *teller {
	t.Helper()
	wiped(t, s)
	b := journal.NewBook(0, 1)
	b.Epoch, b.TimeMS = 1, farFuture
	must(t, s.Load(t.Context(), b))
	return &teller{t: t, s: s, time: farFuture}
}

// do runs rows in one train and answers their outcomes, records copied.
func (b *teller) do(all ...journal.Row) []rows.Outcome {
	b.t.Helper()
	b.tr.Reset()
	b.tr.Section(0, 1)
	for i := range all {
		if !b.tr.Add(all[i].Append(nil)) {
			b.t.Fatalf("the train is full with %d rows", i)
		}
	}
	outcomes, err := runTrain(b.t, b.s, &b.tr)
	must(b.t, err)
	return outcomes
}

// runTrain answers a train's outcomes in one list, records copied.
func runTrain(t testing.TB, s *Shard, tr *Train) ([]rows.Outcome, error) {
	t.Helper()
	reply, err := s.Run(t.Context(), tr)
	if err != nil {
		return nil, err
	}
	var all []rows.Outcome
	for reply.NextSection() {
		var o rows.Outcome
		for reply.NextRow(&o) {
			o.Record = append([]byte(nil), o.Record...)
			all = append(all, o)
		}
	}
	must(t, reply.Err())
	return all, nil
}

// read runs a scenario: one line, one act, one expectation. Lines that begin with # are read aloud only.
func (b *teller) read(scenario string) {
	b.t.Helper()
	lines := bufio.NewScanner(strings.NewReader(scenario))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		act, want, _ := strings.Cut(line, "->")
		got := b.line(strings.Fields(act))
		if want = strings.Join(strings.Fields(want), " "); got != want {
			b.t.Errorf("line %d: %s\n\tanswered %s", n, line, got)
		}
	}
}

func account(name string) journal.Handle { return journal.HandleOf("account " + name) }

func (b *teller) line(w []string) string {
	b.t.Helper()
	switch w[0] {
	case "pass":
		b.pass(atoi(b.t, w[1]))
		return ""
	case "balance":
		o := b.do(journal.Row{Op: journal.OpRead, Account: account(w[1])})[0]
		a, _, err := o.Account()
		must(b.t, err)
		return fmt.Sprintf("%d %d", a.Available, a.Reserved)
	}
	o := b.do(b.row(w))[0]
	text := o.Status.String()
	if o.Detail != 0 && o.Op != journal.OpCheck {
		text += fmt.Sprintf(" %d", o.Detail)
	}
	if o.Replayed {
		text += " again"
	}
	return text
}

// pass moves the partition's time on.
func (b *teller) pass(seconds int64) {
	parts, err := b.s.Parts(b.t.Context())
	must(b.t, err)
	b.time += 1000 * seconds
	book := journal.Book{Epoch: parts[0].Epoch, Seq: parts[0].Seq, TimeMS: b.time}
	must(b.t, b.s.client.HSet(b.t.Context(), partsKey, partitionField(0), book.AppendPart(nil)).Err())
}

// row reads the act's words. Keys of tries belong to their payer, of confirms to their reservation: "r1 A", "c1 r1".
func (b *teller) row(w []string) journal.Row {
	b.t.Helper()
	text := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	amount := func(i int) journal.Amount { return journal.Amount(atoi(b.t, text(i))) }
	switch w[0] {
	case "open": // open A [flags] [overdraft_limit]
		return journal.Row{Op: journal.OpOpen, Account: account(w[1]), Flags: flagsOf(text(2)), OverdraftLimit: amount(3), Text: []byte("{}")}
	case "alter": // alter A flags [overdraft_limit]
		o := b.do(journal.Row{Op: journal.OpRead, Account: account(w[1])})[0]
		a, _, err := o.Account()
		must(b.t, err)
		return journal.Row{Op: journal.OpAlter, Account: account(w[1]), ExpectedStatusSeq: a.StatusSeq, Flags: flagsOf(w[2]), OverdraftLimit: amount(3)}
	case "check": // check A amount
		return journal.Row{Op: journal.OpCheck, Account: account(w[1]), Amount: amount(2)}
	case "transfer", "pay", "reserve": // transfer key payer payee amount [expires_in_s]
		r := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: account(w[2]), To: account(w[3]), Amount: amount(4), Key: []byte(w[1])}
		r.ID = journal.IDOf(r.Account, w[1])
		if w[0] == "pay" {
			r.Op = journal.OpPay
		}
		if w[0] == "reserve" {
			r.Op, r.ExpiresInS = journal.OpReserve, 3600
		}
		if w[3] == "X" {
			r.Verdict = uint8(journal.OK)
		}
		return r
	case "confirm": // confirm key reservation:payer payee amount [final]
		r := journal.Row{Op: journal.OpConfirm, Verdict: journal.VerdictLocal, Reservation: reservationOf(w[2]), To: account(w[3]), Amount: amount(4), Key: []byte(w[1])}
		r.ID, r.Final = journal.ConfirmIDOf(r.Reservation, w[1]), text(5) == "final"
		if w[3] == "X" {
			r.Verdict = uint8(journal.OK)
		}
		return r
	case "cancel": // cancel reservation:payer
		return journal.Row{Op: journal.OpCancel, ID: reservationOf(w[1])}
	case "cancel_by_key": // cancel_by_key key payer
		return journal.Row{Op: journal.OpCancel, ByKey: true, ID: journal.IDOf(account(w[2]), w[1]), Account: account(w[2])}
	case "expire": // expire reservation:payer
		return journal.Row{Op: journal.OpExpire, ID: reservationOf(w[1])}
	case "deliver": // deliver from up_to [payee amount]…
		r := journal.Row{Op: journal.OpDeliver, Source: 1, From: uint64(amount(1)), UpTo: uint64(amount(2))}
		for i := 3; i+1 < len(w); i += 2 {
			r.AddLeg(journal.Leg{Of: journal.OpPay, Payee: account(w[i]), Amount: amount(i + 1)})
		}
		return r
	}
	b.t.Fatalf("nobody knows the act %q", w[0])
	return journal.Row{}
}

// reservationOf reads "key:payer".
func reservationOf(text string) journal.ID {
	key, payer, _ := strings.Cut(text, ":")
	return journal.IDOf(account(payer), key)
}

func flagsOf(text string) (f journal.Flags) {
	for name, flag := range map[string]journal.Flags{
		"issuance": journal.Issuance, "closed": journal.Closed, "frozen_sending": journal.FrozenSending, "frozen_receiving": journal.FrozenReceiving,
	} {
		for _, word := range strings.Split(text, "+") {
			if word == name {
				f |= flag
			}
		}
	}
	return f
}

// atoi reads a number; MAX is 2^53−1, "" is 0, and MAX-n what it says.
func atoi(t testing.TB, text string) int64 {
	t.Helper()
	if text == "" {
		return 0
	}
	if rest, ok := strings.CutPrefix(text, "MAX"); ok {
		return int64(journal.AmountMax) + atoi(t, rest)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	must(t, err)
	return n
}
