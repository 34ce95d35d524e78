package systemtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/deploy/walletd"
	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/projector/reconcile"
	"walletd/projector/snapshot"
	"walletd/shardrouter"
)

// The cheap form: gateways, keepers, lanes and projector of one wallet in this process, each with its own ways to real
// Redis servers, which a slot uses again and again.

const (
	labPartitions = 4
	labShards     = 2
	labGateways   = 2
	labRedis      = 4 // the shards' primaries, a replica of the first, a spare
)

// slot is what runs of the in-process form share, one after the other.
type slot struct {
	redis  [labRedis]*redisFaults
	broker *labBroker // nil: the journal is in files
	topics int
}

// inprocess is a wallet in this process.
type inprocess struct {
	t      testing.TB
	w      *wallet
	redis  [labRedis]*redisFaults
	log    journal.Log
	broker *labBroker // nil: the journal is in files
	router *shardrouter.Static
	said   *slog.Logger
	shelf  *snapshot.Shelf // nil: every fold begins at 0
	window time.Duration   // key window; 0: as usual
	moves  *moves

	trains [labRedis]*faultproxy.Proxy // the ways that the map names
	doors  [labGateways]*faultproxy.Proxy

	gateways  [labGateways]*labGateway
	keepers   [labShards]*labKeeper
	rivals    [labShards]*labKeeper
	projector *labProjector
}

