package reconcile

import (
	"slices"

	"walletd/journal"
	"walletd/projector/view"
)

// explainLines bounds the lines of a statement that Explain looks at, the newest ones.
const explainLines = 10_000

// Explain says which events make the difference between an account as somebody else has it at a seq, and as the projection had it
// then: from its statement, without reading the journal. A zero account: there is none.
func Explain(r *view.Reading, h journal.Handle, seq uint64, where string, have journal.Account) (WhyDifference, error) {
	now, _, err := r.Account(h)
	if err != nil {
		return WhyDifference{}, err
	}
	w := &why{Explanation: &Explanation{}}
	w.Partition = now.Position.Partition
	newest := true
	err = r.EachLineOf(h, func(l *view.Line) (bool, error) {
		if l.Seq > seq {
			newest = false
			return true, nil
		}
		x := line{version: l.Version, available: l.AvailableAfter, reserved: l.ReservedAfter}
		if len(w.replayed) == explainLines {
			w.base = x
			return false, nil
		}
		e, _, _, err := r.Event(w.Partition, l.Seq)
		x.at = e.Position
		w.replayed = append(w.replayed, x)
		return true, err
	})
	slices.Reverse(w.replayed)
	if n := len(w.replayed); n > 0 {
		w.account = now.Account
		if !newest { // what else it had then is not known
			l := &w.replayed[n-1]
			w.account.Version, w.account.Available, w.account.Reserved = l.version, l.available, l.reserved
		}
	}
	return w.differs(where, have), err
}
