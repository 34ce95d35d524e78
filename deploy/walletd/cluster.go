package walletd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/deploy/local"
	"walletd/shardrouter"
)

func (a *app) clusterCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "create a cluster, or run one on this machine"}
	cmd.AddCommand(a.clusterInitCmd(), a.clusterUpCmd())
	return cmd
}

func (a *app) clusterInitCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "init -c walletd.yaml", Short: "write a cluster's configuration, map and topic; again is fine, a mismatch is refused", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := loadConfig(path, nil)
			if err != nil {
				return exit(exitUsage, "%w", err)
			}
			if err := c.validate(roles{init: true}); err != nil {
				return exit(exitUsage, "%w", err)
			}
			if err := a.clusterInit(cmd.Context(), &c); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "cluster %s: %d partitions on %d shards, journal in topic %s\n", c.Cluster, c.Partitions, len(c.Shards), c.Topic)
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "walletd.yaml")
	return cmd
}

// clusterInit is idempotent: nodes and topic that are there as they should be stay as they are.
func (a *app) clusterInit(ctx context.Context, c *Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: logLevel()}))
	conn, err := dialZooKeeper(c, logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	shards := make([]shardrouter.Shard, len(c.Shards))
	for i, s := range c.Shards {
		shards[i] = shardrouter.Shard{ID: s.ID, Primary: s.Addr, Replicas: s.Replicas}
	}
	initial, err := shardrouter.NewMap(c.Partitions, shards...)
	if err != nil {
		return exit(exitUsage, "%w", err)
	}
	initial = initial.WithSpares(c.Spares...)
	assets := make([]shardrouter.Asset, len(c.Assets))
	for i, asset := range c.Assets {
		assets[i] = shardrouter.Asset{Code: asset.Code, Exponent: asset.Exponent}
	}
	cfg := shardrouter.Config{Partitions: c.Partitions, Hash: shardrouter.HashV1, Assets: assets}
	if err := shardrouter.Init(ctx, conn, c.Cluster, cfg, initial); err != nil {
		if errors.Is(err, shardrouter.ErrMismatch) {
			return exit(exitUsage, "%w", err)
		}
		return exit(exitFailed, "%w", err)
	}
	log, err := openKafka(ctx, *c, true)
	if err != nil {
		return err
	}
	return log.Close()
}

// upOptions are the flags of `walletd cluster up`.
type upOptions struct {
	data, http, admin, readyFile          string
	shards, partitions, replicas, brokers int
}

// clusterUpCmd runs a whole cluster on this machine: what `make cluster` does.
func (a *app) clusterUpCmd() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use: "up", Short: "start ZooKeeper, Kafka and Redis on loopback, and a process of every role against them", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.clusterUp(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", filepath.Join(dataHome(), "cluster"), "data directory")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "address of REST and WebSocket; port 0: any free")
	f.StringVar(&o.admin, "admin", "127.0.0.1:8081", "address of the operators' listener; port 0: any free")
	f.StringVar(&o.readyFile, "ready-file", "", "write addresses and pid here, as JSON, when everything answers")
	f.IntVar(&o.shards, "shards", 2, "Redis shards")
	f.IntVar(&o.partitions, "partitions", 8, "partitions")
	f.IntVar(&o.replicas, "replicas", 0, "replicas of each shard")
	f.IntVar(&o.brokers, "brokers", 1, "Kafka brokers: with three or more the journal has three copies, and --data must be empty")
	f.DurationVar(&a.journalDelay, "journal-delay", 0, "for measurements: wait so long before every append to the journal becomes durable")
	return cmd
}

// copies is how often the journal is kept.
func (o *upOptions) copies() int { return min(o.brokers, 3) }

func (a *app) clusterUp(ctx context.Context, o upOptions) error {
	if o.brokers != 1 && (o.brokers < 3 || o.brokers > 9) {
		return exit(exitUsage, "--brokers %d: 1 or 3 to 9 are possible", o.brokers)
	}
	if err := a.checkDelay(); err != nil {
		return err
	}
	data, replicas, readyFile := o.data, o.replicas, o.readyFile
	if err := os.MkdirAll(data, 0o755); err != nil {
		return exit(exitFailed, "data directory: %w", err)
	}
	c := Config{Cluster: "local", Partitions: o.partitions, Topic: "wallet.journal", Replicas: o.copies(), HTTP: o.http, Admin: o.admin, Data: data, Dev: true}
	// Other processes join by what stands in walletd.yaml, so the ports are chosen before it is written.
	if err := errors.Join(choosePort(&c.HTTP), choosePort(&c.Admin)); err != nil {
		return exit(exitFailed, "%w", err)
	}
	servers, err := a.startServers(ctx, &o, &c)
	defer func() {
		for i := len(servers) - 1; i >= 0; i-- {
			servers[i].Stop()
		}
	}()
	if err != nil {
		return exit(exitFailed, "%w", err)
	}
	c.complete()
	if err := a.clusterInit(ctx, &c); err != nil {
		return err
	}
	if err := a.shardsMoved(ctx, &c); err != nil {
		return err
	}
	path := filepath.Join(data, "walletd.yaml")
	if err := writeFile(path, clusterYAML(&c)); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "the cluster's configuration is %s: more processes can join with `walletd gateway -c %s --http 127.0.0.1:0 --admin 127.0.0.1:0`\n", path, path)
	group, inner := errgroup.WithContext(ctx)
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: logLevel()}))
	for _, s := range servers {
		group.Go(func() error { return supervise(inner, s, restartAfter(replicas), logger) })
	}
	group.Go(func() error {
		return a.role(inner, c, allRoles, func(info *readyInfo) error {
			info.name(servers, &c)
			return writeReady(readyFile, info)
		})
	})
	return group.Wait()
}

