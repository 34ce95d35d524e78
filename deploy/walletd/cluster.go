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

// clusterUpCmd runs a whole cluster on this machine: what `make cluster` does.
func (a *app) clusterUpCmd() *cobra.Command {
	var data, http, admin, readyFile string
	var shards, partitions, replicas int
	cmd := &cobra.Command{
		Use: "up", Short: "start ZooKeeper, Kafka and Redis on loopback, and a process of every role against them", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.clusterUp(cmd.Context(), data, http, admin, readyFile, shards, partitions, replicas)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", filepath.Join(dataHome(), "cluster"), "data directory")
	f.StringVar(&http, "http", "127.0.0.1:8080", "address of REST and WebSocket; port 0: any free")
	f.StringVar(&admin, "admin", "127.0.0.1:8081", "address of the operators' listener; port 0: any free")
	f.StringVar(&readyFile, "ready-file", "", "write addresses and pid here, as JSON, when everything answers")
	f.IntVar(&shards, "shards", 2, "Redis shards")
	f.IntVar(&partitions, "partitions", 8, "partitions")
	f.IntVar(&replicas, "replicas", 0, "replicas of each shard")
	return cmd
}

func (a *app) clusterUp(ctx context.Context, data, http, admin, readyFile string, shards, partitions, replicas int) error {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return exit(exitFailed, "data directory: %w", err)
	}
	c := Config{Cluster: "local", Partitions: partitions, Topic: "wallet.journal", Replicas: 1, HTTP: http, Admin: admin, Data: data, Dev: true}
	// Other processes join by what stands in walletd.yaml, so the ports are chosen before it is written.
	if err := errors.Join(choosePort(&c.HTTP), choosePort(&c.Admin)); err != nil {
		return exit(exitFailed, "%w", err)
	}
	servers, err := a.startServers(ctx, data, shards, replicas, &c)
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
			for _, s := range servers {
				shard, replica := shardAt(&c, s.Addr)
				switch p := (readyServer{Shard: shard, Addr: s.Addr, PID: s.PID, Replica: replica}); s.Name {
				case "redis":
					info.Redis = append(info.Redis, p)
				case "kafka":
					info.Kafka = append(info.Kafka, p)
				}
			}
			return writeReady(readyFile, info)
		})
	})
	return group.Wait()
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
func (a *app) startServers(ctx context.Context, data string, shards, replicas int, c *Config) (servers []*local.Server, err error) {
	fmt.Fprintln(a.err, "starting ZooKeeper …")
	zk, err := local.StartZooKeeper(ctx, local.ZooKeeperConfig{Dir: filepath.Join(data, "zookeeper")})
	if err != nil {
		return servers, err
	}
	servers, c.ZooKeeper = append(servers, zk), []string{zk.Addr}
	fmt.Fprintln(a.err, "starting Kafka …")
	kafka, err := startKafka(ctx, filepath.Join(data, "kafka"))
	if err != nil {
		return servers, err
	}
	servers, c.Kafka = append(servers, kafka), []string{kafka.Addr}
	for i := range shards {
		id := fmt.Sprintf("s%d", i+1)
		s, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(data, "redis", id)})
		if err != nil {
			return servers, fmt.Errorf("shard %s: %w", id, err)
		}
		servers = append(servers, s)
		more, err := startReplicas(ctx, filepath.Join(data, "redis", id), replicas)
		servers = append(servers, more...)
		if err != nil {
			return servers, fmt.Errorf("shard %s: %w", id, err)
		}
		c.Shards = append(c.Shards, ShardConfig{ID: id, Addr: s.Addr, Replicas: addrsOf(more)})
	}
	return servers, nil
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
	fmt.Fprintf(&b, "cluster: %s\npartitions: %d\ntopic: %s\nreplicas: %d\ndev: true\nzookeeper: [%q]\nkafka: [%q]\nprojector_url: %q\nshards:\n",
		c.Cluster, c.Partitions, c.Topic, c.Replicas, c.ZooKeeper[0], c.Kafka[0], "http://"+c.HTTP)
	for _, s := range c.Shards {
		fmt.Fprintf(&b, "  - {id: %s, addr: %q, replicas: [%s]}\n", s.ID, s.Addr, quoted(s.Replicas))
	}
	return []byte(b.String())
}
