package systemtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/walletd"
	"walletd/gateway"
	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/luascripts"
	"walletd/projector"
	"walletd/projector/snapshot"
	"walletd/projector/view"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
	"walletd/shardrouter/lane"
)

// Times of the in-process form: as in production, in short.
const (
	labRetryFor    = 300 * time.Millisecond
	labUnsureFor   = 2 * time.Second
	labHeldFor     = 2 * time.Second
	labReadTimeout = 300 * time.Millisecond
)

func (f *inprocess) lanes(source shardrouter.Source) *lane.Lanes {
	l, err := lane.New(lane.Config{Partitions: labPartitions, Map: source, Log: f.said, RetryFor: labRetryFor, UnsureFor: labUnsureFor, HeldFor: labHeldFor,
		Open: func(addr string, epoch uint32) (lane.Shard, error) {
			return luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch, ReadTimeout: labReadTimeout})
		}})
	mustDo(f.t, "lanes", err)
	return l
}

// labKeeper is a keeper's process: the keeper, its lanes, its way to the journal.
type labKeeper struct {
	part
	f     *inprocess
	shard int
	name  string
	log   *roughLog
	ways  []*faultproxy.Proxy // its own to each Redis
	kept  atomic.Pointer[keeper.Keeper]
}

func newLabKeeper(f *inprocess, shard int, name string) *labKeeper {
	k := &labKeeper{f: f, shard: shard, name: name, log: &roughLog{Log: f.log}}
	for _, r := range f.redis {
		k.ways = append(k.ways, faultproxy.ForTest(f.t, r.hand.addr()))
	}
	return k
}

// way is the keeper's own way to the Redis that the map names so.
func (k *labKeeper) way(addr string) string {
	for i, named := range k.f.trains {
		if named.Addr() == addr {
			return k.ways[i].Addr()
		}
	}
	return addr
}

// calm heals its ways.
func (k *labKeeper) calm() {
	for _, way := range k.ways {
		way.Heal()
	}
	k.log.whole()
}

func (k *labKeeper) start() {
	k.run(func(ctx context.Context) []func() {
		lanes := k.f.lanes(k.f.router)
		var snapshots keeper.Snapshots
		if k.f.shelf != nil {
			snapshots = walletd.BeginningsOf(k.f.shelf)
		}
		kept, err := keeper.New(keeper.Config{Snapshots: snapshots, Shard: shardID(k.shard), Name: k.name, Partitions: labPartitions, Map: k.f.router, Store: k.f.router, Moves: k.f.router, KeyWindow: k.f.window,
			Election: k.f.router, Journal: k.log, Shards: lanes, Marks: lanes.Mark, Log: k.f.said.With("keeper", k.name),
			Open: func(addr string) (keeper.Shard, error) {
				return luascripts.Open(luascripts.Config{Addr: k.way(addr), ReadTimeout: labReadTimeout, KeySlice: k.f.slice()})
			},
			OfferAgain: 300 * time.Millisecond, MarksEvery: 50 * time.Millisecond, WatchEvery: 20 * time.Millisecond, Unreachable: 500 * time.Millisecond,
			Lease: 400 * time.Millisecond, ReplicasEvery: 200 * time.Millisecond,
			RestMin: 10 * time.Millisecond, RestMax: 200 * time.Millisecond})
		mustDo(k.f.t, "keeper", err)
		k.kept.Store(kept)
		return []func(){
			func() { _ = lanes.Run(ctx) },
			func() {
				if err := kept.Run(ctx); ctx.Err() == nil {
					k.f.t.Errorf("%s ended by itself: %v", k.name, err)
				}
			},
		}
	})
}

func (k *labKeeper) stop() {
	k.halt(func() {})
}

// labGateway is a gateway's process: lanes, coordinator and doors.
type labGateway struct {
	part
	f    *inprocess
	addr string
	http *http.Server
	gate *gateway.Server
	news *oldNews
}

