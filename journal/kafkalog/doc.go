// Package kafkalog keeps the journal in a Kafka topic: partition n of the topic is partition n of the wallet, one frame a
// record, one record a batch (design section 7). It is the only home of kafka-go.
//
//	Append ── grouped by leader ──> one Produce request a broker, acks=all ──> base offsets
//	Read   ── Fetch, batch by batch: CRC, no gap ──> fn
//	End    ── ListOffsets       Wait ── a Fetch that the broker holds back
//
// It stands on kafka-go's Transport for connections, routing and metadata, and writes and reads Produce and Fetch itself:
// so it knows for certain whether a request was ever sent, never shares a caller's bytes with a request that was given
// up, and a batch that fails its CRC is damage with a place, not some error. No Writer (it repeats, delivers what has
// timed out, and skips failed batches), no Reader (it skips missing offsets), no consumer groups, no transactions.
//
// What it guarantees:
//
//   - An offset that Append answers is acknowledged by all in-sync replicas.
//   - journal.ErrNotAppended is said only when no byte of the request left, or when the broker's answer is one that it
//     gives before it appends. NotLeaderForPartition and UnknownTopicOrPartition are not among them: a broker that loses
//     the leadership while it waits for its replicas gives them for a record that the new leader may have.
//   - Read gives every record once and in order, or an error: a gap, a failed CRC, a batch that no keeper writes
//     (compressed, transactional, control) is a journal.ErrDamaged that names partition and offset. It tries again while
//     leaders move.
//   - A topic with weaker settings than design section 7 asks for is refused, unless Config.Dev.
//
// What it refuses to do: send anything twice by itself, create topics unasked, interpret frames.
package kafkalog
