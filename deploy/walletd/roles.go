package walletd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/shardrouter"
)

var allRoles = roles{gateway: true, keeper: true, projector: true}

var roleHelp = map[string]string{
	"gateway":   "serve REST and WebSocket of a cluster; stateless, as many as you like",
	"keeper":    "own shards: journal their events, deliver, rebuild; stands by for shards that others keep",
	"projector": "fold the journal into read models, and serve them to the gateways",
	"all":       "gateway, keeper and projector in one process",
}

func rolesOf(name string) roles {
	if name == "all" {
		return allRoles
	}
	return roles{gateway: name == "gateway", keeper: name == "keeper", projector: name == "projector"}
}

func (a *app) roleCmd(name string) *cobra.Command {
	var path, readyFile string
	cmd := &cobra.Command{
		Use: name + " -c walletd.yaml", Short: roleHelp[name], Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := loadConfig(path, cmd.Flags())
			if err != nil {
				return exit(exitUsage, "%w", err)
			}
			r := rolesOf(name)
			if err := c.validate(r); err != nil {
				return exit(exitUsage, "%w", err)
			}
			return a.role(cmd.Context(), c, r, func(info *readyInfo) error { return writeReady(readyFile, info) })
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "write addresses and pid here, as JSON, when the process serves")
	return cmd
}

// configFlags are the keys of walletd.yaml that are worth a flag.
func configFlags(cmd *cobra.Command, path *string) {
	f := cmd.Flags()
	f.StringVarP(path, "config", "c", "", "walletd.yaml")
	f.String("http", "", "address of REST and WebSocket")
	f.String("admin", "", "address of the operators' listener")
	f.String("reads-http", "", "projector: address at which gateways reach it")
	f.String("projector-url", "", "gateway: where the projector is")
	f.String("data", "", "projector: directory of the read models")
	f.String("id", "", "name of this process")
	f.StringSlice("keeps", nil, "keeper: shards to stand for (all)")
}

// role runs one process of a cluster; ready is told where it is when it serves.
func (a *app) role(ctx context.Context, c Config, r roles, ready func(*readyInfo) error) error {
	logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: logLevel()}))
	public, admin, err := roleListeners(&c, r)
	if err != nil {
		return err
	}
	defer public.Close()
	defer admin.Close()

	conn, err := dialZooKeeper(&c, logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	router, err := shardrouter.NewZooKeeper(conn, c.Cluster)
	if err != nil {
		return exit(exitUsage, "%w", err)
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return quiet(inner, router.Run(inner)) })
	group.Go(func() error {
		n, closeLog, err := a.clusterNode(inner, &c, conn, router, logger, r)
		if err != nil {
			return err
		}
		n.public, n.admin = public, admin
		if r.gateway {
			group.Go(func() error { return router.Register(inner, c.ID, []byte(public.Addr().String())) })
		}
		err = n.run(inner, r, func(context.Context) error { return a.roleReady(n, ready) })
		return errors.Join(err, closeLog())
	})
	return group.Wait()
}

// quiet drops the error with which a part says that it was told to stop.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// roleListeners takes the addresses of the roles: a gateway's is http; a projector without a gateway serves reads_http;
// a keeper alone has only the operators' listener.
func roleListeners(c *Config, r roles) (net.Listener, net.Listener, error) {
	switch {
	case r.gateway:
		return listen(c.HTTP, c.Admin)
	case r.projector:
		return listen(c.ReadsHTTP, c.Admin)
	}
	return listen("127.0.0.1:0", c.Admin)
}

func dialZooKeeper(c *Config, logger *slog.Logger) (*shardrouter.Conn, error) {
	user, password, _ := strings.Cut(c.ZooKeeperAuth, ":")
	conn, err := shardrouter.Dial(shardrouter.ConnConfig{Servers: c.ZooKeeper, User: user, Password: password, Dev: c.Dev, Log: logger})
	if err != nil {
		return nil, exit(exitUsage, "zookeeper: %w (set zookeeper_auth: user:password, or dev: true)", err)
	}
	return conn, nil
}

// clusterNode checks the configuration against the cluster's own and opens the journal.
func (a *app) clusterNode(ctx context.Context, c *Config, conn *shardrouter.Conn, router *shardrouter.ZooKeeper, logger *slog.Logger, r roles) (*node, func() error, error) {
	cluster, err := shardrouter.ReadConfig(ctx, conn, c.Cluster)
	if err != nil {
		return nil, nil, exit(exitFailed, "cluster %s: %w (has `walletd cluster init -c …` been run?)", c.Cluster, err)
	}
	if cluster.Partitions != c.Partitions {
		return nil, nil, exit(exitUsage, "%w", differentPartitions(c, cluster.Partitions))
	}
	if !c.Dev {
		if err := shardrouter.CheckACL(ctx, conn, c.Cluster); err != nil {
			return nil, nil, exit(exitFailed, "zookeeper: %w", err)
		}
	}
	var log journal.Log
	closeLog := func() error { return nil }
	if r.keeper || r.projector {
		kafka, err := openKafka(ctx, *c, false)
		if err != nil {
			return nil, nil, err
		}
		log, closeLog = a.delayed(kafka), kafka.Close
	}
	return &node{
		cfg: nodeConfig{partitions: c.Partitions, assets: assetsOf(cluster.Assets), id: c.ID, keeps: c.Keeps, candidates: c.candidates(), spares: c.Spares, wallet: c.Cluster,
			projection: filepath.Join(c.Data, "projection"), snapshots: c.Snapshots, events: c.eventsTopic(), webhooks: c.Webhooks, webhooksDir: c.webhooksDir(), keyWindow: c.KeyWindow, reconcileEvery: c.ReconcileEvery, dev: c.Dev, token: c.Token, origins: c.Origins, projectorURL: c.ProjectorURL},
		log: log, source: router, store: router, moves: router, election: router, logger: logger,
	}, closeLog, nil
}

// assetsOf keeps the cluster's order: it numbers the assets.
func assetsOf(list []shardrouter.Asset) journal.Assets {
	assets := make(journal.Assets, len(list))
	for i, a := range list {
		assets[i] = journal.AssetInfo{Code: a.Code, Exponent: a.Exponent}
	}
	return assets
}

func (a *app) roleReady(n *node, ready func(*readyInfo) error) error {
	fmt.Fprintf(a.err, "walletd is ready: http %s, operators %s\n", n.public.Addr(), n.admin.Addr())
	return ready(&readyInfo{HTTP: "http://" + n.public.Addr().String(), WS: "ws://" + n.public.Addr().String() + "/v1/ws", Admin: "http://" + n.admin.Addr().String(), Data: n.cfg.projection})
}

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// awaitMap waits until the router has seen a map.
func awaitMap(ctx context.Context, router shardrouter.Source) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for router.Current() == nil {
		select {
		case <-ctx.Done():
			return exit(exitRetry, "no map came from ZooKeeper: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
