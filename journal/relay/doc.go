// Package relay moves what a shard has applied into the log, in order and fenced, and advances the watermark
// (design sections 4 and 7). One relay serves one keeper, for the partitions and the epoch that it has claimed.
//
//	outbox ──Next──> pending ──frames, one a partition──> Log.Append ──offsets──> durable? ──> OnDurable ──> Marks ──> Trim
//	                   ^  while a request flies the next frames collect                │
//	                   └──────────────────────────────────────────────────────────────┘
//
// The heart is rule 3 of log-order fencing: a frame counts as durable only if its offset is exactly the one that this
// relay expected next. Otherwise, and whenever a reply was lost, the relay reads what the log has from the expected
// offset on before it does anything else: its own frame there is durable, a higher epoch there means that another keeper
// has taken over and nothing more may be acknowledged (ErrDeposed), and nothing there means that the very same bytes are
// sent again. A request that was given up may still land later; its copy is then a duplicate, which readers drop.
//
// What it refuses to do: it never skips, reorders or invents an event. A gap in the outbox is a fault (ErrOutbox), upon
// which the keeper compares shard and log anew.
package relay
