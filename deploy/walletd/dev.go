package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/shardrouter"
)

// devOptions are the flags of `walletd dev`.
type devOptions struct {
	data, http, admin, journal, readyFile string
	fresh                                 bool
	shards, partitions, replicas          int
	keyWindow, reconcileEvery             time.Duration
	events                                bool
}

func (a *app) devCmd() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "run everything on this machine: shards, journal, gateway, keepers, projector", Args: args(0, 0),
		Long: `dev runs a whole wallet on this machine: real redis-server shards as children, a file journal with group fsync,
keepers, gateway and projector in one process. Ctrl-C stops all of it; started again on the same --data, every
balance is there, rebuilt from the journal.`,
		Example: "  walletd dev\n  walletd dev --data /tmp/w --http 127.0.0.1:9080 --admin 127.0.0.1:9081",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.dev(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", filepath.Join(dataHome(), "dev"), "data directory")
	f.BoolVar(&o.fresh, "fresh", false, "begin with an empty wallet: deletes what is in the data directory")
	f.IntVar(&o.shards, "shards", 0, "Redis shards (2, or as in the data directory)")
	f.IntVar(&o.partitions, "partitions", 0, "partitions, fixed when the data directory is made (8, or as there)")
	f.IntVar(&o.replicas, "replicas", 0, "replicas of each shard: real ones, which take over when their primary is gone for good")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "address of REST and WebSocket; port 0: any free")
	f.StringVar(&o.admin, "admin", "127.0.0.1:8081", "address of the operators' listener; port 0: any free")
	f.StringVar(&o.journal, "journal", "", "file or kafka (file, or as in the data directory)")
	f.DurationVar(&o.keyWindow, "key-window", keyWindowDefault, "how long shards remember keys; older ones are answered from the projection")
	f.BoolVar(&o.events, "events", false, "publish the public events in the topic wallet.events (with --journal kafka)")
	f.DurationVar(&o.reconcileEvery, "reconcile-every", reconcileEveryDefault, "compare every account in the shards with the journal's fold once in this time; 0: never")
	f.StringVar(&o.readyFile, "ready-file", "", "write addresses and pids here, as JSON, when everything answers")
	f.DurationVar(&a.journalDelay, "journal-delay", 0, "for measurements: wait so long before every append to the journal becomes durable")
	return cmd
}

func (o *devOptions) check() error {
	switch {
	case o.partitions < 0 || o.partitions > shardrouter.PartitionsMax:
		return exit(exitUsage, "--partitions %d: 1 to %d are possible", o.partitions, shardrouter.PartitionsMax)
	case o.shards < 0 || o.shards > 64:
		return exit(exitUsage, "--shards %d: 1 to 64 are possible", o.shards)
	case o.replicas < 0 || o.replicas > 4:
		return exit(exitUsage, "--replicas %d: 0 to 4 are possible", o.replicas)
	case o.partitions > 0 && o.shards > o.partitions:
		return exit(exitUsage, "--shards %d: more than the %d partitions", o.shards, o.partitions)
	case o.keyWindow < keyWindowMin:
		return exit(exitUsage, "--key-window %v: %v at least", o.keyWindow, keyWindowMin)
	case o.reconcileEvery < 0:
		return exit(exitUsage, "--reconcile-every %v: 0 (never) at least", o.reconcileEvery)
	case o.journal != "" && o.journal != "file" && o.journal != "kafka":
		return exit(exitUsage, "--journal %s: file or kafka", o.journal)
	}
	return nil
}

