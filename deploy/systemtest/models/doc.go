// Package models holds the wallet's rules as small Spin models, and the test that explores them exhaustively.
//
//	model.pml ── spin -a ──> pan.c ── gcc ──> pan ──> every state: errors 0, nothing left unexplored
//	   └── -D<TWIN>: one rule left out ─────────────> must end in a violated assertion
//	   └── -DWITNESS: denies a good end ────────────> must be violated, too: the model gets there
//
// A twin that does not fail would mean that the model does not see what its rule is for; a witness that does not fail,
// that it stops before anything happens. docs/laboratory-models.md says what each model models and what it found.
//
// What it refuses to do: search by hashing or with a bound. A search that does not end within its memory and depth fails.
package models
