package systemtest

import (
	"errors"
	"fmt"
	"sync"

	"walletd/gateway/client"
	"walletd/journal"
)

// act is what a request asks for.
type act string

const (
	actTransfer  act = "transfer"
	actReserve   act = "reserve"
	actConfirm   act = "confirm"
	actCancel    act = "cancel"        // by id
	actCancelKey act = "cancel by key" // by payer and key
)

// outcome is what its client knows of a request.
type outcome string

const (
	acknowledged outcome = "acknowledged" // it happened
	refused      outcome = "refused"      // it did not, and never does under this key (retryable: not yet)
	unknown      outcome = "unknown"
)

// request is one request of the load and what its client was told.
type request struct {
	act         act
	key         string // its own; cancel by key: the reservation's
	from, to    string
	amount      journal.Amount
	asset       string
	reference   string
	reservation journal.ID // confirm, cancel
	keepOpen    bool       // confirm
	expiresInS  int        // reserve

	outcome  outcome
	code     string // of a refusal
	position journal.Position
	status   string // of an accepted one: confirmed, tried, cancelled, expired
}

// id is the id under which the journal has the act.
func (r *request) id() journal.ID {
	switch r.act {
	case actConfirm:
		return journal.ConfirmIDOf(r.reservation, r.key)
	case actCancel:
		return r.reservation
	}
	return client.TransferID(r.from, r.key)
}

func (r *request) String() string {
	return fmt.Sprintf("%s of key %q (%s, %d %s from %s to %s): %s %s", r.act, r.key, r.id().Text(journal.TransferPrefix), r.amount, r.asset, r.from, r.to, r.outcome, r.code)
}

// told notes how a call ended.
func (r *request) told(status string, at journal.Position, err error) {
	var no *client.RefusedError
	var open *client.UnknownError
	switch {
	case err == nil:
		r.outcome, r.code, r.status, r.position = acknowledged, "", status, at
	case errors.As(err, &open):
		r.outcome, r.code = unknown, ""
	case errors.As(err, &no):
		r.outcome, r.code = refused, no.Code
	default: // it was never sent
		r.outcome, r.code = refused, "not sent: "+err.Error()
	}
}

// forbidden says that the wallet has refused what it must not: for good, and knowing that it did.
func forbidden(err error) bool {
	var no *client.RefusedError
	var open *client.UnknownError
	return errors.As(err, &no) && !no.Retryable && !errors.As(err, &open)
}

// ledger is every request that was made and what its client was told. It may be written from several goroutines.
type ledger struct {
	mu       sync.Mutex
	requests []*request
	reads    []read
	opened   []string          // accounts whose opening was acknowledged
	newest   map[string]uint64 // seq of the newest payment of an account that was acknowledged
	faults   []string          // answers that contradict each other, seen on the way
}

func (l *ledger) add(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

// read is a strong read's answer.
type read struct {
	account string
	client.Balance
}

func (l *ledger) addRead(r read) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads = append(l.reads, r)
}

func (l *ledger) addOpened(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = append(l.opened, id)
}

// changed notes that a payment of an account was acknowledged: no read that begins now may be older.
func (l *ledger) changed(account string, at journal.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest == nil {
		l.newest = map[string]uint64{}
	}
	l.newest[account] = max(l.newest[account], at.Seq)
}

func (l *ledger) newestOf(account string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest[account]
}

// notAhead notes a fault when the journal has not what an answer has just told.
func (l *ledger) notAhead(w *wallet, of any, at journal.Position) {
	if err := w.ahead(at); err != nil {
		l.fault("%v: %v", of, err)
	}
}

const faultsMax = 50

// fault notes what must not be.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < faultsMax {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// with are the requests of an outcome.
func (l *ledger) with(o outcome) (found []*request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.requests {
		if r.outcome == o {
			found = append(found, r)
		}
	}
	return found
}

// tally counts the requests by act and outcome, refusals by code: what a run consisted of.
func (l *ledger) tally() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for _, r := range l.requests {
		counts[string(r.act)+" "+string(r.outcome)+" "+r.code]++
	}
	return counts
}
