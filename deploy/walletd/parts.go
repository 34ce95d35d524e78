package walletd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/projector"
	"walletd/projector/reconcile"
	"walletd/projector/sweep"
	"walletd/projector/view"
	"walletd/projector/watch"
	"walletd/shardrouter/keeper"
)

// createProjector opens the read models. A store of another format or wallet is deleted and rebuilt from the journal:
// nothing in it is the only copy of anything.
func (n *node) createProjector() error {
	if err := os.MkdirAll(n.cfg.projection, 0o755); err != nil {
		return fmt.Errorf("projection: %w", err)
	}
	open := func() (*view.View, error) {
		return view.Open(view.Config{Dir: n.cfg.projection, Wallet: n.cfg.wallet, Partitions: n.cfg.partitions})
	}
	v, err := open()
	if errors.Is(err, view.ErrForeign) {
		n.logger.Warn("the projection is of another format or wallet; deleting it, it is rebuilt from the journal", "dir", n.cfg.projection, "err", err)
		if err := os.RemoveAll(n.cfg.projection); err != nil {
			return fmt.Errorf("projection: %w", err)
		}
		v, err = open()
	}
	if err != nil {
		return exit(exitFailed, "%w (the projection may be deleted: it is rebuilt from the journal)", err)
	}
	n.view, n.watch = v, watch.New(v)
	n.projector, err = projector.New(projector.Config{Log: n.log, View: v, Assets: n.cfg.assets, Logger: n.logger, Watch: n.watch})
	if err != nil {
		return errors.Join(err, v.Close())
	}
	n.registry.MustRegister(n.projector)
	return n.createSweeper()
}

// createSweeper makes what holds the live shards against the projection all the time (decision 27).
func (n *node) createSweeper() (err error) {
	if n.cfg.reconcileEvery == 0 {
		return nil
	}
	n.sweeper, err = sweep.New(sweep.Config{View: n.view, Live: &n.live, Assets: n.cfg.assets, Logger: n.logger, Every: n.cfg.reconcileEvery})
	if err != nil {
		return errors.Join(err, n.view.Close())
	}
	n.registry.MustRegister(n.sweeper)
	return nil
}

// createKeepers makes a keeper for every shard that this process stands for.
func (n *node) createKeepers() error {
	var snapshots keeper.Snapshots
	if n.shelf != nil {
		snapshots = beginnings{n.shelf}
	}
	n.keepsShard = map[string]*keeper.Keeper{}
	for _, shard := range n.cfg.keeps {
		k, err := keeper.New(keeper.Config{Shard: shard, Name: n.cfg.id, Partitions: n.cfg.partitions, Map: n.source, Store: n.store, Moves: n.moves, Election: n.election,
			Journal: n.log, Shards: n.lanes, Marks: n.lanes.Mark, Log: n.logger, KeyWindow: n.cfg.keyWindow, Open: n.openShard,
			Candidates: n.cfg.candidates[shard], Spares: n.cfg.spares,
			Snapshots: snapshots, Progress: func(p keeper.Progress) { n.watching.told(shard, p) }})
		if err != nil {
			return fmt.Errorf("keeper of shard %s: %w", shard, err)
		}
		n.keepers = append(n.keepers, k)
		n.keepsShard[shard] = k
	}
	return nil
}

// handOver gives what a train left to the keeper of its shard, if that is in this process.
func (n *node) handOver(shard, addr string, epoch uint32, t *luascripts.Train) {
	if k := n.keepsShard[shard]; k != nil {
		k.HandOver(addr, epoch, t)
	}
}

// slicesPerWindow is how many hashes of key records a shard has, more or less: one of them goes at a time.
const slicesPerWindow = 24

// openShard makes a keeper's client. The shard keeps keys in time slices of the window.
func (n *node) openShard(addr string) (keeper.Shard, error) {
	return luascripts.Open(luascripts.Config{Addr: addr, KeySlice: max(cmp.Or(n.cfg.keyWindow, keyWindowDefault)/slicesPerWindow, time.Second)})
}

// progress is what the status line tells: events folded, and how many the projection is behind.
func (n *node) progress() (events, behind uint64) {
	for p := range n.cfg.partitions {
		if at, err := n.view.Position(p); err == nil {
			events += at.Seq
		}
		behind += n.projector.Behind(p)
	}
	return events, behind
}

// liveShards dump the shards of this process's map, for an audit.
type liveShards struct{ n *node }

// Dump implements reconcile.Shards.
func (l liveShards) Dump(ctx context.Context) ([]reconcile.Dump, error) {
	m := l.n.source.Current()
	if m == nil {
		return nil, errors.New("dump shards: no map")
	}
	var dumps []reconcile.Dump
	for id, s := range m.Shards {
		if s.Primary == "" {
			continue
		}
		of, err := l.dump(ctx, id, s.Primary)
		if err != nil {
			return nil, fmt.Errorf("dump shard %s: %w", id, err)
		}
		for _, d := range of {
			if m.Partitions[d.Partition].Shard == id {
				dumps = append(dumps, d)
			}
		}
	}
	slices.SortFunc(dumps, func(a, b reconcile.Dump) int { return a.Partition - b.Partition })
	return dumps, nil
}

func (l liveShards) dump(ctx context.Context, id, addr string) ([]reconcile.Dump, error) {
	shard, err := luascripts.Open(luascripts.Config{Addr: addr, ReadTimeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer shard.Close()
	before, err := shard.Parts(ctx)
	if err != nil {
		return nil, err
	}
	books, err := shard.Dump(ctx, l.n.cfg.partitions)
	if err != nil {
		return nil, err
	}
	after, err := shard.Parts(ctx)
	if err != nil {
		return nil, err
	}
	var dumps []reconcile.Dump
	for p, at := range after {
		d := reconcile.Dump{Partition: p, Shard: id, Before: before[p].Seq, After: at.Seq, Epoch: at.Epoch, State: journal.NewMemory()}
		if book := books[p]; book != nil {
			d.State = book.State.(*journal.Memory)
		}
		dumps = append(dumps, d)
	}
	return dumps, nil
}

// reconcile audits everything that this process can see.
func (n *node) reconcile(ctx context.Context, progress func(done, total int64)) (reconcile.Report, error) {
	if n.projector != nil {
		_ = n.projector.CatchUp(ctx) // the report says how far the projection is
	}
	return reconcile.Run(ctx, reconcile.Config{Log: n.log, Assets: n.cfg.assets, Shards: liveShards{n}, View: n.view, Progress: progress})
}
