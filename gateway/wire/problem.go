package wire

import (
	"strconv"

	"walletd/journal"
)

// ErrorsPath is where the type of a problem points to: ErrorsPath + code, relative to the wallet that answers.
const ErrorsPath = "/errors/"

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
func (f *Fault) Problem(requestID string) Problem {
	return Problem{Code: f.Code, Field: f.Field, Detail: f.Detail, RequestID: requestID}
}

// ProblemOf is the problem of a refused act; detail is the number that came with the status (journal.KeyRecord.Detail).
func ProblemOf(s journal.Status, detail uint64, requestID string) Problem {
	p := Problem{Code: OfStatus(s).Code, Side: s.Side(), RequestID: requestID}
	switch s {
	case journal.InsufficientFunds:
		p.Needed = journal.Amount(detail)
	case journal.LimitExceeded:
		p.Limit = journal.Amount(detail)
	case journal.ExceedsReservation, journal.ExceedsTransfer:
		p.Remaining = journal.Amount(detail)
	}
	return p
}

// HTTP is the problem's HTTP status.
func (p *Problem) HTTP() int { return Lookup(p.Code).HTTP }

// AppendJSON writes the problem document (application/problem+json), absent fields left out.
func (p *Problem) AppendJSON(dst []byte) []byte {
	info := Lookup(p.Code)
	dst = append(append(append(dst, `{"type":"`...), ErrorsPath...), info.Code...)
	dst = AppendString(append(dst, `","title":`...), info.Title)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(info.HTTP), 10)
	detail := p.Detail
	if detail == "" {
		detail = info.Help
	}
	dst = AppendString(append(dst, `,"detail":`...), detail)
	dst = p.appendFacts(append(dst, ','), info)
	if p.RequestID != "" {
		dst = AppendString(append(dst, `,"request_id":`...), p.RequestID)
	}
	return append(dst, '}')
}

// AppendError writes the compact WebSocket error: {"code":…,"retryable":…} and the fields that matter.
func (p *Problem) AppendError(dst []byte) []byte {
	dst = p.appendFacts(append(dst, '{'), Lookup(p.Code))
	if p.Detail != "" {
		dst = AppendString(append(dst, `,"detail":`...), p.Detail)
	}
	return append(dst, '}')
}

// appendFacts writes what a program reads.
func (p *Problem) appendFacts(dst []byte, info Info) []byte {
	dst = append(append(append(dst, `"code":"`...), info.Code...), `","retryable":`...)
	dst = strconv.AppendBool(dst, info.Retryable)
	if p.Field != "" {
		dst = AppendString(append(dst, `,"field":`...), p.Field)
	}
	if p.Side != "" {
		dst = AppendString(append(dst, `,"side":`...), p.Side)
	}
	if p.Needed != 0 {
		dst = appendAmount(dst, `,"needed":`, p.Needed)
	}
	// A limit or a rest that belongs to the code is said even when it is 0.
	if p.Limit != 0 || p.Code == "limit_exceeded" {
		dst = appendAmount(dst, `,"limit":`, p.Limit)
	}
	if p.Remaining != 0 || p.Code == "exceeds_reservation" || p.Code == "exceeds_transfer" {
		dst = appendAmount(dst, `,"remaining":`, p.Remaining)
	}
	return dst
}
