package keeper

import (
	"context"
	"sync"
	"time"

	"walletd/luascripts"
)

// marks are a reign's watermarks: to lanes in this process at once, to all others by the shard, as often as it takes and
// not oftener; and all of them again now and then, for those who were away.
type marks struct {
	epoch uint32
	local func([]luascripts.Mark)
	wake  chan struct{}

	mu      sync.Mutex
	seq     map[int]uint64
	changed map[int]bool
}

func newMarks(epoch uint32, local func([]luascripts.Mark)) *marks {
	return &marks{epoch: epoch, local: local, wake: make(chan struct{}, 1), seq: map[int]uint64{}, changed: map[int]bool{}}
}

// advance says that partitions are durable up to these seqs.
func (m *marks) advance(durable []luascripts.Mark) {
	m.mu.Lock()
	for _, d := range durable {
		m.seq[d.Partition] = d.Seq
		m.changed[d.Partition] = true
	}
	m.mu.Unlock()
	m.local(durable)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// all are the newest marks of all partitions.
func (m *marks) all() []luascripts.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]luascripts.Mark, 0, len(m.seq))
	for p, seq := range m.seq {
		out = append(out, luascripts.Mark{Partition: p, Epoch: m.epoch, Seq: seq})
	}
	return out
}

// news are the marks that have not been published yet.
func (m *marks) news() (out []luascripts.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.changed {
		out = append(out, luascripts.Mark{Partition: p, Epoch: m.epoch, Seq: m.seq[p]})
	}
	clear(m.changed)
	return out
}

// publish tells the shard's listeners until ctx ends. A mark that is not published is no fault: it comes again.
func (m *marks) publish(ctx context.Context, shard *luascripts.Shard, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var out []luascripts.Mark
		select {
		case <-m.wake:
			out = m.news()
		case <-tick.C:
			out = m.all()
			m.local(out)
		case <-ctx.Done():
			return
		}
		if len(out) > 0 {
			_ = shard.PublishMarks(ctx, out)
		}
	}
}
