package systemtest

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"walletd/journal"
)

// verb is what an operation of a history does to its one account.
type verb int

const (
	reads    verb = iota
	debits        // payer of a transfer
	credits       // payee of a transfer or a confirm
	reserves      // payer: Try
	confirms      // payer: capture, the rest goes back unless it is kept open
	cancels       // payer: by id, or by key before the Try has come
)

var verbs = [...]string{"read", "debit", "credit", "reserve", "confirm", "cancel"}

// step is an operation's input, in the eyes of one account.
type step struct {
	verb        verb
	amount      int64
	reservation int  // number within the account, of reserve, confirm and cancel
	keepOpen    bool // confirm
	byKey       bool // cancel

	id journal.ID // that the journal has, of debit, reserve, confirm; zeros: it has none
	// A credit from elsewhere comes down a channel: source is the payer's partition, place its place among those credits whose
	// order is known, −1 for one whose order is not.
	source, place int
}

// said is an operation's output: what its client was told. code "" is success, maybe that nothing is known.
type said struct {
	maybe               bool
	code                string
	needed              int64 // insufficient_funds
	available, reserved int64 // read
	version             uint64
}

func (s step) String() string {
	text := fmt.Sprintf("%s %d", verbs[s.verb], s.amount)
	if s.verb >= reserves {
		text += fmt.Sprintf(" of reservation %d", s.reservation)
	}
	return strings.ReplaceAll(text, "\x00", ".") // reservations are bytes
}

// phase is what has become of a reservation.
type phase byte

const (
	phaseNone phase = iota
	phaseTried
	phaseConfirmed
	phaseCancelled
	phaseRefused
)

// sources is the largest number of partitions of a wallet whose histories are checked.
const sources = 8

// ownAccount is the state of one account, which is all that the sequential model knows: a value.
type ownAccount struct {
	available, reserved int64
	version             uint64
	arrived             [sources]uint16 // credits by channel whose order is known
	reservations        string          // three bytes each: phase, what remains
}

func (a ownAccount) reservation(n int) (phase, int64) {
	if b := a.reservations; 3*n+2 < len(b) {
		return phase(b[3*n]), int64(b[3*n+1])<<8 | int64(b[3*n+2])
	}
	return phaseNone, 0
}

func (a ownAccount) with(n int, p phase, remaining int64) ownAccount {
	b := []byte(a.reservations)
	for len(b) < 3*n+3 {
		b = append(b, 0)
	}
	b[3*n], b[3*n+1], b[3*n+2] = byte(p), byte(remaining>>8), byte(remaining)
	a.reservations = string(b)
	return a
}

// changed is the account with another balance, and so another version.
func (a ownAccount) changed(available, reserved int64) ownAccount {
	a.available, a.reserved, a.version = a.available+available, a.reserved+reserved, a.version+1
	return a
}

// apply answers what the operation does, and what its client has to be told: the sequential account. A code that the
// model does not know is never right.
func (a ownAccount) apply(s step) (ownAccount, said) {
	was, remaining := a.reservation(s.reservation)
	switch s.verb {
	case reads:
		return a, said{available: a.available, reserved: a.reserved, version: a.version}
	case credits:
		if s.place >= 0 {
			a.arrived[s.source]++
		}
		return a.changed(s.amount, 0), said{}
	case debits:
		if a.available < s.amount {
			return a, said{code: "insufficient_funds", needed: s.amount - a.available}
		}
		return a.changed(-s.amount, 0), said{}
	case reserves:
		switch {
		case was == phaseCancelled:
			return a, said{code: "cancelled_before_try"}
		case a.available < s.amount:
			return a.with(s.reservation, phaseRefused, 0), said{code: "insufficient_funds", needed: s.amount - a.available}
		}
		return a.changed(-s.amount, s.amount).with(s.reservation, phaseTried, s.amount), said{}
	case confirms:
		return a.confirm(s, was, remaining)
	case cancels:
		switch was {
		case phaseTried:
			return a.changed(remaining, -remaining).with(s.reservation, phaseCancelled, 0), said{}
		case phaseCancelled:
			return a, said{}
		case phaseConfirmed:
			return a, said{code: "already_confirmed"}
		case phaseNone:
			if s.byKey {
				return a.with(s.reservation, phaseCancelled, 0), said{}
			}
		case phaseRefused:
			if s.byKey {
				return a, said{} // there is nothing to release
			}
		}
		return a, said{code: "reservation_not_found"}
	}
	panic("no such verb")
}

