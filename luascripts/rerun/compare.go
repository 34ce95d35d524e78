package rerun

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
)

// looks puts rows into the train that show what the event has left: every account that it changed, its key record, its reservation.
func (p *partition) looks(ctx context.Context, s step, row *journal.Row) error {
	s.look = true
	details := row.Op == journal.OpOpen || row.Op == journal.OpAlter
	slices.SortFunc(p.touched, func(a, b journal.Handle) int { return bytes.Compare(a[:], b[:]) })
	for _, h := range slices.Compact(p.touched) {
		if err := p.lookAt(ctx, s, h[:], journal.Row{Op: journal.OpRead, Account: h, Details: details}, p.account(h, details)); err != nil {
			return err
		}
	}
	if !row.Op.Keyed() && row.Op != journal.OpCancel && row.Op != journal.OpExpire {
		return nil
	}
	if err := p.lookAt(ctx, s, row.ID[:], journal.Row{Op: journal.OpLook, ID: row.ID}, p.remembered(row.ID)); err != nil || row.Op != journal.OpConfirm {
		return err
	}
	return p.lookAt(ctx, s, row.Reservation[:], journal.Row{Op: journal.OpLook, ID: row.Reservation}, p.remembered(row.Reservation))
}

func (p *partition) lookAt(ctx context.Context, s step, of []byte, look journal.Row, want []byte) error {
	s.of = append([]byte(nil), of...)
	if err := p.add(ctx, look.Append(nil), s); err != nil {
		return err
	}
	last := &p.steps[len(p.steps)-1] // p.add may have emptied the records
	last.from = len(p.records)
	p.records = append(p.records, want...)
	last.upto = len(p.records)
	return nil
}

// account is what a read of an account must answer.
func (p *partition) account(h journal.Handle, details bool) []byte {
	a, _ := p.book.State.Account(h)
	record := a.Append(nil)
	if text, ok := p.book.State.Details(h); ok && details {
		record = append(record, text...)
	}
	return record
}

// remembered is what a look at an id must answer: its reservation and its key record; nothing of what is evicted.
func (p *partition) remembered(id journal.ID) []byte {
	r, reserved := p.book.State.Reservation(id)
	k, seen := p.book.State.Key(id)
	if !reserved && !seen {
		return nil
	}
	record := []byte{0}
	if reserved {
		record = r.Append([]byte{journal.ReservationSize})
	}
	if seen {
		record = k.Append(record)
	}
	return record
}

// compare holds an answer against what it must be; false when they differ, which is noted.
func (p *partition) compare(s *step, reply *luascripts.Reply, o *rows.Outcome) bool {
	if s.look {
		p.checked++
		want := p.records[s.from:s.upto]
		if bytes.Equal(o.Record, want) {
			return true
		}
		words, what := accountWords, "account "+hexOf(s.of)
		if o.Op == journal.OpLook {
			words, what = rememberedWords, "key record and reservation of "+hexOf(s.of)
		}
		p.diverge(s, what, words(want), words(o.Record), "as the journal")
		if o.Op == journal.OpRead {
			p.diverged.Account = journal.Handle(s.of)
		}
		return false
	}
	b := &s.book
	mine := o.Status == s.decision.status && o.Detail == s.detail && !o.Replayed && reply.Journaled()
	books := b.Status == s.decision.status && b.Detail == s.detail && !b.Replayed && b.Journaled
	acts := outcomeWords(decision{o.Op, o.Status}, o.Detail, o.Replayed)
	book := outcomeWords(decision{o.Op, b.Status}, b.Detail, b.Replayed)
	switch {
	case !mine || !books:
		p.diverge(s, "decision", outcomeWords(s.decision, s.detail, false), acts, book)
		return false
	case o.Position != s.at:
		p.diverge(s, "position", s.at.String(), o.Position.String(), "not asked")
		return false
	}
	p.report.Events++
	p.decisions[s.decision]++
	return true
}

// outcomeWords say an outcome.
func outcomeWords(d decision, detail uint64, replayed bool) string {
	text := d.status.String()
	switch d.status { // the others have no detail
	case journal.InsufficientFunds:
		text += fmt.Sprintf(", %d missing", detail)
	case journal.LimitExceeded:
		text += fmt.Sprintf(", the limit is %d", detail)
	case journal.ExceedsReservation:
		text += fmt.Sprintf(", %d remains", detail)
	case journal.Tried:
		if d.op == journal.OpConfirm {
			text += fmt.Sprintf(", %d remains reserved", detail)
		}
	case journal.Confirmed:
		if d.op == journal.OpConfirm {
			text += fmt.Sprintf(", %d captured", detail)
		}
	case journal.DeliveryGap:
		text += fmt.Sprintf(", delivered up to %d", detail)
	default:
		if detail != 0 {
			text += fmt.Sprintf(", detail %d", detail)
		}
	}
	if replayed {
		text = "the first answer of a key: " + text
	}
	return text
}

func accountWords(record []byte) string {
	if len(record) < journal.AccountSize {
		return "none"
	}
	a, err := journal.ParseAccount(record[:journal.AccountSize])
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("available %d, reserved %d, version %d, flags %#x, overdraft limit %d, status seq %d, asset %d",
		a.Available, a.Reserved, a.Version, uint8(a.Flags), a.OverdraftLimit, a.StatusSeq, a.Asset)
	if rest := record[journal.AccountSize:]; len(rest) > 7 {
		text += fmt.Sprintf(", details %q", rest[7:])
	}
	return text
}

func rememberedWords(record []byte) string {
	if len(record) == 0 {
		return "nothing"
	}
	n := 1 + int(record[0])
	if n > len(record) {
		return hexOf(record)
	}
	text := reservationWords(record[1:n])
	if n == len(record) {
		return text + "no key record"
	}
	return text + keyWords(record[n:])
}

func reservationWords(record []byte) string {
	if len(record) == 0 {
		return ""
	}
	r, err := journal.ParseReservation(record)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("reservation %v of %d: %d remains, %d captured, from %d to %d ms, resolved at %d ms; ",
		r.Status, r.Amount, r.Remaining, r.Captured, r.CreatedMS, r.ExpiresMS, r.ResolvedMS)
}

func keyWords(record []byte) string {
	k, err := journal.ParseKeyRecord(record)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("key of %v: %v, detail %d, at %d ms, epoch %d seq %d, content %x", k.Op, k.Status, k.Detail, k.TimeMS, k.Epoch, k.Seq, k.Content)
}
