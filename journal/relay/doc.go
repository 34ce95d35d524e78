// Package relay moves what a shard has done into the log, in order and fenced, and says how far it is durable
// (design sections 4 and 7).
//
//	Outbox ──Next──> lanes, one a partition ──one request in flight──> journal.Log
//	   ^             collect, frame, chain           │ offset is the expected one: durable
//	   │                                             │ anything else: repair (read the log, send the same bytes again)
//	   └──Trim── Watermark <── OnDurable <───────────┘
//
// A lane has at most one frame under way. While it flies the next one collects, so frames fill by themselves; an idle
// relay sends at once, a loaded one waits a little (pace.go).
//
// What it guarantees:
//
//   - OnDurable and Watermark speak only of frames that are in the log and count: the log answered exactly the offset that
//     was expected next, or the frame was read back through the journal.Cursor (rule 3 of log-order fencing). Each frame
//     is told once, in order.
//   - A lost reply, a timeout, a refusal: the log is read first, then the identical bytes are sent again. A copy that lands
//     twice is a duplicate that every reader drops.
//   - A higher epoch in the log ends Run with ErrDeposed, and nothing of ours behind it is told.
//   - Sections that do not go on where the journal ends, or differ from what was journaled, end Run with ErrOutbox.
//   - Partitions join and leave while it runs, each in an epoch of its own: one that leaves is durable up to the seq that was
//     asked for, and told; the others do not notice.
//   - A partition whose frames cannot be placed does not hold up the others: it is repaired beside them.
//
// A Relay runs once. What was under way when it ended may still land, so its partitions are relayed again only in a new
// epoch (Claim): two relays that write different frames in one epoch would damage the journal.
//
// What it refuses to do: read a clock into events, decide anything about money, keep more than a bound in memory, give up
// on a journal that is away before its context does.
package relay
