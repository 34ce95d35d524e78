package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/projector/view"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
	"walletd/shardrouter/lane"
)

// process is one life of a walletd: a gateway, or a keeper of one shard. (Two keepers in one process may send rows at one
// instant, and the order of two timers of one instant is drawn by Go.)
type process struct {
	world *world
	name  string
	place int // in world.processes
	life  int
	keeps *redis     // nil: a gateway, or the projector
	view  *view.View // the projector's

	dead    atomic.Bool // nothing of it reaches anybody any more
	frozen  time.Time   // until then nothing of it moves
	cut     time.Time   // until then it does not reach apart
	apart   *redis      // nil: ZooKeeper
	loads   atomic.Int64
	session atomic.Int64
	cancel  context.CancelFunc
	over    <-chan struct{} // its life
	ended   sync.WaitGroup

	zoo    *coordination
	lanes  *lane.Lanes
	keeper *keeper.Keeper // nil: it keeps nothing
	acts   *tcc.Coordinator

	mu      sync.Mutex
	watched map[rows.Sink]*watcher
}

// start begins a process's life.
func (w *world) start(place, life int, keeps *redis) {
	name, projects := fmt.Sprintf("g%d", place), w.turn.projects && place == len(w.processes)-1
	switch {
	case projects:
		name = fmt.Sprintf("p%d", place)
	case keeps != nil:
		name = fmt.Sprintf("k%d", place)
	}
	p := &process{world: w, name: name, place: place, life: life, keeps: keeps, watched: map[rows.Sink]*watcher{}}
	w.processes[place] = p
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.over = cancel, ctx.Done()
	if projects {
		p.project(ctx)
		return
	}
	p.zoo = &coordination{from: p, zookeeper: w.zoo, changed: make(chan struct{})}
	var err error
	p.lanes, err = lane.New(lane.Config{Partitions: partitions, Map: p.zoo, Open: func(addr string, epoch uint32) (lane.Shard, error) {
		return &shardClient{redis: w.shardAt(addr), from: p, role: "lane", epoch: epoch}, nil
	}, HandOver: p.handOver})
	if err != nil {
		panic(err)
	}
	if keeps != nil {
		if p.keeper, err = keeper.New(p.keeperConfig(keeps.shard)); err != nil {
			panic(err)
		}
	}
	p.ended.Go(func() { p.zoo.follow(ctx) })
	p.ended.Go(func() { _ = p.lanes.Run(ctx) })
	var asks tcc.Past
	if w.turn.projects {
		asks = past{p}
	}
	p.acts = tcc.New(partitions, p, asks)
	if keeps == nil {
		return
	}
	p.ended.Go(func() {
		if err := p.keeper.Run(ctx); !p.dead.Load() {
			w.audit.complain("keeper of %s in %s gives up: %v", keeps.shard, p.name, err)
		}
	})
}

func (p *process) keeperConfig(shard string) keeper.Config {
	return keeper.Config{
		Shard: shard, Name: fmt.Sprint(p.name, ".", p.life), Partitions: partitions,
		Map: p.zoo, Store: p.zoo, Election: p.zoo, Journal: journalOf{p, p.world.log}, Shards: p, Moves: p.moving(), Snapshots: p.beginnings(),
		Open: func(addr string) (keeper.Shard, error) {
			return &shardClient{redis: p.world.shardAt(addr), from: p, role: "keeper"}, nil
		},
		Marks: func(m []luascripts.Mark) {
			if !p.dead.Load() {
				p.world.audit.marks(p, m)
				p.lanes.Mark(m)
			}
		},
		// Crooked times: of two timers that go off at one instant, Go draws which is first.
		WatchEvery: 99_999_989, MarksEvery: 200_000_033, OfferAgain: 15_000_000_017, Unreachable: 1_000_000_019,
		Lease: 800_000_039, KeyWindow: p.world.keyWindow(), ReplicasEvery: 2_000_000_063, RestMin: 50_000_021, RestMax: 2_000_000_011,
		Jitter: func(d time.Duration) time.Duration { return d * 3 / 4 },
	}
}

// handOver gives what a train left to the keeper of its shard, if that is in this process.
func (p *process) handOver(shard, addr string, epoch uint32, t *luascripts.Train) {
	if p.keeper != nil && p.keeps.shard == shard && !p.dead.Load() {
		p.keeper.HandOver(addr, epoch, t)
	}
}

func (p *process) moving() shardrouter.Moves {
	if p.world.turn.moves {
		return p.zoo
	}
	return nil
}

func (p *process) beginnings() keeper.Snapshots {
	if p.world.turn.snapshots {
		return beginnings{p}
	}
	return nil
}

// keyWindow is the keepers'.
func (w *world) keyWindow() time.Duration {
	if w.turn.window == time.Hour {
		return -1
	}
	return w.turn.window
}

// crash ends a process's life at once: what it has on its way may still arrive, and nothing that it does later does.
func (w *world) crash(p *process, down time.Duration) {
	w.note("%s crashes", p.name)
	p.dead.Store(true)
	if p.view != nil {
		w.lose()
	}
	p.cancel()
	for i := 0; i < len(w.calls); {
		if c := w.calls[i]; c.from == p && !c.orphan {
			c.orphan = true
			if w.rng.IntN(2) == 0 {
				w.calls = append(w.calls[:i], w.calls[i+1:]...)
				continue
			}
		}
		i++
	}
	w.at(time.Duration(w.rng.Int64N(int64(sessionLife))), p.name+" session ends", func() { w.zoo.expire(p, 0) })
	w.at(down, p.name+" starts", func() { w.start(p.place, p.life+1, p.keeps) })
}

