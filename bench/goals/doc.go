// Package goals holds a wallet against what it was meant to cost; `walletd bench goals` runs it.
//
//	round:  floor ─> cross, one by one ─> cross, 50 a message ─> same, one by one ─> same, 50 a message ─> floor
//	              ─> 10 %, 25 %, 50 % of this round's maximum ─> one transfer at a time, same and cross
//
// Everything is measured in every round, the floor too (the mean of both), so that noise meets all of it alike; what counts is the median over the
// rounds of the ratio within each, with its range. The first round warms up. A wallet that does not conserve, replay and
// reconcile at the end makes all of it void.
package goals
