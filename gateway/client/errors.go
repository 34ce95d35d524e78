package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
)

// RefusedError is a refusal: the wallet understood and said no, and nothing moved. Code is one of semantics section 1;
// the other fields are set where the code has them.
type RefusedError struct {
	Code      string         `json:"code"`
	Retryable bool           `json:"retryable"` // the same request, with the same key, may succeed later
	Side      string         `json:"side"`      // payer, payee: the account at fault
	Field     string         `json:"field"`     // the field at fault
	Needed    journal.Amount `json:"needed"`    // insufficient_funds: what is missing, minor units
	Limit     journal.Amount `json:"limit"`     // limit_exceeded
	Remaining journal.Amount `json:"remaining"` // exceeds_reservation, exceeds_transfer
	Title     string         `json:"title"`     // REST
	Detail    string         `json:"detail"`    // for a person
	RequestID string         `json:"request_id"`

	HTTP       int           `json:"-"` // REST: the reply's status
	RetryAfter time.Duration `json:"-"` // what the wallet asks to wait; 0: not said
	Replayed   bool          `json:"-"` // REST: the first outcome of this key, again
}

func (e *RefusedError) Error() string {
	var b strings.Builder
	b.WriteString("refused: ")
	if e.Side != "" {
		b.WriteString(e.Side + " ")
	}
	b.WriteString(e.Code)
	switch {
	case e.Needed != 0:
		fmt.Fprintf(&b, " (%d missing)", e.Needed)
	case e.Limit != 0:
		fmt.Fprintf(&b, " (limit %d)", e.Limit)
	case e.Code == "exceeds_reservation" || e.Code == "exceeds_transfer":
		fmt.Fprintf(&b, " (%d remain)", e.Remaining)
	case e.Field != "":
		fmt.Fprintf(&b, " (field %s)", e.Field)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Info is everything that is said about the code: HTTP status, exit code, help.
func (e *RefusedError) Info() wire.Info { return wire.Lookup(e.Code) }

// Code returns the result code of a refusal anywhere in err's chain, outcome_unknown for an UnknownError, and "" for
// every other error.
func Code(err error) string {
	var unknown *UnknownError
	if errors.As(err, &unknown) {
		return "outcome_unknown"
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// ExitCode is what a command-line program answers for err (semantics section 1): 0 for nil, 8 for an unknown outcome,
// 7 where no wallet answered.
func ExitCode(err error) int {
	switch code := Code(err); {
	case err == nil:
		return 0
	case code != "":
		return wire.Lookup(code).Exit
	}
	return wire.Lookup("shard_unavailable").Exit
}

// UnknownError says that a command may have happened or not: it was sent, and its answer did not come in time. That
// resolves by itself within 30 s; look it up, or repeat it with the same Key only.
type UnknownError struct {
	Key string // the command's key, also when the client made it
	Err error  // why there is no answer: the context's error, a lost connection, …
}

func (e *UnknownError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("outcome unknown: %v", e.Err)
	}
	return fmt.Sprintf("outcome of key %q unknown: %v", e.Key, e.Err)
}

func (e *UnknownError) Unwrap() error { return e.Err }

// EndedError says that the gateway ended the session for good: close codes from 4500 (bad token, forbidden), and those
// that tell of a broken protocol. Reconnecting would not help.
type EndedError struct {
	CloseCode int
	Reason    string
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("session ended by the wallet: close code %d %s", e.CloseCode, e.Reason)
}

var (
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("client is closed")
	// ErrBusy says that Config.InFlight commands wait already; Post and Go answer it instead of waiting.
	ErrBusy = errors.New("too many commands in flight")
)

// asksAgain reports whether a reply leaves the outcome open, so that only the same request with the same key can tell.
func (e *RefusedError) asksAgain() bool {
	return e.Code == "outcome_unknown" || e.Code == "processing"
}

// settles reports whether the refusal also answers for earlier attempts with the same key whose replies were lost.
// Refusals that the wallet gives before it looks at the key say nothing about them.
func (e *RefusedError) settles() bool {
	if e.Retryable || e.asksAgain() {
		return false
	}
	// Not stored under the key: an earlier attempt that is still on its way may find what this one missed.
	if e.Code == "reservation_not_found" || e.Code == "account_not_found" && e.Side == "payer" {
		return false
	}
	info := wire.Lookup(e.Code)
	return info.Code == e.Code && info.Exit >= exitOfKeyed && info.Exit <= exitOfKeyedLast
}

// Exit codes of the refusals that come after the key has been looked at (semantics section 1): 3 not found, 4 refused, 5 conflict.
const (
	exitOfKeyed     = 3
	exitOfKeyedLast = 5
)
