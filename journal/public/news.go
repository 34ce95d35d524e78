package public

import "walletd/journal"

// News is what a watcher of an account is told: the account's next event, or, where nothing else is known, which version it has.
type News struct {
	Account journal.Handle
	Version uint64 // of the account
	Event   *Event // nil: only the version is known; the events up to it are to be had by asking
	// Counterparty is the id of Event.Counterparty; "" when nobody who tells knows it.
	Counterparty string
}

// Keep makes the event independent of the journal event with which it shares memory.
func (p *Event) Keep() {
	p.Key, p.Reference, p.Details = clone(p.Key), clone(p.Reference), clone(p.Details)
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
