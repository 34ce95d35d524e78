// Package view keeps what the journal says in a Pebble store that can be read: accounts, statements, transfers,
// reservations, balances as of a time (design section 9).
//
//	log ── frames ──> Fold (one per partition: cursor, Book) ── batch: data + cursor ──> Pebble
//	                                                                                       │ snapshot
//	                                    Account, BalanceAt, Entries, Transfer, … <─────────┘ + the position it reflects
//
// Guarantees: every frame is folded exactly once, because the cursor is written in the same batch as the data; the Book
// that folds is the one of keeper and auditor, so the view equals the fold (P13); a read sees one state of the store and
// names its position. A running sum of every channel says at any time whether money is conserved (Conservation).
//
// What it refuses to do: it reads no log (projector does), reaches no shard, and believes no store of another format or
// wallet (ErrForeign): a projection is deleted and rebuilt, never converted.
//
//	keys.go      the store's keys, all of them              fold.go state.go effects.go   frames in
//	records.go   the store's values, all of them            read.go … wait.go             answers out
//	channels.go  running conservation                       dump.go                       for auditors
package view