// newInprocess makes the form with so many slots; with brokers, each journals in a Kafka of its own, else in files.
func newInprocess(t testing.TB, slots int, brokers bool) *form {
	var all []*slot
	for range slots {
		s := new(slot)
		if brokers {
			s.broker = newLabBroker(t)
		}
		for i := range s.redis {
			dir := t.TempDir()
			server, err := local.StartRedis(t.Context(), local.RedisConfig{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Kill)
			s.redis[i] = &redisFaults{name: numbered("redis", i), hand: ownRedis{server, dir}}
		}
		all = append(all, s)
	}
	return &form{
		timing: timing{length: 1200 * time.Millisecond, lasts: time.Second, faultsMax: 10, window: time.Second},
		load:   loadOptions{sessions: 4, workers: 8, perSecond: 500, perPartition: 2, loners: 1, readers: 1, burst: 40},
		can:    func() []fault { return sortedFaults((&inprocess{broker: all[0].broker}).faults()) },
		start: func(t testing.TB, n int, s *schedule, keep string) stand {
			return startInprocess(t, all[n], keep, s)
		},
		slots: slots,
	}
}

// startInprocess starts a wallet. In half of them the first shard has a replica, and a spare is there; in two of three
// snapshots are taken all the time, and folds begin there.
func startInprocess(t testing.TB, s *slot, dir string, of *schedule) *inprocess {
	t.Helper()
	f := &inprocess{t: t, redis: s.redis, said: labLogger(t, dir), window: of.window}
	for i, r := range f.redis {
		r.t, r.set = t, map[string]bool{"maxmemory": true, "maxmemory-policy": true}
		r.whole()
		mustDo(t, "empty "+r.name, r.ask("REPLICAOF NO ONE"), r.ask("FLUSHALL"), r.ask("SCRIPT FLUSH"), r.ask("CONFIG RESETSTAT"))
		f.trains[i] = faultproxy.ForTest(t, r.hand.addr())
	}
	initial, err := f.firstMap(hasReplica(of.seed))
	mustDo(t, "map", err)
	f.router, err = shardrouter.NewStatic(shardrouter.StaticConfig{Initial: initial})
	mustDo(t, "map", err)
	f.moves = &moves{request: f.request, takeBack: f.takeBack, at: f.placed}
	f.w = &wallet{t: t, partitions: labPartitions, inProcess: f.reconcile, placed: f.placed, keyRecords: f.keyRecords,
		openLog: func() (journal.Log, func() error, error) { return f.log, func() error { return nil }, nil }}
	if f.broker = s.broker; f.broker != nil {
		s.topics++
		f.log = f.broker.open(t, fmt.Sprintf("wallet.journal.%d", s.topics))
	} else {
		files, err := filelog.Open(filelog.Config{Dir: filepath.Join(dir, "journal"), Partitions: labPartitions, SegmentBytes: 1 << 20})
		mustDo(t, "journal", err)
		t.Cleanup(func() { _ = files.Close() })
		f.log, f.w.durable = files, newEnds(files).durable
	}
	if of.seed%3 != 0 {
		f.shelf = &snapshot.Shelf{Wallet: "lab", Partitions: labPartitions, Store: snapshot.NewDir(filepath.Join(dir, "snapshots")), Logger: f.said}
	}
	f.projector = newLabProjector(f, filepath.Join(dir, "projection"))
	for i := range f.keepers {
		f.keepers[i] = newLabKeeper(f, i, fmt.Sprintf("keeper-%d", i+1))
		f.rivals[i] = newLabKeeper(f, i, fmt.Sprintf("rival-%d", i+1))
	}
	for i := range f.gateways {
		f.gateways[i] = newLabGateway(f, freeAddr(t))
		f.doors[i] = faultproxy.ForTest(t, f.gateways[i].addr)
		f.w.gateways = append(f.w.gateways, f.doors[i].Addr())
	}
	t.Cleanup(f.stop)
	f.start()
	await(t, recoverLimit, "every partition is served", f.serves)
	return f
}

// firstMap is the map of the beginning.
func (f *inprocess) firstMap(candidates bool) (*shardrouter.Map, error) {
	var shards []shardrouter.Shard
	for i := range labShards {
		shards = append(shards, shardrouter.Shard{ID: shardID(i), Primary: f.trains[i].Addr()})
	}
	if candidates {
		shards[0].Replicas = []string{f.trains[labShards].Addr()}
	}
	m, err := shardrouter.NewMap(labPartitions, shards...)
	if err == nil && candidates {
		m = m.WithSpares(f.trains[labShards+1].Addr())
	}
	return m, err
}

// hasReplica: in every other schedule the first shard has one, and there is a spare.
func hasReplica(seed uint64) bool { return seed%2 == 0 }

func shardID(i int) string { return fmt.Sprintf("s%d", i+1) }

// labLogger writes what the parts say beside the data.
func labLogger(t testing.TB, dir string) *slog.Logger {
	file, err := os.Create(filepath.Join(dir, "walletd.log"))
	mustDo(t, "log file", err)
	t.Cleanup(func() { _ = file.Close() })
	return slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start starts every part that does not run, but for rivals.
func (f *inprocess) start() {
	f.projector.start()
	for _, k := range f.keepers {
		k.start()
	}
	for _, g := range f.gateways {
		g.start()
	}
}

// stop ends every part, as a crash does.
func (f *inprocess) stop() {
	f.moves.end()
	f.calm()
	for _, g := range f.gateways {
		g.stop()
	}
	for i := range f.keepers {
		f.rivals[i].stop()
		f.keepers[i].stop()
	}
	f.projector.stop()
}

// calm takes every fault away that is not a part's death.
func (f *inprocess) calm() {
	if f.broker != nil {
		f.broker.t = f.t
		f.broker.whole()
		f.broker.wire.Heal()
	}
	for i, r := range f.redis {
		r.whole()
		f.trains[i].Heal()
	}
	for i := range f.keepers {
		f.keepers[i].calm()
		f.rivals[i].calm()
	}
	for _, d := range f.doors {
		if d != nil {
			d.Heal()
		}
	}
	for _, g := range f.gateways {
		if g != nil {
			g.news.goOn()
		}
	}
	f.projector.log.whole()
}

func (f *inprocess) whole() {
	f.calm()
	for _, r := range f.rivals {
		r.stop()
	}
	f.start()
}

func (f *inprocess) of() *wallet { return f.w }

func (f *inprocess) serves() error {
	m := f.router.Current()
	for p := range m.Partitions {
		if s := m.ShardOf(p); s.State != shardrouter.StateServing || m.Partitions[p].Epoch == 0 {
			return fmt.Errorf("partition %d of shard %s, which is %s", p, s.ID, s.State)
		}
	}
	return nil
}

// reconcile is `walletd reconcile` and `walletd journal verify`.
func (f *inprocess) reconcile() error {
	ctx, cancel := context.WithTimeout(context.Background(), recoverLimit)
	defer cancel()
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: f.log}, func(*reconcile.Replayed) error { return nil })
	if err != nil {
		return err
	}
	report, err := reconcile.Run(ctx, reconcile.Config{Log: f.log, Assets: journal.DevAssets, Shards: walletd.ShardsOf(f.router, labPartitions), View: f.projector.view})
	if err == nil && !report.OK() {
		err = errors.New(report.Text())
	}
	return err
}

