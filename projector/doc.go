// Package projector tails the journal and keeps the read models up to date (design section 9).
//
//	journal.Log ── Read, Wait ──> one goroutine per partition ── view.Fold ──> Pebble
//	                                       │ Lag, metrics
//
// Guarantees: every accepted frame is folded exactly once (the cursor lies with the data); frames that fencing keeps out
// are dropped and counted; a damaged journal stops its partition at the last frame before the damage, loudly, and is
// never skipped (P12): the others go on. How far it is behind is known at any time (P13), and so is whether money is
// conserved (P1).
//
// What it refuses to do: reach a shard; write to the journal; use consumer groups.
//
//	view/        the store: folding and reading
//	reconcile/   the auditor: replay against itself, shards and view; why a balance is what it is
//	sweep/       live accounts against the view, all the time: it is handed who reads them
package projector
