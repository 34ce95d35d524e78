package walletd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"walletd/gateway"
	"walletd/gateway/push"
	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/projector"
	"walletd/projector/events"
	"walletd/projector/events/kafkatopic"
	"walletd/projector/snapshot"
	"walletd/projector/sweep"
	"walletd/projector/view"
	"walletd/projector/watch"
	"walletd/projector/webhooks"
	"walletd/shardrouter"
	"walletd/shardrouter/keeper"
	"walletd/shardrouter/lane"
)

// drainFor bounds how long a stop waits for what is under way.
const drainFor = 10 * time.Second

// nodeConfig is what one process is.
type nodeConfig struct {
	partitions   int
	assets       journal.Assets
	id           string
	wallet       string              // names the wallet in the projection's store
	keeps        []string            // shards that this process stands for
	candidates   map[string][]string // Redis servers by shard, each of which may be its primary
	spares       []string
	projection   string // directory of the read models
	projectorURL string // of another process, where this one has no projector
	snapshots    SnapshotsConfig
	events       eventsTopic
	webhooks     []webhooks.Endpoint
	webhooksDir  string
	keyWindow    time.Duration // how long shards remember keys

	reconcileEvery time.Duration // how long a sweep over all live accounts takes; 0: there is none
	dev            bool          // of one machine, or accepting less: drills need no consent
	token          string
	origins        []string
	whole          bool // it does not begin with a journal that is damaged in part
}

// node is one process's parts. The fields above the blank line are given, the others come about in run.
type node struct {
	cfg           nodeConfig
	log           journal.Log
	source        shardrouter.Source
	store         shardrouter.Store
	moves         shardrouter.Moves
	election      shardrouter.Election
	logger        *slog.Logger
	public, admin net.Listener

	registry    *prometheus.Registry
	lanes       *lane.Lanes
	view        *view.View
	live        liveAccounts   // for auditors
	sweeper     *sweep.Sweeper // nil without a projection, or where nothing is to be compared
	audits      audits
	projector   *projector.Projector
	watch       *watch.Watch
	link        *push.Link       // to a projector elsewhere; nil: it is here
	links       *push.LinkServer // from gateways elsewhere; nil: this process is one
	happened    *events.Source
	publisher   *events.Publisher // nil where events are not published
	eventsTopic *kafkatopic.Topic
	webhooks    *webhooks.Dispatcher // nil where nobody is to be told
	keepers     []*keeper.Keeper
	keepsShard  map[string]*keeper.Keeper // the same, by shard
	watching    watching                  // what keepers tell
	shelf       *snapshot.Shelf
	taker       *snapshot.Taker // nil without a projection
	gateway     *gateway.Server
	empty       bool // the journal has no event yet
	closeShelf  func()
	damage      atomic.Pointer[error] // of the journal, that a keeper has found
}

// run creates the parts, wires and opens them, calls ready when everything answers, waits for ctx, and stops in reverse:
// the doors first, so that nothing new comes in; then the lanes, which answer what they have taken, for which the keepers
// must still journal; then keepers and projector.
func (n *node) run(ctx context.Context, r roles, ready func(context.Context) error) error {
	if err := n.create(ctx, r); err != nil {
		return err
	}
	// The parts outlive ctx until they are stopped one after the other.
	inner, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	parts, inner := errgroup.WithContext(inner)
	if n.lanes != nil {
		parts.Go(func() error { return quiet(inner, n.lanes.Run(inner)) })
	}
	for _, k := range n.keepers {
		parts.Go(func() error { return n.keep(inner, k) })
	}
	if n.projector != nil {
		parts.Go(func() error { return n.project(inner) })
	}
	if n.webhooks != nil {
		parts.Go(func() error { return quiet(inner, n.webhooks.Run(inner)) })
	}
	if n.publisher != nil {
		parts.Go(func() error { return n.publish(inner) })
	}
	if n.taker != nil {
		parts.Go(func() error { return quiet(inner, n.taker.Run(inner)) })
	}
	if n.sweeper != nil {
		parts.Go(func() error { return quiet(inner, n.sweeper.Run(inner)) })
	}
	if n.link != nil {
		parts.Go(func() error { return n.link.Run(inner) })
	}
	doors := n.doors(r)
	for _, d := range doors {
		parts.Go(func() error { return d.serve() })
	}
	err := n.await(ctx, inner, r, ready)
	n.stopDoors(doors)
	stopParts()
	return errors.Join(err, parts.Wait(), n.close())
}

// keep runs a keeper. One whose journal is damaged ends, and says so; its shard is not served, and everything else goes on.
func (n *node) keep(ctx context.Context, k *keeper.Keeper) error {
	err := k.Run(ctx)
	if errors.Is(err, journal.ErrDamaged) {
		n.damage.CompareAndSwap(nil, &err)
		return nil
	}
	return quiet(ctx, err)
}

// project runs the projector. Where it is not all that the process is for, a store that fails ends the projection alone: it is
// behind from then on, says so, and balances and writes go on.
func (n *node) project(ctx context.Context) error {
	err := n.projector.Run(ctx)
	if errors.Is(err, view.ErrStore) && n.lanes != nil {
		n.logger.Error("the projection has failed: statements stay behind until walletd is started again; balances and transfers go on", "dir", n.cfg.projection, "err", err)
		return nil
	}
	return quiet(ctx, err)
}

