// Package filelog keeps the journal on this machine's disk: the embedded default (design section 7, last point).
//
//	Append ─┐                                        ┌ 00000001.seg   header, records, records, …
//	Append ─┼─> pending ──> one log goroutine ──────>│ 00000002.seg   … zeros, made ahead
//	Append ─┘               one write, one fdatasync │ next.tmp       the segment after that one
//	                                                 ├ durable        how far fdatasync has come (never synced itself)
//	Read <── index: partition, offset -> segment     ├ end.json       end mark: the last stop was clean
//	                                                 └ meta.json lock
//
// One sequence of segments holds all partitions, so that one fdatasync covers them all. Whatever waits when the log
// goroutine is free goes out together (group commit). An idle log writes at once; a busy one waits up to 300 µs for whoever
// has appended in company before. The last MiB stays in memory, for readers that follow the end.
//
// What it guarantees:
//
//   - An offset that Append answers is on disk. A failed write or fdatasync stops the log for good: what was under way
//     is unknown, everything later is provably not appended, and nothing is tried again as if nothing had happened.
//   - Open checks every byte of every record. Damage before the end refuses to start: a *DamageError with file, byte,
//     partition and seq, which is a journal.ErrDamaged.
//   - After a crash the last write may be torn; it is cut behind its last whole record, and said through Config.Logger.
//     It is never taken for damage, nor damage for it: every record names the start of its write, and a write starts
//     only when the one before is durable; so a whole record of a later write proves that what lies before was durable.
//     The file `durable` proves the same for the last write when the process died but not the machine.
//   - A clean Close leaves an end mark; a journal that does not end exactly there has lost something and is refused.
//   - One process writes: a second Open answers ErrLocked. OpenReadOnly reads beside it.
//
// What it refuses to do: interpret frames (journal.Cursor does), forget anything, repair damage.
package filelog
