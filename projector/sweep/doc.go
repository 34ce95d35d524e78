// Package sweep holds the live shards against the projection all the time, account by account (decision 27; promises P1, P11, P13).
//
//	page of ≤ 128 accounts ── reconcile.Accounts ──> what the shard holds at (epoch, seq) ─┐
//	   ^ in rotation: partition by partition                                             ├── compare
//	projection, once it has folded that seq: each account as it was at it ───────────────┘
//	                                                     a difference, read again: metric, log, report with the first offending event
//
// Guarantees: it stops nobody, changes nothing, and costs what its pace allows: a page takes a shard some 30 µs, and the pause behind it is a
// hundred milliseconds at least. A difference is told only when the account differs whenever it is read, each time at its own
// seq, on a history that the journal has. What could not be compared is counted, and a sweep that left something out is not a full one.
//
// What it refuses to do: reach a shard by itself; repair; hasten the projection.
package sweep
