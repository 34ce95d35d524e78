package wire

import "walletd/journal"

// Fault is a request that cannot be understood: a value, answered to the client, nothing is stored.
type Fault struct {
	Code   string // of the table
	Field  string // the field at fault; empty where the document as a whole is
	Detail string
}

// Problem is a refusal as clients see it. Type, title, status and retryable follow from Code.
type Problem struct {
	Code      string
	Detail    string // this occurrence, for a person; empty: the code's help
	RequestID string
	Field     string
	Side      string         // payer, payee
	Needed    journal.Amount // insufficient_funds: what is missing
	Limit     journal.Amount // limit_exceeded
	Remaining journal.Amount // exceeds_reservation, exceeds_transfer
}

// Problem makes the fault a problem.
func (f *Fault) Problem(requestID string) Problem { panic("to come") }

// ProblemOf is the problem of a refused act; detail is the number that came with the status (journal.KeyRecord.Detail).
func ProblemOf(s journal.Status, detail uint64, requestID string) Problem { panic("to come") }

// HTTP is the problem's HTTP status.
func (p *Problem) HTTP() int { panic("to come") }

// AppendJSON writes the problem document (application/problem+json), absent fields left out.
func (p *Problem) AppendJSON(dst []byte) []byte { panic("to come") }

// AppendError writes the compact WebSocket error: {"code":…,"retryable":…} and the fields that matter.
func (p *Problem) AppendError(dst []byte) []byte { panic("to come") }
