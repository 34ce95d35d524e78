// Package reconcile audits a wallet: it replays the journal and holds it against itself, against the live shards and
// against the projection (design section 9; promises P1, P2, P4, P9, P11, P12, P13, P19).
//
//	replay         every frame of every partition: hash chain, seqs, epochs (journal.Cursor), every event applied (Book)
//	conservation   Σ per asset over accounts + in flight = 0, at a cut where nothing is credited that is not decided yet
//	channels       leg by leg: what q credited from p = what p decided for q, up to delivered[p]
//	shards         every record of a running shard has a value that it could have had while it was dumped
//	projection     every record, every line of every statement, at the projection's own cursor
//
// A difference names the first offending event: the earliest after which what was compared cannot be right.
//
// Guarantees: it changes nothing; a damaged partition is located and read no further, and what then cannot be decided is
// listed as unchecked, never as right. The same journal gives the same report.
//
// What it refuses to do: repair. It holds each partition's whole state in memory, once for the replay and once more for
// every shard or projection that is compared.
//
// Why explains one account: its versions, and the events that make a difference. Replay and Describe are for the commands that show a journal to people.
package reconcile
