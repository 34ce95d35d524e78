package wire

import "walletd/journal"

// Info is everything that is said about a result code.
type Info struct {
	Code       string
	HTTP       int    // status of the REST reply
	Exit       int    // the CLI's exit code
	Retryable  bool   // the same request, with the same key, may succeed later
	RetryAfter int    // seconds; 0: no such header
	Title      string // RFC 9457 title: the same for every occurrence
	Help       string // one line for a person
}

// Lookup finds what is said about a code; an unknown code is outcome_unknown, which promises nothing.
func Lookup(code string) Info { panic("to come") }

// OfStatus is what a client is told about a shard's status: refusals that only concern the house become shard_unavailable.
// An accepted status answers its own code, HTTP 200, exit 0.
func OfStatus(s journal.Status) Info { panic("to come") }

// Codes is the table in its frozen order.
func Codes() []Info { panic("to come") }