// name tells the servers that a cluster stands on.
func (info *readyInfo) name(servers []*local.Server, c *Config) {
	for _, s := range servers {
		shard, replica := shardAt(c, s.Addr)
		p := readyServer{Shard: shard, Addr: s.Addr, PID: s.PID, Replica: replica}
		switch kind, _, _ := strings.Cut(s.Name, "-"); kind { // of several brokers each has its number
		case "redis":
			info.Redis = append(info.Redis, p)
		case "kafka":
			info.Kafka = append(info.Kafka, p)
		case "zookeeper":
			info.ZooKeeper = append(info.ZooKeeper, p)
		}
	}
}

// shardAt is the id of the shard at an address, "" for another server, and whether a replica was started there.
func shardAt(c *Config, addr string) (id string, replica bool) {
	for _, s := range c.Shards {
		if slices.Contains(s.addrs(), addr) {
			return s.ID, addr != s.Addr
		}
	}
	return "", false
}

// choosePort puts a free port where the address has port 0.
func choosePort(addr *string) error {
	host, ok := strings.CutSuffix(*addr, ":0")
	if !ok {
		return nil
	}
	port, err := local.FreePort()
	if err != nil {
		return fmt.Errorf("choose a port: %w", err)
	}
	*addr = fmt.Sprintf("%s:%d", host, port)
	return nil
}

// shardsMoved tells the map of a cluster that was here before where its shards listen now: a Redis of ours has a new port,
// and nothing in it, at every start. Their keepers rebuild them from the journal.
func (a *app) shardsMoved(ctx context.Context, c *Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := dialZooKeeper(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer conn.Close()
	router, err := shardrouter.NewZooKeeper(conn, c.Cluster)
	if err != nil {
		return exit(exitUsage, "%w", err)
	}
	err = router.Publish(ctx, func(m *shardrouter.Map) (*shardrouter.Map, error) {
		for _, of := range c.Shards {
			if s, known := m.Shards[of.ID]; known && s.Primary != of.Addr {
				s.Primary, s.Replicas, s.State = of.Addr, of.Replicas, shardrouter.StateNew
				m = m.WithShard(s)
			}
		}
		return m, nil
	})
	if err != nil {
		return exit(exitFailed, "map: %w", err)
	}
	return nil
}

// startServers starts what a cluster stands on, saying what it waits for.
func (a *app) startServers(ctx context.Context, o *upOptions, c *Config) (servers []*local.Server, err error) {
	data := o.data
	fmt.Fprintln(a.err, "starting ZooKeeper …")
	zk, err := local.StartZooKeeper(ctx, local.ZooKeeperConfig{Dir: filepath.Join(data, "zookeeper")})
	if err != nil {
		return servers, err
	}
	servers, c.ZooKeeper = append(servers, zk), []string{zk.Addr}
	fmt.Fprintln(a.err, "starting Kafka …")
	brokers, err := startBrokers(ctx, filepath.Join(data, "kafka"), o.brokers)
	if err != nil {
		return servers, err
	}
	servers, c.Kafka = append(servers, brokers...), addrsOf(brokers)
	for i := range o.shards {
		id := fmt.Sprintf("s%d", i+1)
		s, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(data, "redis", id)})
		if err != nil {
			return servers, fmt.Errorf("shard %s: %w", id, err)
		}
		servers = append(servers, s)
		more, err := startReplicas(ctx, filepath.Join(data, "redis", id), o.replicas)
		servers = append(servers, more...)
		if err != nil {
			return servers, fmt.Errorf("shard %s: %w", id, err)
		}
		c.Shards = append(c.Shards, ShardConfig{ID: id, Addr: s.Addr, Replicas: addrsOf(more)})
	}
	return servers, nil
}

// startBrokers starts one broker, or a quorum.
func startBrokers(ctx context.Context, dir string, n int) ([]*local.Server, error) {
	if n > 1 {
		if _, err := os.Stat(dir); err == nil {
			return nil, fmt.Errorf("%s exists: a quorum of brokers is for one measurement, begin it in an empty --data", dir)
		}
		return local.StartKafkaQuorum(ctx, dir, n)
	}
	kafka, err := startKafka(ctx, dir)
	if err != nil {
		return nil, err
	}
	return []*local.Server{kafka}, nil
}

// quoted is a YAML list's inside.
func quoted(addrs []string) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = strconv.Quote(a)
	}
	return strings.Join(words, ", ")
}

// clusterYAML is the configuration with which other processes join this cluster.
func clusterYAML(c *Config) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: %s\npartitions: %d\ntopic: %s\nreplicas: %d\ndev: true\nzookeeper: [%q]\nkafka: [%s]\nprojector_url: %q\nshards:\n",
		c.Cluster, c.Partitions, c.Topic, c.Replicas, c.ZooKeeper[0], quoted(c.Kafka), "http://"+c.HTTP)
	for _, s := range c.Shards {
		fmt.Fprintf(&b, "  - {id: %s, addr: %q, replicas: [%s]}\n", s.ID, s.Addr, quoted(s.Replicas))
	}
	return []byte(b.String())
}
