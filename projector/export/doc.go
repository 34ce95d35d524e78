// Package export writes a journal as double-entry rows, one a leg, for spreadsheets, accounting and SQL (`walletd journal export`;
// columns in docs/export.md).
//
//	journal ── reconcile.Replay, with the fold ──> legs of each event ──> CSV · JSON lines · SQLite
//
// Every event that moves money balances by itself, per asset: what leaves an account's part (available, reserved) or a channel
// (in_flight) arrives in another. So any selection of events balances too, and the sums at the end show it. The legs are what the
// fold did to the accounts, not what the rows say: an event that does not balance is told.
//
// Sink keeps the same rows in PostgreSQL, exactly once: rows and the cursor of each partition are committed together.
//
// The same journal and selection give the same bytes: partition by partition, in order of seq, debits before credits. Nothing is held but
// the fold of one partition after the other, and the accounts' names. The file appears when it is whole.
package export
