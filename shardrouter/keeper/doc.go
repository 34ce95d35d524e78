// Package keeper owns a shard for an epoch: it makes the shard equal to the journal, lets it serve, carries what it does
// into the journal, and carries the decided credits of its partitions to theirs.
//
//	     ┌───────────────────────────────────────────────────────────────┐
//	     v                                                               │
//	 electing ──> claiming ──> waiting ──> comparing ──┬──> rebuilding ──┤ the shard came back empty,
//	     ^        new epoch,   for the     shard and   │    wipe, load   │ the map changed
//	     │        log folded   shard       log         └──> fencing      │
//	     │                                                  adopted      │
//	     │                                                     │         │
//	  resting <── deposed, shard away and no candidate ──── serving ─────┘
//	                                                           │
//	relay (outbox ──> log ──> marks) · channels · expiry · key window · watch of shard and map
//
// One turn from claiming to the end of serving is a reign; it has one epoch, which no other ever has.
//
// What it guarantees:
//
//   - Nothing is served before the log has been read to its end behind our EpochStarted, and the shard is in our epoch.
//   - A shard is adopted only when it is the Redis process that served last and its outbox continues the log (compare.go);
//     else it is rebuilt from the log, which is the truth. What a shard was ahead of the log was never seen by anyone.
//   - Trains run only while a reign lasts and in its epoch: they are stopped before the comparison, and admitted before the
//     map shows the new epoch. What makes a shard another one (a restart with whatever data, flushed scripts, a failover, other
//     hands in it) stops them by itself, or is seen by the watch, which stops them.
//   - Trains run only while the shard's lease lasts, which is renewed as long as the log proves that nobody else owns a
//     partition (lease.go). A successor elsewhere stops the old Redis or waits the lease out.
//   - A primary that is dead or wrong gives way to a replica or a spare; a replica is brought to the log's end (repair.go), or
//     rebuilt. The map shows another primary when it serves, not before. Replication is kept as the map says.
//   - Settings are checked before a shard is taken over, all of them, and every second while it serves. A maxmemory-policy
//     that evicts, or an eviction that happened, ends the reign at once, and the shard is rebuilt when the policy is put
//     back. The others (save, appendonly, hash-max-listpack-entries) are warned about: they are slow, and an older state that
//     a Redis saves is never served.
//   - Every leg that a durable accepted event of our partitions decides for another partition is credited there, once, in
//     order (design section 6): the destination compares, we go on from the number that it names. A leg is settled when
//     the destination's own journal has it. What is not settled is offered again.
//   - Open reservations expire by the shard's clock, soon after their time.
//   - Keys older than the window are evicted by an act that is journaled, and dropped from the shard when that is durable.
//   - Memory is bounded: the legs on their way (older ones are read from the log again), what is open, and while claiming
//     the Books, which are dropped when the shard is loaded.
//   - An election begins reigns and ends none: the log does. Whoever believes to lead and does not is stopped by the log (relay,
//     lease) and by the epochs in the shard.
//
// What it refuses to do: read the wallet's requests, decide a transfer, repair a damaged journal: Run ends with it,
// the shard runs nothing and is down in the map.
//
// The place of resolution: a transfer with several payers leaves tried legs in partitions that are not its home. The
// keeper of such a partition asks home what it decided, as the channels ask a destination what it has: a sender of rows
// beside channels and expiry in the courier (courier.go), fed by the start-up fold and by the durable frames like both.
//
// Files: keeper.go reigns, office.go elections; reign.go one reign; claim.go, compare.go its beginning; watch.go, lease.go its
// end; candidates.go, promote.go, repair.go, replicas.go failover; relaying.go, marks.go what it makes durable; courier.go,
// channels.go, channel.go, catchup.go, recent.go the legs; window.go, evictions.go what is old; reservations.go, expiry.go
// what is open.
package keeper
