// Package tcc is the coordinator: it turns what a client asks for into rows for the right partitions, and carries a
// row whose payee lives elsewhere over its check (design section 6). It keeps no state of its own: between two steps
// everything is in the carry of the row under way, so a coordinator may die at any line. Either the decision at the
// payer's home happened, or it did not; the channel does the rest.
//
//	transfer, same partition     transfer ────────────────────────────────────────────> owner
//	transfer, payee elsewhere    check (payee) ──verdict──> pay (home) ────────────────> owner
//	reserve                      [check (payee) ──verdict──>] reserve (home) ──────────> owner
//	confirm                      look (home) ──payee──> [check ──verdict──>] confirm ──> owner
//	cancel, read                 one row ──────────────────────────────────────────────> owner
//
// A shard that may have evicted an id answers key_old. Then the journal is asked what it knows of the id (Past), and the row is
// answered as the shard did first, or goes to it again, cleared (past.go, elder.go).
//
// It is pure over two small interfaces, rows.Shards and Past; it opens no connection, and starts goroutines only to ask Past, a
// few, that end when nothing waits. Refusals of a step
// on the way (a shard that does not answer, a reservation that nobody knows) are settled with the owner as they are.
package tcc
