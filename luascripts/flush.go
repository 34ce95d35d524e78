package luascripts

import "context"

// Flush empties the Redis, whatever is in it: the loss of a shard, for drills. The memory is given back behind the answer: a
// million accounts would take longer than a client waits.
func (s *Shard) Flush(ctx context.Context) error {
	return s.fault("flush", s.client.FlushAllAsync(ctx).Err())
}
