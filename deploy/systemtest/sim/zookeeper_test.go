package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"walletd/shardrouter"
)

// zookeeper keeps the map, the epochs and the queues of the candidates.
type zookeeper struct {
	world  *world
	static *shardrouter.Static // the rules of map and epochs
	queues map[string][]*candidate

	versions [partitions]int // of the moves' nodes
}

// candidate is a process's node in the queue of a shard.
type candidate struct {
	from *process
	end  func(error) // of its leadership, once it leads
	gone bool        // withdrawn: a session's requests take effect in order, so none of it comes later
}

// coordination is ZooKeeper as a process reaches it: shardrouter.Source, Store and Election.
type coordination struct {
	from *process
	*zookeeper

	mu      sync.Mutex
	current *shardrouter.Map // as this process has seen it
	changed chan struct{}
}

const zooTimeout = 2 * time.Second

func (z *coordination) request(label string) request {
	return request{from: z.from, zoo: true, label: z.from.name + " zookeeper " + label, faults: &z.world.weather.zoo, timeout: zooTimeout, lost: shardrouter.ErrUnavailable}
}

// Current implements shardrouter.Source, as Watch does.
func (z *coordination) Current() *shardrouter.Map {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.current
}

func (z *coordination) Watch(ctx context.Context, fn func(*shardrouter.Map)) {
	var told int32
	for ctx.Err() == nil {
		z.mu.Lock()
		m, changed := z.current, z.changed
		z.mu.Unlock()
		if m != nil && m.Version > told {
			told = m.Version
			fn(m)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// see takes a map in.
func (z *coordination) see(m *shardrouter.Map) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.current == nil || m.Version > z.current.Version {
		z.current = m
		close(z.changed)
		z.changed = make(chan struct{})
	}
}

// follow brings the process the map whenever there is a newer one: its watch. It is late like everything else.
func (z *coordination) follow(ctx context.Context) {
	seen := int32(0)
	for ctx.Err() == nil {
		r := z.request("watch")
		r.timeout, r.held = 0, func() bool { return z.static.Current().Version <= seen }
		m, err := ask(ctx, r, func() (*shardrouter.Map, error) { return z.static.Current(), nil })
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		seen = m.Version
		z.see(m)
	}
}

// NextEpoch implements shardrouter.Store, as Publish does.
func (z *coordination) NextEpoch(ctx context.Context, shard string, of []int) (uint32, error) {
	return ask(ctx, z.request(fmt.Sprint("epoch ", shard, " ", of)), func() (uint32, error) { return z.static.NextEpoch(context.Background(), shard, of) })
}

func (z *coordination) Publish(ctx context.Context, change func(*shardrouter.Map) (*shardrouter.Map, error)) error {
	m, err := ask(ctx, z.request("publish"), func() (*shardrouter.Map, error) {
		err := z.static.Publish(context.Background(), change)
		return z.static.Current(), err
	})
	if err == nil {
		z.see(m)
	}
	return err
}

// Elect implements shardrouter.Election. A session that expired is a new one at the next call.
func (z *coordination) Elect(ctx context.Context, shard, me string) (*shardrouter.Leadership, error) {
	c := &candidate{from: z.from}
	for {
		session := z.from.session.Load()
		err := tell(ctx, z.request("candidate "+shard), func() error {
			if z.from.session.Load() != session {
				return shardrouter.ErrSessionLost
			}
			if !c.gone && !slices.Contains(z.queues[shard], c) {
				z.queues[shard] = append(z.queues[shard], c)
			}
			return nil
		})
		if err == nil {
			r := z.request("lead " + shard)
			r.timeout, r.held = 0, func() bool { q := z.queues[shard]; return slices.Contains(q, c) && q[0] != c }
			err = tell(ctx, r, func() error {
				if q := z.queues[shard]; len(q) == 0 || q[0] != c {
					return shardrouter.ErrSessionLost
				}
				return nil
			})
		}
		if err == nil {
			return z.lead(shard, c), nil
		}
		if ctx.Err() != nil {
			z.withdraw(shard, c)
			return nil, fmt.Errorf("elect %s: %w", me, ctx.Err())
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (z *coordination) lead(shard string, c *candidate) *shardrouter.Leadership {
	l, resigned, end := shardrouter.NewLeadership()
	z.mu.Lock()
	c.end = end
	z.mu.Unlock()
	go func() {
		<-resigned
		z.withdraw(shard, c)
		end(shardrouter.ErrResigned)
	}()
	return l
}

// withdraw removes the node, as often as that takes; what a crashed process leaves goes with its session.
func (z *coordination) withdraw(shard string, c *candidate) {
	ctx := context.Background()
	for !z.from.dead.Load() {
		if tell(ctx, z.request("withdraw "+shard), func() error { c.gone = true; z.leave(shard, c); return nil }) == nil {
			return
		}
		z.from.pause(100 * time.Millisecond)
	}
}

func (z *zookeeper) leave(shard string, c *candidate) {
	z.queues[shard] = slices.DeleteFunc(z.queues[shard], func(o *candidate) bool { return o == c })
}

// expire ends a process's session: its nodes go at once, and it hears of that when it hears of it.
func (z *zookeeper) expire(p *process, hears time.Duration) {
	p.session.Add(1)
	for _, s := range z.world.shards {
		for _, c := range slices.Clone(z.queues[s.shard]) {
			if c.from != p {
				continue
			}
			z.leave(s.shard, c)
			if !p.dead.Load() {
				z.world.at(hears, p.name+" hears that its session of "+s.shard+" is over", func() {
					if c.end != nil {
						c.end(shardrouter.ErrSessionLost)
					}
				})
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// pause is one that a crash ends.
func (p *process) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.over:
	}
}
