// Package rerun runs the recorded commands of a journal again, through the acts of this build, and compares every decision with the
// one that the journal has (design section 9, `walletd verify-logic`; decision 24): proof that a change changed no outcome.
//
//	journal ── events of one partition, in order ──┬─> scratch shard: production trains, at the recorded times ──> the acts' outcome
//	                                               ├─> journal.Book.Decide ──> the Book's outcome                      │
//	                                               └─> journal.Book.Apply ──> what the journal says happened <─ compare ┘
//
// Compared, per event, at its position: status, detail, seq, epoch and time; then every account that the event changed, the key
// record and the reservation, byte for byte; and the whole state at the partition's end. The first event that differs ends its
// partition: what comes behind follows from another state.
//
// The journal has status and row; what it says of details and balances is its fold (Book.Apply). Three must agree: the journal,
// the acts, and the Book's decision.
//
// What it cannot compare, because no event says it: reads, checks and looks, repeats of a key, and refusals that are not stored
// (journal.Status.Journaled). What a check of the payee answered is taken from the row. That a delivery's legs are those
// that the payer's partition decided is for package reconcile.
//
// It starts no server: the caller gives it scratch shards, whose number is how many partitions run at once. Memory: each of them
// holds one partition's state, twice while its end is compared.
package rerun
