package luascripts

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// A shard runs trains only while its lease lasts (design section 8): the field lease of parts, in the shard's own clock, which
// train.lua reads anyway. A keeper makes it longer as long as it can prove from the log that nobody owns its partitions but
// itself. So a shard that its keeper lost, or whose keeper was deposed, answers nobody any more after a known time, whatever
// map a client believes: another shard may serve the partitions by then. Whatever is late on the way only shortens the lease.

// Owned is a partition in the epoch in which a keeper owns it.
type Owned struct {
	Partition int
	Epoch     uint32
}

// ownedSize is the length of a packed Owned, bytes: partition u16, epoch u32.
const ownedSize = 2 + 4

// Time is the shard's clock.
func (s *Shard) Time(ctx context.Context) (time.Time, error) {
	t, err := s.client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, s.fault("ask for the time of", err)
	}
	return t, nil
}

// Lease lets the shard run trains until then in its own clock, ms since 1970; a lease that lasts longer stays. False: a partition
// is not there, or in another epoch, and nothing has changed.
func (s *Shard) Lease(ctx context.Context, untilMS int64, owned ...Owned) (bool, error) {
	arg := appendU56(nil, uint64(untilMS))
	for _, o := range owned {
		arg = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(arg, uint16(o.Partition)), o.Epoch)
	}
	answer, err := s.client.Eval(ctx, leaseScript.text, []string{partsKey}, arg).Int()
	if err == nil && answer != 0 && answer != 1 {
		err = fmt.Errorf("%w: %d", ErrBadReply, answer)
	}
	return answer == 1, s.fault("make longer the lease of", err)
}