func newLabGateway(f *inprocess, addr string) *labGateway {
	return &labGateway{f: f, addr: addr, news: &oldNews{Source: f.router}}
}

func (g *labGateway) start() {
	g.run(func(ctx context.Context) []func() {
		lanes := g.f.lanes(g.news)
		var err error
		g.gate, err = gateway.New(gateway.Config{Assets: journal.DevAssets, Partitions: labPartitions, Shards: lanes, Reads: g.f.projector, Past: g.f.projector, Logger: g.f.said})
		mustDo(g.f.t, "gateway", err)
		listener, err := net.Listen("tcp4", g.addr)
		mustDo(g.f.t, "gateway", err)
		g.http = &http.Server{Handler: g.gate, ReadHeaderTimeout: 10 * time.Second}
		return []func(){
			func() { _ = lanes.Run(ctx) },
			func() { _ = g.http.Serve(gateway.Listen(listener)) },
		}
	})
}

// stop ends it at once: connections and what is under way with it.
func (g *labGateway) stop() {
	g.halt(func() {
		_ = g.http.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		g.gate.Drain(over)
	})
}

// labProjector is a projector's process; gateways read through it.
type labProjector struct {
	part
	f     *inprocess
	dir   string
	log   *roughLog
	view  *view.View
	past  sync.RWMutex // held while the view is asked about old keys
	begun context.Context
	taker *snapshot.Taker              // nil: no snapshots
	reads atomic.Pointer[http.Handler] // nil while it is down
}

func newLabProjector(f *inprocess, dir string) *labProjector {
	return &labProjector{f: f, dir: dir, log: &roughLog{Log: f.log}}
}

func (p *labProjector) start() {
	p.run(func(ctx context.Context) []func() {
		v, err := view.Open(view.Config{Dir: p.dir, Wallet: "lab", Partitions: labPartitions})
		mustDo(p.f.t, "projection", err)
		run, err := projector.New(projector.Config{Log: p.log, View: v, Assets: journal.DevAssets, Logger: p.f.said})
		mustDo(p.f.t, "projector", err)
		p.past.Lock()
		p.view, p.begun = v, ctx
		p.past.Unlock()
		reads := walletd.ReadsOf(v, journal.DevAssets, run)
		p.reads.Store(&reads)
		parts := []func(){func() {
			if err := run.Run(ctx); ctx.Err() == nil {
				p.f.t.Errorf("the projector ended by itself: %v", err)
			}
		}}
		if p.f.shelf == nil {
			return parts
		}
		p.taker, err = snapshot.NewTaker(snapshot.TakerConfig{View: v, Log: p.log, Look: 50 * time.Millisecond, Settle: time.Millisecond,
			Schedule: snapshot.Schedule{Every: 100}, Taking: snapshot.Taking{Shelf: p.f.shelf, By: "lab", Policy: snapshot.Policy{Newest: 2}}})
		mustDo(p.f.t, "snapshots", err)
		return append(parts, func() { _ = p.taker.Run(ctx) })
	})
}

func (p *labProjector) stop() {
	p.halt(func() {
		p.log.whole()
		p.reads.Store(nil)
	})
	if p.taker != nil {
		p.taker.Close()
		p.taker = nil
	}
	p.past.Lock()
	defer p.past.Unlock()
	if p.view != nil {
		_ = p.view.Close()
		p.view = nil
	}
}

// Past implements tcc.Past.
func (p *labProjector) Past(ctx context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	p.past.RLock()
	defer p.past.RUnlock()
	if p.view == nil {
		return nil, errors.New("the projector is down")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.begun, cancel)()
	return walletd.PastOf(p.view).Past(ctx, questions)
}

// ServeHTTP implements http.Handler: what a gateway's proxy to the projector does.
func (p *labProjector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := p.reads.Load()
	if reads == nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":503,"code":"projection_behind","retryable":true}`))
		return
	}
	(*reads).ServeHTTP(w, r)
}
