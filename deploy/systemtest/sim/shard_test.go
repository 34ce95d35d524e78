package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"walletd/luascripts"
)

// redis is a simulated shard: the data of a Redis, which may be saved and come back, and the process, whose script cache
// goes with it (decision 8).
type redis struct {
	world *world
	shard string
	addr  string
	hangs time.Time     // until then it answers nobody
	skew  time.Duration // of its clock

	data
	of     string          // a replica: its primary's address
	linked bool            // and it has that one's data
	life   int             // of the process
	admits map[uint32]bool // epochs whose trains' scripts are cached
	begun  map[uint32]bool // epochs that began in this life, also of single partitions: their marks are cached
	heard  []*subscription
	saved  []*data // older states, which it may come back with
}

// clock is the shard's own, ms since 1970.
func (r *redis) clock() int64 { return time.Now().Add(r.skew).UnixMilli() }

// restart ends the process: its script cache, its subscribers and whatever was on its way to it.
func (r *redis) restart(with *data) {
	r.data = nothing()
	if with != nil {
		r.data = *with.copy()
	}
	r.life++
	r.forget()
	r.of, r.linked = "", false
	for _, s := range r.heard {
		s.broken.Store(true)
	}
	r.heard = nil
	w := r.world
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool {
		if c.end != r || c.ran {
			return false
		}
		w.answer(c, c.lost)
		return true
	})
}

// forget drops all scripts.
func (r *redis) forget() {
	clear(r.admits)
	clear(r.begun)
}

// replicate brings a replica what its primary has now: what it has in between is what its primary had.
func (r *redis) replicate() {
	if primary := r.world.shardAt(r.of); !primary.hangs.After(time.Now()) && primary != r {
		r.data, r.linked = *primary.data.copy(), true
	}
}

// subscription is a listener's connection.
type subscription struct {
	queue  [][]luascripts.Mark
	broken atomic.Bool
}

// client is a process's client of a shard: a keeper.Shard and a lane.Shard.
type shardClient struct {
	*redis
	from  *process
	role  string
	epoch uint32
}

const shardTimeout = 2 * time.Second

var (
	errShardUnknown = fmt.Errorf("the shard's answer is lost: %w", luascripts.ErrUnknown)
	errShardRefused = fmt.Errorf("no connection to the shard: %w", luascripts.ErrNotSent)
)

func (s *shardClient) request(label string) request {
	return request{from: s.from, end: s.redis, label: s.from.name + " " + s.role + " " + s.shard + " " + label,
		faults: &s.world.weather.keeper, timeout: shardTimeout, lost: errShardUnknown, refused: errShardRefused}
}

func (s *shardClient) Close() error { return nil }

// Run implements lane.Shard, as SubscribeMarks does.
func (s *shardClient) Run(ctx context.Context, t *luascripts.Train) (luascripts.Reply, error) {
	r := s.request("train")
	r.faults = &s.world.weather.train
	arg := slices.Clone(t.Arg())
	packed, err := ask(ctx, r, func() ([]byte, error) { return s.train(arg, s.epoch) })
	if err != nil {
		return luascripts.Reply{}, err
	}
	return t.Answer(packed), nil
}

func (s *shardClient) SubscribeMarks(ctx context.Context, fn func([]luascripts.Mark)) error {
	for ctx.Err() == nil {
		_ = s.listen(ctx, fn)
		pause(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

var errConnection = errors.New("the connection is lost")

func (s *shardClient) listen(ctx context.Context, fn func([]luascripts.Mark)) error {
	r := s.request("subscribe")
	r.faults = &s.world.weather.marks
	sub, err := ask(ctx, r, func() (*subscription, error) {
		sub := &subscription{}
		s.heard = append(s.heard, sub)
		return sub, nil
	})
	if err != nil {
		return err
	}
	for {
		r := s.request("listen")
		r.faults, r.timeout, r.held = &s.world.weather.marks, 0, func() bool { return len(sub.queue) == 0 && !sub.broken.Load() }
		marks, err := ask(ctx, r, func() ([]luascripts.Mark, error) {
			if sub.broken.Load() {
				return nil, errConnection
			}
			first := sub.queue[0]
			sub.queue = sub.queue[1:]
			return first, nil
		})
		if err != nil { // the redis forgets the connection when it comes to it
			sub.broken.Store(true)
			return err
		}
		fn(marks)
	}
}
