package luascripts

import "context"

// Flush empties the Redis, whatever is in it: the loss of a shard, for drills.
func (s *Shard) Flush(ctx context.Context) error {
	return s.fault("flush", s.client.FlushAll(ctx).Err())
}
