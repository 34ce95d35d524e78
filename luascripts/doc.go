// Package luascripts is what a shard can do: its acts in Lua, the trains that carry rows to them, and the few things that
// a keeper does to a shard (fence, load, admit, dump, outbox, marks). It is the only package that speaks to Redis.
//
//	Train: rows of many partitions ── Shard.Run: one FCALL ────> train.lua: read once · acts/*.lua decide · write once
//	Reply: an outcome a row        <──────── one string ───────────  and one outbox entry: the rows that happened
//	                                                                      │
//	keeper: Stop · Fence · Load · Admit · Freeze · Thaw · Look · ReadOutbox · Trim <────────────┘
//
// What it guarantees (design sections 5, 6 and 8):
//
//   - A train is all or nothing: the script writes only behind the last possible refusal, and a Redis that is full, busy,
//     read-only or empty refuses before it starts.
//   - Every act decides as journal.Book.Decide does and changes what journal.Book.Apply does; random runs hold them together.
//   - Run says whether the shard may have seen the train: NothingMoved(err), or ErrUnknown. It never sends a train twice
//     unless the shard provably did not run it.
//   - Trains run only in an epoch that a keeper has admitted in this very Redis process (admit.go): one that was started again,
//     with older data or none, a promoted replica, or one whose scripts were flushed runs nothing, provably.
//   - A partition without a record in the shard, or with another epoch than the caller's, does not serve; the others in
//     the same train do.
//
// What it refuses to do: it knows no journal, no map, no wallet beyond its shard, holds no answer back (the caller does,
// until the watermark covers it) and starts no goroutine.
//
// Files: state.lua, answers.lua, reservations.lua and suspense.lua are the words of the acts; words.go gives them journal's constants;
// keys.go names the keys; train.go packs, reply.go reads.
package luascripts
