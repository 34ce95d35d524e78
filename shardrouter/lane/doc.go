// Package lane carries rows to the shards and their outcomes back: it is the rows.Shards of a process (gateway and keeper
// share it). What it answers has obeyed the output-commit rule (design section 4).
//
//	Submit ──> queue of each partition ──┐ when the shard's last train is back, and it is worth it (pace)
//	                                     v
//	                       one train per shard on its way ──> Redis ──> reply
//	                                     ^                                │ an outcome a row
//	                 refused partitions: │ back in front                  v
//	                 another epoch, none └───────────────  held, per partition ──Settle──> Sink
//	                                                         ^
//	             marks (partition, epoch, seq): published at the shard, or by Mark from a keeper in this process
//
// What it guarantees:
//
//   - Every row is settled exactly once, whatever happens, the end of Run included.
//   - An outcome leaves only when a mark of its own epoch covers what it depends on: its own seq, or the partition's when
//     it was answered; for a check the payee's last status change. When a map or a mark shows a later epoch, or after
//     Config.HeldFor, it becomes OutcomeUnknown (for what only looks ShardUnavailable, after HeldFor JournalUnavailable).
//   - While a partition's keeper says that the journal does not take its events, what would make one is refused with
//     JournalUnavailable and does not run; reads go on, and so do the keepers' deliveries and expiries.
//   - Rows of a partition that moves to another shard wait, and follow it; when that takes longer than Config.RetryFor they are
//     refused with Moving.
//   - A train runs only in the epoch that the map shows for its shard, and only where that epoch's keeper has admitted it: a
//     shard that came back with older data, or whose keeper has been replaced, or whose lease is over, provably runs nothing; its rows wait for
//     the next epoch, within bounds. A reply that begins before what was durable when the train left is not believed.
//   - A refusal of class retryable means that nothing moved, ever: no earlier sending of the row is in doubt. A train whose
//     reply is lost is sent again as it is (acts are idempotent by their keys), for at most Config.UnsureFor; then its rows
//     are OutcomeUnknown, an alter at once.
//   - Everything is bounded: what waits (Overloaded beyond), a train, what is held (no train leaves beyond), each waiting.
//
// What it refuses to do: know what rows mean, decide who owns a partition (the map does), make anything durable (the
// keeper does), order rows of different partitions.
//
// On the hot path a row costs a few copies and no object, goroutine, channel or call of its own (hotpath.md 4–6, 9). There
// is one goroutine per shard, one that listens to its marks, and two for all.
//
// Files: queue.go what waits; lane.go the line and the train; send.go its faults; answer.go and held.go what comes back;
// route.go and conn.go the map and the clients; pace.go when a train leaves.
package lane