// await is the time between opening and stopping.
func (n *node) await(ctx, inner context.Context, r roles, ready func(context.Context) error) error {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(inner, cancel)() // a part that failed ends the waiting
	if err := n.untilServing(both, r); err != nil {
		return ignoreCancel(ctx, inner, err)
	}
	if err := ready(both); err != nil {
		return ignoreCancel(ctx, inner, err)
	}
	<-both.Done()
	return nil
}

// ignoreCancel drops an error that is only the echo of a stop, or of a part's own failure, which is told anyway.
func ignoreCancel(ctx, inner context.Context, err error) error {
	if ctx.Err() != nil || inner.Err() != nil {
		return nil
	}
	return err
}

func (n *node) create(ctx context.Context, r roles) (err error) {
	n.live.source = n.source
	n.registry = prometheus.NewRegistry()
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r.gateway || r.keeper { // keepers deliver through lanes, too
		if n.lanes, err = lane.New(lane.Config{Partitions: n.cfg.partitions, Map: n.source, Log: n.logger, HandOver: n.handOver}); err != nil {
			return fmt.Errorf("lanes: %w", err)
		}
	}
	if n.log != nil {
		if n.empty, err = emptyLog(ctx, n.log); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if r.projector {
		if err := n.createProjector(); err != nil {
			return err
		}
		if err := n.createEvents(); err != nil {
			return err
		}
		if err := n.createWebhooks(); err != nil {
			return err
		}
	}
	if r.keeper || r.projector {
		if err := n.createSnapshots(); err != nil {
			return err
		}
	}
	if r.keeper {
		if err := n.createKeepers(); err != nil {
			return err
		}
	}
	n.registry.MustRegister(figures{n})
	if r.gateway {
		return n.createGateway()
	}
	return nil
}

// emptyLog reports whether no partition of the journal has a record. A journal that is just coming up is waited for.
func emptyLog(ctx context.Context, log journal.Log) (empty bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if empty, err = looksEmpty(ctx, log); err == nil {
			return empty, nil
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func looksEmpty(ctx context.Context, log journal.Log) (bool, error) {
	for p := range log.Partitions() {
		end, err := log.End(ctx, p)
		if err != nil {
			return false, err
		}
		if end > 0 {
			return false, nil
		}
	}
	return true, nil
}

func (n *node) createGateway() (err error) {
	reads := n.reads()
	var past tcc.Past
	var feed push.Feed
	if reads != nil {
		past, feed = viewPast{n.view}, localFeed{n.watch}
	} else {
		target, err := url.Parse(n.cfg.projectorURL)
		if err != nil || target.Host == "" {
			return exit(exitUsage, "projector_url %q is no address like http://host:8082", n.cfg.projectorURL)
		}
		reads = proxyTo(target)
		n.link = push.NewLink(linkURL(target), n.cfg.token, n.pastName(), n.logger)
		feed = n.link
		past = &remotePast{url: target.JoinPath(pastPath).String(), token: n.cfg.token, wallet: n.pastName(), client: &http.Client{}}
	}
	n.gateway, err = gateway.New(gateway.Config{Assets: n.cfg.assets, Partitions: n.cfg.partitions, Shards: n.lanes, Reads: reads, Past: past, Feed: feed, Logger: n.logger,
		Metrics: gateway.NewMetrics(n.registry), Token: n.cfg.token, Admin: "http://" + n.admin.Addr().String(), Origins: n.cfg.origins})
	return err
}

// reads are the projection's routes, nil where this process has no projector.
func (n *node) reads() http.Handler {
	if n.view == nil {
		return nil
	}
	return gateway.NewReads(&projection{view: n.view, assets: n.cfg.assets, folds: n.projector}, n.cfg.partitions)
}

// proxyTo hands reads to a process that has a projector; when it does not answer, the client is told to come again.
func proxyTo(target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			problem(w, "projection_behind", "the projector does not answer: "+err.Error())
		},
	}
}

func (n *node) close() error {
	if n.taker != nil {
		n.taker.Close()
	}
	if n.closeShelf != nil {
		n.closeShelf()
	}
	err := n.live.Close()
	if n.view != nil {
		err = errors.Join(err, n.view.Close())
	}
	return err
}

// serving is the number of partitions that a keeper serves: in this process's map, which may be from before everything died, and
// heard of since this process began; down are the shards whose journal is
// damaged.
func (n *node) serving() (partitions int, down []string) {
	m := n.source.Current()
	if m == nil {
		return 0, nil
	}
	for id, s := range m.Shards {
		switch s.State {
		case shardrouter.StateServing:
			for _, p := range m.PartitionsOf(id) {
				if m.Partitions[p].Epoch > 0 && (n.lanes == nil || n.lanes.Heard(p)) {
					partitions++
				}
			}
		case shardrouter.StateDown:
			down = append(down, id)
		}
	}
	slices.Sort(down)
	return partitions, down
}

// untilServing waits until everything answers that will. A keeper alone is ready when it stands by: another may own the shards.
func (n *node) untilServing(ctx context.Context, r roles) error {
	for r.gateway {
		if damage := n.damage.Load(); damage != nil && n.cfg.whole {
			return exit(exitFailed, "%w%s", *damage, journalHint(*damage))
		}
		serving, down := n.serving()
		for _, id := range down {
			if !n.cfg.whole { // else its keeper is about to say what is wrong
				serving += len(n.source.Current().PartitionsOf(id))
			}
		}
		if serving >= n.cfg.partitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
