// Package view keeps what the journal says in a Pebble store that can be read: accounts, statements, transfers,
// reservations, balances as of a time (design section 9).
//
//	log ── frames ──> Fold (one per partition: cursor, Book) ── batch: data + cursor ──> Pebble
//	                                                                                       │ snapshot
//	                                    Account, BalanceAt, Entries, Transfer, … <─────────┘ + the position it reflects
//
// Guarantees: every frame is folded exactly once, because the cursor is written in the same batch as the data; the Book
// that folds is the one of keeper and auditor, so the view equals the fold (P13); a read sees one state of the store and
// names its position. A running sum of every channel says at any time whether money is conserved (Conservation). A crash leaves
// what the first so many commits made: the journal is the store's log, and what is lost is folded again.
//
// Everything that happened lies in the store once, in the order of seqs (chunks); what is looked up in another order names
// events by their seqs: lines of statements (groups), ids (runs). Decision 21 says why.
//
// What it refuses to do: it reads no log (projector does), reaches no shard, and believes no store of another format or
// wallet (ErrForeign): a projection is deleted and rebuilt, never converted.
//
//	keys.go      the store's keys, all of them              fold.go state.go effects.go   frames in
//	records.go   the store's values, but for these:         read.go … wait.go             answers out
//	chunks.go    events as they came                        dump.go cut.go                for auditors and snapshots
//	groups.go    accounts and lines of statements           channels.go                   running conservation
//	runs.go      where ids are                              window.go                     what shards still know
package view