// dev is the narrative: open the directory, take the addresses, start the shards, open the journal, put the parts
// together, wait, and stop in reverse.
func (a *app) dev(ctx context.Context, o devOptions) (err error) {
	if err := errors.Join(o.check(), a.checkDelay()); err != nil {
		return err
	}
	if a.token == "" && !(loopback(o.http) && loopback(o.admin)) {
		return exit(exitUsage, "without a token everyone who reaches %s could move money: stay on 127.0.0.1, or set WALLETD_TOKEN", o.http)
	}
	// The addresses come before everything that costs time: a port in use is the commonest mistake.
	public, admin, err := listen(o.http, o.admin)
	if err != nil {
		return err
	}
	defer public.Close()
	defer admin.Close()
	if o.fresh {
		if err := fresh(o.data); err != nil {
			return err
		}
	}
	dir, err := openDataDir(o.data, dirMeta{Partitions: o.partitions, Journal: o.journal}, o.shards)
	if err != nil {
		return err
	}
	if o.events && dir.Journal != "kafka" {
		return exit(exitUsage, "--events: the journal of %s is in files, and there is no Kafka to publish in; `walletd events cat --data %s --follow` reads its events, and a new --data with --journal kafka publishes them", o.data, o.data)
	}
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: logLevel()}))
	// The journal is opened before the shards: it holds the lock of the directory.
	log, closeLog, err := a.devJournal(ctx, dir, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()

	redis, err := startShards(ctx, dir, o.replicas)
	defer func() {
		for _, s := range everyServer(redis) {
			s.Stop()
		}
	}()
	if err != nil {
		return err
	}
	router, err := devRouter(ctx, dir, redis)
	if err != nil {
		return err
	}
	n := &node{
		cfg:    nodeConfig{partitions: dir.Partitions, assets: dir.Assets, id: "dev", keeps: dir.Shards, wallet: dir.Wallet, projection: dir.projectionDir(), snapshots: devSnapshots(dir.path), keyWindow: o.keyWindow, reconcileEvery: o.reconcileEvery, dev: true, token: a.token, whole: true},
		log:    log,
		source: router, store: router, moves: router, election: router,
		logger: logger, public: public, admin: admin,
	}
	if o.events {
		n.cfg.events = eventsTopic{brokers: []string{a.broker.Addr}, name: eventsTopicName, replicas: 1}
	}
	group, inner := errgroup.WithContext(ctx)
	for _, s := range everyServer(redis) {
		group.Go(func() error { return supervise(inner, s, restartAfter(o.replicas), logger) })
	}
	if files, ok := log.(*filelog.Log); ok {
		group.Go(func() error { return untilStopped(inner, files) })
	}
	group.Go(func() error {
		return n.run(inner, allRoles, func(ctx context.Context) error { return a.devReady(ctx, n, dir, redis, o) })
	})
	return group.Wait()
}

// logLevel is WALLETD_LOG: debug, info, warn (default) or error.
func logLevel() slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(envOr("WALLETD_LOG", "warn"))) != nil {
		return slog.LevelWarn
	}
	return level
}

func listen(http, admin string) (net.Listener, net.Listener, error) {
	public, err := net.Listen("tcp", http)
	if err != nil {
		return nil, nil, exit(exitFailed, "cannot listen on %s: %w; stop what uses it, or choose another address with --http 127.0.0.1:0", http, err)
	}
	operators, err := net.Listen("tcp", admin)
	if err != nil {
		public.Close()
		return nil, nil, exit(exitFailed, "cannot listen on %s: %w; stop what uses it, or choose another address with --admin 127.0.0.1:0", admin, err)
	}
	return public, operators, nil
}

// devJournal opens the journal of the data directory: files, or a Kafka of its own.
func (a *app) devJournal(ctx context.Context, dir *dataDir, logger *slog.Logger) (journal.Log, func() error, error) {
	if dir.Journal == "kafka" {
		return a.devKafka(ctx, dir)
	}
	log, err := filelog.Open(filelog.Config{Dir: dir.journalDir(), Partitions: dir.Partitions, Logger: logger, FS: a.journalDisk()})
	if err != nil {
		return nil, nil, exit(exitFailed, "%w%s", err, journalHint(err))
	}
	return log, log.Close, nil
}

// untilStopped ends the process when the disk has failed a write or an fdatasync of the journal. Nobody knows then what is on
// the disk, asking it again proves nothing, and the next start reads it.
func untilStopped(ctx context.Context, log *filelog.Log) error {
	select {
	case <-ctx.Done():
		return nil
	case <-log.Stopped():
		return exit(exitFailed, "journal: %w; nothing that was acknowledged is lost: see to the disk and start walletd again, it finds out what became of the rest", log.Failure())
	}
}

// journalHint is what to do about a journal that does not open.
func journalHint(err error) string {
	switch {
	case errors.Is(err, filelog.ErrLocked):
		return "; stop that process, or use another --data"
	case errors.Is(err, journal.ErrDamaged):
		return "; nothing was changed: restore the data directory from a backup (`walletd journal verify --data DIR` looks at it)"
	}
	return ""
}

// startShards starts every shard's primary and replicas, in that order; what it has started when it fails is answered, too.
func startShards(ctx context.Context, dir *dataDir, replicas int) (map[string][]*local.Server, error) {
	redis := map[string][]*local.Server{}
	for _, id := range dir.Shards {
		s, err := local.StartRedis(ctx, local.RedisConfig{Dir: dir.redisDir(id)})
		if err == nil {
			redis[id] = append(redis[id], s)
			var more []*local.Server
			more, err = startReplicas(ctx, dir.redisDir(id), replicas)
			redis[id] = append(redis[id], more...)
		}
		if err != nil {
			return redis, exit(exitFailed, "shard %s: %w", id, err)
		}
	}
	return redis, nil
}