func (a ownAccount) confirm(s step, was phase, remaining int64) (ownAccount, said) {
	amount := s.amount
	if amount == 0 {
		amount = remaining
	}
	switch {
	case was == phaseConfirmed:
		return a, said{code: "already_confirmed"}
	case was == phaseCancelled:
		return a, said{code: "already_cancelled"}
	case was != phaseTried:
		return a, said{code: "reservation_not_found"}
	case amount > remaining:
		return a, said{code: "exceeds_reservation"}
	case s.keepOpen && amount < remaining:
		return a.changed(0, -amount).with(s.reservation, phaseTried, remaining-amount), said{}
	}
	return a.changed(remaining-amount, -remaining).with(s.reservation, phaseConfirmed, 0), said{}
}

// next are the states in which the account may be when the operation has been told that.
func (a ownAccount) next(s step, told said) []any {
	if s.verb == credits && s.place >= 0 && int(a.arrived[s.source]) != s.place {
		return nil // channels keep the order
	}
	after, want := a.apply(s)
	switch {
	case told.maybe && after == a:
		return []any{a}
	case told.maybe: // it happens now, or it has not happened yet: then it is taken later, or never
		return []any{a, after}
	case told == want:
		return []any{after}
	}
	return nil
}

var stateSeed = maphash.MakeSeed()

// accountFrom is the sequential account that begins with that state.
func accountFrom(begin ownAccount) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{begin} },
		Step: func(state, input, output any) []any {
			return state.(ownAccount).next(input.(step), output.(said))
		},
		Hash:              func(state any) uint64 { return maphash.Comparable(stateSeed, state.(ownAccount)) },
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v -> %+v", input, output) },
	}
	return m.ToModel()
}

// checkTime bounds the search of one account's history; one that takes longer proves nothing, and fails.
const checkTime = 30 * time.Second

// linearizable says what is wrong with an account's history, nil when nothing is.
func linearizable(begin ownAccount, history []porcupine.Operation) error {
	result, info := porcupine.CheckOperationsVerbose(accountFrom(begin), history, checkTime)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("not decided within %v: %d operations", checkTime, len(history))
	}
	return fmt.Errorf("not linearizable: %s", stuck(begin, history, info))
}

// stuck tells where the longest order ends: how many operations have one, what the account is by then, and those that
// should have been next.
func stuck(begin ownAccount, history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, order := range info.PartialLinearizationsOperations()[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	model := accountFrom(begin)
	state := model.Init()
	for _, op := range longest {
		_, state = model.Step(state, op.Input, op.Output)
	}
	left := slices.Clone(history)
	for _, op := range longest {
		i := slices.IndexFunc(left, func(o porcupine.Operation) bool {
			return o.Call == op.Call && o.Return == op.Return && o.Input == op.Input
		})
		left = slices.Delete(left, i, i+1)
	}
	slices.SortFunc(left, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	text := fmt.Sprintf("%d of %d operations have an order, up to %+v; then", len(longest), len(history), state)
	for _, op := range left[:min(8, len(left))] {
		text += fmt.Sprintf("\n  client %d, %d to %d: %v -> %+v", op.ClientId, op.Call, op.Return, op.Input, op.Output)
	}
	return strings.ReplaceAll(text, "\x00", ".") // reservations are bytes
}
