package systemtest

import (
	"context"
	"slices"
	"sync"

	"walletd/deploy/faultproxy"
	"walletd/shardrouter"
)

// oldNews is the map as a process sees it that may be cut off from whoever keeps it.
type oldNews struct {
	shardrouter.Source

	mu    sync.Mutex
	old   *shardrouter.Map
	still chan struct{} // closed when there are news again; nil: there are
}

// Current implements shardrouter.Source.
func (n *oldNews) Current() *shardrouter.Map {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.still != nil {
		return n.old
	}
	return n.Source.Current()
}

// Watch implements shardrouter.Source.
func (n *oldNews) Watch(ctx context.Context, fn func(*shardrouter.Map)) {
	n.Source.Watch(ctx, func(*shardrouter.Map) {
		n.mu.Lock()
		still := n.still
		n.mu.Unlock()
		if still != nil {
			select {
			case <-still:
			case <-ctx.Done():
				return
			}
		}
		fn(n.Current())
	})
}

func (n *oldNews) stop() (heal func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.still == nil {
		n.old, n.still = n.Source.Current(), make(chan struct{})
	}
	return n.goOn
}

func (n *oldNews) goOn() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.still != nil {
		close(n.still)
		n.old, n.still = nil, nil
	}
}

// deposed takes its primary from a keeper, and the news from one gateway of two: where there is a replica, one goes on with it,
// the other with the shard that was.
func (f *inprocess) deposed(i int) (heal func()) {
	primary := f.router.Current().Shards[shardID(i)].Primary
	at := slices.IndexFunc(f.trains[:], func(p *faultproxy.Proxy) bool { return p.Addr() == primary })
	if at < 0 {
		return func() {}
	}
	f.keepers[i].ways[at].Refuse(true)
	f.keepers[i].ways[at].Cut()
	hears := f.gateways[i%labGateways].news.stop()
	return func() {
		f.keepers[i].ways[at].Heal()
		hears()
	}
}