// startReplicas starts Redis servers that a keeper will make replicas.
func startReplicas(ctx context.Context, dir string, n int) (started []*local.Server, err error) {
	for i := range n {
		s, err := local.StartRedis(ctx, local.RedisConfig{Dir: fmt.Sprintf("%s-replica%d", dir, i+1)})
		if err != nil {
			return started, fmt.Errorf("replica %d: %w", i+1, err)
		}
		started = append(started, s)
	}
	return started, nil
}

func addrsOf(servers []*local.Server) (addrs []string) {
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

func everyServer(redis map[string][]*local.Server) (all []*local.Server) {
	for _, servers := range redis {
		all = append(all, servers...)
	}
	return all
}

// restartAfter is how long a Redis that ended stays away: where it has a replica, that one is to take over.
func restartAfter(replicas int) time.Duration {
	if replicas == 0 {
		return 0
	}
	return 10 * time.Second
}

// supervise starts a Redis again when it has ended for a while, on the same port and empty: its keeper rebuilds it from the
// journal, or makes it a replica.
func supervise(ctx context.Context, s *local.Server, after time.Duration, logger *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Exited():
		}
		logger.Warn("a shard's redis-server has ended; starting it again", "addr", s.Addr, "in", after)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(after):
		}
		for s.Restart(ctx) != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
}

// devRouter is the map of a wallet in one process, kept in the data directory; the shards have new ports at every start.
func devRouter(ctx context.Context, dir *dataDir, redis map[string][]*local.Server) (*shardrouter.Static, error) {
	shards := make([]shardrouter.Shard, len(dir.Shards))
	for i, id := range dir.Shards {
		shards[i] = shardrouter.Shard{ID: id, Primary: redis[id][0].Addr, Replicas: addrsOf(redis[id][1:])}
	}
	initial, err := shardrouter.NewMap(dir.Partitions, shards...)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	saved, err := os.ReadFile(dir.mapFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("map: %w", err)
	}
	router, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: initial, Saved: saved, Persist: func(b []byte) error { return writeFile(dir.mapFile(), b) }})
	if err != nil {
		return nil, exit(exitFailed, "data directory %s: map.json cannot be used: %w; remove the file, epochs go on from the journal", dir.path, err)
	}
	err = router.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		for id, servers := range redis {
			s := m.Shards[id]
			s.ID, s.Primary, s.Replicas, s.State = id, servers[0].Addr, addrsOf(servers[1:]), shardrouter.StateNew
			m = m.WithShard(s)
		}
		return m, nil
	})
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	return router, nil
}

// readyInfo is the ready file (surface, "CLI").
type readyInfo struct {
	HTTP  string        `json:"http"`
	WS    string        `json:"ws"`
	Admin string        `json:"admin"`
	PID   int           `json:"pid"`
	Redis []readyServer `json:"redis"`
	Kafka []readyServer `json:"kafka,omitempty"`

	ZooKeeper []readyServer `json:"zookeeper,omitempty"`
	Postgres  []readyServer `json:"postgres,omitempty"` // of a rival

	Data string `json:"data"`
}

type readyServer struct {
	Shard string `json:"shard,omitempty"`
	Addr  string `json:"addr"`
	PID   int    `json:"pid"`

	Replica bool `json:"replica,omitempty"` // it was started as one; who is primary now, /admin/v1/shards tells
}

// devReady runs when everything answers: demo money in an empty wallet, the ready file, and what a newcomer needs to know.
func (a *app) devReady(ctx context.Context, n *node, dir *dataDir, redis map[string][]*local.Server, o devOptions) error {
	url := "http://" + n.public.Addr().String()
	if n.empty {
		if err := demo(ctx, url, a.token); err != nil {
			return err
		}
	}
	info := readyInfo{HTTP: url, WS: "ws://" + n.public.Addr().String() + "/v1/ws", Admin: "http://" + n.admin.Addr().String(), Data: dir.path}
	for _, id := range dir.Shards {
		for i, s := range redis[id] {
			info.Redis = append(info.Redis, readyServer{Shard: id, Addr: s.Addr, PID: s.PID, Replica: i > 0})
		}
	}
	if a.broker != nil {
		info.Kafka = append(info.Kafka, readyServer{Addr: a.broker.Addr, PID: a.broker.PID})
	}
	if err := writeReady(o.readyFile, &info); err != nil {
		return err
	}
	a.welcome(&info, n)
	a.statusLine(ctx, n) // until it is stopped
	return nil
}

// writeReady writes the ready file where one was asked for.
func writeReady(path string, info *readyInfo) error {
	if path == "" {
		return nil
	}
	info.PID = os.Getpid()
	b, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	if err := writeFile(path, append(b, '\n')); err != nil {
		return exit(exitFailed, "ready file: %w", err)
	}
	return nil
}
