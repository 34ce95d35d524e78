package lane

import (
	"context"
	"maps"
	"slices"

	"walletd/shardrouter"
)

// target is where a lane's shard is. Its client belongs to it: another address or epoch, another client.
type target struct {
	addr  string
	epoch uint32
}

// follow brings the lanes into line with a newer map. It runs on one goroutine.
func (l *Lanes) follow(ctx context.Context, m *shardrouter.Map) {
	for _, id := range slices.Sorted(maps.Keys(m.Shards)) { // in an order of its own: what a run does is not to depend on Go's
		s := m.Shards[id]
		ln := l.lanes[id]
		if ln == nil {
			ln = l.newLane(id)
			l.lanes[id] = ln
			l.group.Go(func() { ln.run(ctx) })
		}
		ln.aim(target{s.Primary, s.Epoch})
	}
	for p, owner := range m.Partitions {
		if p >= len(l.parts) {
			break
		}
		ln := l.lanes[owner.Shard]
		if ln == nil {
			ln = l.limbo
		}
		l.parts[p].move(ln, owner.Epoch)
		l.parts[p].held.began(owner.Epoch)
	}
	for _, id := range slices.Sorted(maps.Keys(l.lanes)) {
		ln := l.lanes[id]
		if _, stays := m.Shards[id]; !stays { // it has no partitions any more; rows in its train go to their new lanes
			ln.retire()
			delete(l.lanes, id)
		}
	}
}

// move gives the partition, and what waits for it, to a lane, in an epoch.
func (p *part) move(to *lane, epoch uint32) {
	from := p.lane.Load() // only this goroutine changes it
	if from == to {
		to.mu.Lock()
		if p.epoch != epoch {
			p.epoch = epoch
			to.unpark(p)
		}
		to.mu.Unlock()
		return
	}
	// Both at once, so that nobody sees the partition without a lane. Nobody else ever holds two.
	from.mu.Lock()
	to.mu.Lock()
	acts, bytes := p.queue.acts, p.queue.bytes()
	from.drop(p)
	p.lane.Store(to)
	p.epoch = epoch
	to.acts, to.bytes = to.acts+acts, to.bytes+bytes
	to.unpark(p)
	to.mu.Unlock()
	from.mu.Unlock()
}