// Submit implements rows.Shards for the process's coordinator and keepers: what comes back is looked at on its way.
func (p *process) Submit(st *rows.Stage) {
	st.Each(func(sec *rows.Section) {
		for i := range sec.Metas {
			sec.Metas[i].Sink = p.watch(sec.Metas[i].Sink)
		}
	})
	p.lanes.Submit(st)
}

func (p *process) watch(sink rows.Sink) *watcher {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.watched[sink]
	if of == nil {
		of = &watcher{p, sink}
		p.watched[sink] = of
	}
	return of
}

// watcher looks at outcomes before their sink gets them. Those of a crashed process get nowhere.
type watcher struct {
	from *process
	sink rows.Sink
}

func (s *watcher) Settle(outs []rows.Outcome) {
	if s.from.dead.Load() {
		return
	}
	for i := range outs {
		s.from.world.audit.outcome(s.from, &outs[i])
	}
	s.sink.Settle(outs)
}

func (w *world) shardAt(addr string) *redis {
	for _, s := range w.redises {
		if s.addr == addr {
			return s
		}
	}
	panic("no shard at " + addr)
}

// trouble draws whether something befalls a process or a shard now.
func (w *world) trouble() bool {
	if w.rng.IntN(1000) < w.storm.change { // in between all goes well for a while
		w.calm = !w.calm && w.storm.change < 1000
		*w.weather = w.storm
		if w.calm {
			*w.weather = weather{slowest: w.storm.slowest, thought: w.storm.thought}
		}
	}
	n := w.rng.IntN(100_000)
	hit := func(of int) bool { n -= of; return n < 0 }
	victim, shard := w.processes[w.rng.IntN(len(w.processes))], w.redises[w.rng.IntN(len(w.redises))]
	switch {
	case hit(w.weather.crash):
		if victim.dead.Load() {
			return false
		}
		w.crash(victim, time.Duration(w.rng.Int64N(int64(3*time.Second))))
	case hit(w.weather.freeze):
		victim.frozen = time.Now().Add(w.pause() + w.pause())
		w.note("%s is frozen until %s", victim.name, victim.frozen.Sub(w.began))
	case hit(w.weather.expire):
		w.note("%s loses its session", victim.name)
		w.zoo.expire(victim, w.pause())
	case hit(w.weather.restart):
		var with *data
		if len(shard.saved) > 0 && w.rng.IntN(4) > 0 {
			with = pick(w.rng, shard.saved...)
		}
		w.note("%s restarts, with data: %t", shard.shard, with != nil)
		w.restarted = w.restarted || with != nil
		shard.restart(with)
		for _, p := range w.processes { // they may have stood on one machine
			if p.keeps == shard && !p.dead.Load() && w.rng.IntN(3) == 0 {
				w.crash(p, time.Duration(w.rng.Int64N(int64(time.Second))))
			}
		}
	case hit(w.weather.flush):
		w.note("%s forgets its scripts", shard.shard)
		shard.forget()
	case hit(w.weather.hang):
		shard.hangs = time.Now().Add(w.pause() + w.pause())
		if w.rng.IntN(2) == 0 { // as good as dead; it may come back as it was, as after SIGSTOP
			shard.hangs = time.Now().Add(time.Duration(2+w.rng.IntN(10)) * time.Second)
		}
		w.note("%s hangs until %s", shard.shard, shard.hangs.Sub(w.began))
	case hit(w.weather.cut):
		victim.cut = time.Now().Add(time.Duration(1+w.rng.IntN(10)) * time.Second)
		if victim.apart = nil; w.rng.IntN(2) == 0 {
			victim.apart = shard
		}
		w.note("%s is cut off until %s, from a shard: %t", victim.name, victim.cut.Sub(w.began), victim.apart != nil)
	case hit(w.weather.lonely): // a primary is given up, and somebody who will not hear of it goes on asking it
		shard = w.shardAt(w.zoo.static.Current().ShardOf(w.rng.IntN(partitions)).Primary)
		shard.hangs = time.Now().Add(time.Duration(2000+w.rng.IntN(2500)) * time.Millisecond)
		victim = w.processes[w.rng.IntN(2)]
		victim.cut, victim.apart = shard.hangs.Add(time.Duration(w.rng.IntN(8000))*time.Millisecond), nil
		w.note("%s hangs until %s, %s does not hear of anything until %s", shard.shard, shard.hangs.Sub(w.began), victim.name, victim.cut.Sub(w.began))
	case hit(2000):
		if shard.of == "" {
			return false
		}
		w.note("%s has what %s has", shard.shard, shard.of)
		shard.replicate()
	case hit(w.weather.save):
		shard.saved = append(shard.saved[max(0, len(shard.saved)-5):], shard.data.copy())
		w.note("%s is saved", shard.shard)
	default:
		return false
	}
	return true
}

// heal ends all faults.
func (w *world) heal() {
	w.note("all heals")
	w.healing = true
	*w.weather = calm
	w.weather.slowest, w.weather.thought = time.Millisecond, time.Millisecond
	for _, p := range w.processes {
		p.frozen, p.cut = time.Time{}, time.Time{}
	}
	for _, s := range w.redises {
		s.hangs = time.Time{}
	}
	for _, c := range w.calls {
		if c.from != nil && c.orphan && c.from.dead.Load() {
			c.due = time.Time{}
		}
	}
}

// stop ends all processes, and answers what they have on their way.
func (w *world) stop() {
	for _, p := range w.processes {
		p.dead.Store(true)
		p.cancel()
	}
	for _, p := range w.processes {
		p.ended.Wait()
	}
}

var _ journal.Effects = (*audited)(nil)
