// Package journal is the language of what happened: amounts, accounts, ids, statuses, rows, events
// and frames with their codecs, and the Book, which folds events into state.
//
// It imports nothing of ours and only the standard library; every other package speaks in its types.
//
//	row     one act, packed: the script's argument and the journal's payload are the same bytes (row.go)
//	event   a row that has happened: partition, epoch, seq, time, status (frame.go)
//	frame   events of one partition in one record of the log, chained by SHA-256 (frame.go)
//	cursor  which frames of a log count: highest epoch started, next seq, unbroken chain (cursor.go)
//	Book    the pure fold: Apply(event) gives the state, Decide(row) says what an act would answer (book.go)
//	Log     where frames are kept, durable; filelog/ and kafkalog/ implement it (log.go)
//
// All integers are big-endian. Amounts are minor units, 1 … 2^53−1; times are milliseconds since 1970 (UTC).
//
// What it refuses to do: it reads no clock, starts no goroutine, opens no connection.
package journal
