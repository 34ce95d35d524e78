package journal

import (
	"context"
	"errors"
)

// Record is one packed frame on its way to a partition of the log.
type Record struct {
	Partition int
	Bytes     []byte
}

// Log keeps frames durably, in order per partition. Offsets of a partition are dense: 0, 1, 2, …; one record, one frame.
// Implementations: filelog (this machine's disk), kafkalog. All methods may be called from several goroutines.
type Log interface {
	// Partitions is the number of partitions, fixed for ever.
	Partitions() int

	// Append makes the records durable in one request and answers the offset of each, in order of records; at most one
	// record a partition. On an error every offset that is not ≥ 0 is unresolved: ErrNotAppended = certainly not there;
	// any other error = unknown: it may be there now, or appear later. The caller re-reads before anything else.
	// The records' bytes are the caller's again when Append returns.
	Append(ctx context.Context, records []Record) ([]int64, error)

	// Read calls fn for every record of the partition from offset on, up to the end at the time of the call, and answers
	// the offset behind the last one read. A record missing in between is ErrDamaged. An error of fn ends the reading and is answered
	// as it is. The bytes belong to the log again when fn returns.
	Read(ctx context.Context, partition int, from int64, fn func(offset int64, record []byte) error) (next int64, err error)

	// End answers the offset behind the last durable record.
	End(ctx context.Context, partition int) (int64, error)

	// Wait blocks until End(partition) > offset, or ctx ends.
	Wait(ctx context.Context, partition int, offset int64) error
}

// Shortage is a Log that knows beforehand when it will not take much more. Who asks refuses new acts while there is still
// room for the events of those that have happened.
type Shortage interface {
	// Short tells why the log cannot grow, nil while it can. It is cheap, and changes back by itself.
	Short() error
}

// ErrNotAppended says that no record of an Append is in the log, nor ever will be.
var ErrNotAppended = errors.New("not appended")