// faults implements stand. Nothing is touched before one of them begins, so that their names can be asked of an empty one.
func (f *inprocess) faults() map[fault]func() func() {
	all := map[fault]func() func(){}
	for i := range labRedis {
		maps.Copy(all, f.redis[i].all(numbered("redis", i)))
		maps.Copy(all, wireFaults(numbered("gateway↔redis", i), aScript, func() []*faultproxy.Proxy { return f.trains[i : i+1] }))
	}
	for i := range labShards {
		maps.Copy(all, wireFaults(numbered("keeper↔redis", i), nil, func() []*faultproxy.Proxy { return f.keepers[i].ways }))
		target := numbered("keeper", i)
		all[fault{kindKill, target}] = func() func() { f.keepers[i].stop(); return f.keepers[i].start }
		all[fault{kindRival, target}] = func() func() { f.rivals[i].start(); return f.rivals[i].stop }
		all[fault{kindZombie, target}] = func() func() { return f.zombie(i) }
		all[fault{kindDeposed, target}] = func() func() { return f.deposed(i) }
		all[fault{kindAppend, target}] = func() func() { return f.keepers[i].log.lose() }
		all[fault{kindRefusal, target}] = func() func() { return f.keepers[i].log.deny() }
		all[fault{kindStall, target}] = func() func() { return f.keepers[i].log.freeze() }
	}
	for i := range labGateways {
		maps.Copy(all, wireFaults(numbered(clientWire, i), nil, func() []*faultproxy.Proxy { return f.doors[i : i+1] }))
		all[fault{kindKill, numbered("gateway", i)}] = func() func() { f.gateways[i].stop(); return f.gateways[i].start }
		all[fault{kindNews, numbered("gateway", i)}] = func() func() { return f.gateways[i].news.stop() }
	}
	maps.Copy(all, f.moves.faults(labPartitions))
	for i := range labShards {
		all[fault{kindDrain, numbered("shard", i)}] = func() func() { return f.moves.drain(shardID(i)) }
	}
	if f.broker != nil {
		maps.Copy(all, wireFaults(kafkaWire, nil, func() []*faultproxy.Proxy { return []*faultproxy.Proxy{f.broker.wire} }))
		all[fault{kindFreeze, kafkaName}], all[fault{kindKill, kafkaName}] = f.broker.freeze, f.broker.kill
	}
	all[fault{kindKill, "projector"}] = func() func() { f.projector.stop(); return f.projector.start }
	all[fault{kindStall, "projector"}] = func() func() { return f.projector.log.freeze() }
	return all
}

// zombie freezes a keeper, all its ways, lets another take over, and the frozen one go on: it knows nothing.
func (f *inprocess) zombie(i int) (heal func()) {
	for _, way := range f.keepers[i].ways {
		way.BlackHole(true)
	}
	f.keepers[i].log.freeze()
	f.rivals[i].start()
	return func() {
		f.keepers[i].calm()
		f.rivals[i].stop()
	}
}

// part is something that runs in the background and can be ended like a process.
type part struct {
	mu     sync.Mutex
	cancel context.CancelFunc // nil while it does not run
	ended  sync.WaitGroup
}

// run starts the functions, unless it runs; each ends when its context does.
func (p *part) run(begin func(ctx context.Context) []func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, fn := range begin(ctx) {
		p.ended.Go(fn)
	}
}

// halt ends them; before is called first, when there is something to end.
func (p *part) halt(before func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel == nil {
		return
	}
	p.cancel()
	before()
	p.ended.Wait()
	p.cancel = nil
}
