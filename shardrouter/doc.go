// Package shardrouter answers one question: which shard owns an account's
// partition, and in which epoch. It is also where a keeper becomes the owner:
// it hands out epochs, publishes the map and runs the election.
//
//	          Source                         Store, Election
//	gateway <---------- Map (immutable) <---------------------- keeper
//	                     ^          compare-and-set, epochs rise
//	                     |
//	        /wallet/<cluster>/map        (or a Static value in one process)
//
// Beside the map stands the intention to move a partition ([Moves]): it binds
// nobody, and the map alone says who owns what.
//
// Two implementations of the four small interfaces:
//
//   - [Static]: one process, no server; what must survive a restart goes
//     through the caller's Persist callback. For development and tests.
//   - [ZooKeeper]: the nodes below /wallet/<cluster> (design.md sections 3, 7
//     and 8; surface.md "ZooKeeper"). This package is the only one that speaks
//     to ZooKeeper.
//
// # What it promises
//
//   - A reader always has the newest map that it has ever seen. A map is never
//     replaced by one of a lower version, and while ZooKeeper is away the last
//     one goes on being served. Nothing here is on the path of a request: a
//     lookup is one atomic load.
//   - No epoch is given twice in a cluster, to any shard, and an epoch is
//     durable in ZooKeeper before [Store.NextEpoch] returns it.
//   - A map is published by compare-and-set, and never with a lower epoch for a
//     shard or a partition than the one that it replaces ([ErrDeposed]); a
//     partition changes its shard only with a higher one.
//   - The number of partitions and the hash are written once, by [Init], and a
//     start that wants others is refused.
//
// # What it does not promise
//
// Leadership is for liveness only. ZooKeeper cannot stop an old keeper that is
// frozen or cut off: between the moment its session ends and the moment it
// learns of it, two processes believe to lead. What makes that harmless is the
// log: a new keeper writes EpochStarted with its own epoch, and from then on no
// reader accepts an event of a lower one (design.md section 7). So a keeper may
// use [Leadership] to decide when to begin and when to give up, and must never
// conclude from it that something is durable, accepted, or its own to decide.
//
// The other way round, a ZooKeeper that is away ends no leadership: it is not
// certain any more ([Leadership.Certain]), and ends when ZooKeeper is back and
// says that the session is gone.
//
// A restore of ZooKeeper from an old backup may bring back a lower epoch
// counter than the journal has seen. A keeper notices (the log shows a higher
// epoch than the one it was given) and asks again until its epoch is higher.
//
// # How the client library is held
//
// Its calls take no context, its Connected state means a TCP connection, its
// sessions change silently and a connection of it can wedge for ever. So every
// call runs in a goroutine with a deadline, health means a session and an answer
// within the last second, whatever hangs on a session compares its id, a watch
// is a hint besides regular re-reading, and a watchdog replaces a connection
// that has had no answer for three session timeouts (conn.go).
package shardrouter
