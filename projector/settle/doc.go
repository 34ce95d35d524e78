// Package settle matches a settlement file (a bank's or a processor's CSV) against the wallet's transfers
// (`walletd reconcile file`; docs/settlement.md).
//
//	file ── Reader ──> rows ── Mapping ──> lines ──┐
//	                                               ├── match: groups of one key, each pair used once ──> Result
//	journal ── reconcile.Replay ──> movements ─────┘
//
// A line is one row of the file, a movement one credit that the wallet decided: a transfer, or a confirm of a reservation. Both have a key
// (reference, client's key or id), an amount, an asset, and, where the mapping says so, a direction and a day.
//
// Every line and every movement ends in exactly one Class. Within a key as many pairs of equal content as there can be are matched; of what is left,
// pairs that differ are told as such; what is alone is missing on the other side, or the duplicate of what is not. A row that cannot be
// understood is a line of class malformed, with its place: nothing is skipped. The same file and journal give the same Result.
//
// What it refuses to do: guess. A row with an amount that can be read in two ways is malformed, and a key is compared byte by byte.
//
// It holds all lines and movements, some 200 bytes each, at most Config.Max of them together, and the names of the wallet's accounts.
package settle
