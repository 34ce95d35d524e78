// Package kafkalog keeps the journal in a Kafka topic: partition n of the topic is partition n of the wallet, one record
// is one frame (design section 7). It is the only home of kafka-go.
//
// What it stands on, and why:
//   - All records of an Append leave in one produce request per leader, acks=all, through the transport: the library's
//     Writer repeats after a lost acknowledgement, delivers what has timed out, and skips failed batches.
//   - The response's base offset is handed to the relay, whose fencing stands on it. A refusal that the broker gives
//     before it appends is journal.ErrNotAppended; a time-out, a lost connection, or "not enough replicas after append"
//     is unknown, and the relay reads before it does anything else.
//   - Reading is by Fetch up to the high watermark. The library verifies the CRC of every batch on this path; offsets that
//     are missing are damage, not something to skip.
//
// What it refuses to do: it retries no append, uses no consumer group and no transaction, and runs on no topic with weaker
// settings than design section 7 asks for, unless it is told Dev.
package kafkalog
