package keeper

import (
	"context"
	"sync"
	"time"

	"walletd/luascripts"
)

// marks are a reign's watermarks on their way out: to the lanes in this process, and by the shard to all others. The relay
// only leaves them here: whoever is told may have much to do, and the next frame is not to wait for it. What rose twice
// meanwhile is told once.
type marks struct {
	local, remote *audience

	mu    sync.Mutex
	epoch map[int]uint32 // in which each partition is ours
	seq   map[int]uint64
	away  map[int]bool // the journal does not take the partition's events
}

// audience is one of those who are told.
type audience struct {
	wake    chan struct{}
	changed map[int]bool // guarded by marks.mu; not told yet
}

func newMarks() *marks {
	someone := func() *audience { return &audience{wake: make(chan struct{}, 1), changed: map[int]bool{}} }
	return &marks{local: someone(), remote: someone(), epoch: map[int]uint32{}, seq: map[int]uint64{}, away: map[int]bool{}}
}

// begin takes a partition in, in its epoch, durable up to seq.
func (m *marks) begin(partition int, epoch uint32, seq uint64) {
	m.change(partition, func() { m.epoch[partition], m.seq[partition], m.away[partition] = epoch, seq, false })
}

// drop tells nothing more of a partition, unless it is in another epoch by now.
func (m *marks) drop(partition int, epoch uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch[partition] == epoch {
		delete(m.epoch, partition)
		delete(m.seq, partition)
		delete(m.away, partition)
		delete(m.local.changed, partition)
		delete(m.remote.changed, partition)
	}
}

// advance says that a partition is durable up to seq.
func (m *marks) advance(partition int, seq uint64) {
	m.change(partition, func() { m.seq[partition] = seq })
}

// journal says whether the journal takes a partition's events.
func (m *marks) journal(partition int, available bool) {
	m.change(partition, func() { m.away[partition] = !available })
}

// change has the partition's mark told.
func (m *marks) change(partition int, do func()) {
	m.mu.Lock()
	do()
	m.local.changed[partition], m.remote.changed[partition] = true, true
	m.mu.Unlock()
	for _, a := range [...]*audience{m.local, m.remote} {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// all are the newest marks of all partitions.
func (m *marks) all() []luascripts.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]luascripts.Mark, 0, len(m.seq))
	for _, p := range ordered(m.seq) {
		out = append(out, luascripts.Mark{Partition: p, Epoch: m.epoch[p], Seq: m.seq[p], Away: m.away[p]})
	}
	return out
}

// news are the marks that someone has not been told.
func (m *marks) news(to *audience, out []luascripts.Mark) []luascripts.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ordered(to.changed) {
		out = append(out, luascripts.Mark{Partition: p, Epoch: m.epoch[p], Seq: m.seq[p], Away: m.away[p]})
	}
	clear(to.changed)
	return out
}

// tell tells an audience what rises, until ctx ends, and every so often all of it again, for those who were away; every 0
// is never. While fn answers that nobody listened, that is all it is told.
func (m *marks) tell(ctx context.Context, to *audience, every time.Duration, fn func([]luascripts.Mark) (heard bool)) {
	var again <-chan time.Time
	if every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		again = tick.C
	}
	var out []luascripts.Mark
	rises := to.wake
	for ctx.Err() == nil {
		all := false
		select {
		case <-rises:
		case <-again:
			all = true
		case <-ctx.Done(): // what has become durable is told all the same, to those who can still hear it
		}
		if all = all || taken(again); all {
			m.renew(to)
		}
		taken(to.wake)
		if out = m.news(to, out[:0]); len(out) > 0 {
			if rises = to.wake; !fn(out) {
				rises = nil
			}
		}
	}
}

// taken takes what a channel has, if it has something.
func taken[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// renew makes everything news again.
func (m *marks) renew(to *audience) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.seq {
		to.changed[p] = true
	}
}
