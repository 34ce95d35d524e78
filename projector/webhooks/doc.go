// Package webhooks hands public events to HTTP endpoints in the Standard Webhooks format (https://www.standardwebhooks.com, docs/webhooks.md).
//
//	events.Source ── one goroutine an endpoint and partition ──> POST, signed ──> 2xx: the next · else: again, later · at last: dead letter
//	                            place in DIR/<name>.json
//
// Guarantees: every event that an endpoint asked for at least once, an account's in order; one that fails holds up its own partition of its own
// endpoint alone, and nothing is kept in memory for it but the event that is on its way. What is given up is in DIR/<name>.dead.jsonl.
//
// What it refuses to do: follow redirects, use a proxy, connect to addresses that are not public unless the endpoint allows it. The address is
// looked at when the connection is made, behind all name resolution.
package webhooks
