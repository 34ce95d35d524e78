package walletd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/bench"
	"walletd/bench/chart"
	"walletd/bench/goals"
	"walletd/deploy/local"
)

func (a *app) benchGoalsCmd() *cobra.Command {
	c := goals.Config{Journal: "file"}
	var kafka bool
	var flags []string
	var svg string
	cmd := &cobra.Command{
		Use: "goals", Short: "hold a wallet of its own against what it was meant to cost, in multiples of the floor", Args: args(0, 0),
		Long: `goals starts a wallet of its own and a redis-server for the floor, and measures in rounds, the floor in each: transfers across
partitions and within them, one by one and many in a message; at 10, 25 and 50 % of the maximum; one at a time. What counts is
the median over the rounds of the ratio within each. Server CPU is that of all server processes together. A wallet that does
not conserve, replay and reconcile at the end makes the run void. Exit code 9 when it is void; a goal that is missed is said,
and is no error.`,
		Example: "  walletd bench goals\n  walletd bench goals --rounds 9 --duration 5s --kafka -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if kafka {
				c.Journal = "kafka"
			}
			return a.goals(cmd.Context(), c, kafka, flags, svg)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Rounds, "rounds", 5, "rounds, of which the median counts; another one warms up")
	f.DurationVar(&c.Duration, "duration", 2*time.Second, "of each load in a round")
	f.BoolVar(&kafka, "kafka", false, "a cluster with ZooKeeper and one Kafka broker instead of the file journal")
	f.IntVar(&c.Batch, "batch", 50, "transfers a message, where there are several")
	f.IntVar(&c.Wallet.Accounts, "accounts", 10_000, "accounts, of the floor too")
	f.IntVar(&c.Wallet.Connections, "connections", 4, "WebSocket connections")
	f.IntVar(&c.Wallet.InFlight, "in-flight", 256, "transfers under way on each connection, one by one")
	f.IntVar(&c.Floor.Bulks, "floor-bulks", 500, "bulks of the floor, of each kind, in a round")
	f.Uint64Var(&c.Wallet.Seed, "seed", 1, "same seed, same transfers")
	f.StringVar(&svg, "svg", "", "draw the report into this file")
	f.StringArrayVar(&flags, "wallet-flag", nil, "another flag for the wallet that is started, like --wallet-flag=--shards=4")
	return cmd
}

func (a *app) goals(ctx context.Context, c goals.Config, kafka bool, flags []string, svg string) error {
	c.Wallet.Token, c.Wallet.Distribution = a.token, bench.Uniform
	c.Floor.Accounts, c.Floor.Bulk, c.Floor.Rounds, c.Floor.Seed = c.Wallet.Accounts, 128, 1, c.Wallet.Seed
	check := c
	check.Wallet.URL, check.Wallet.Admin = "http://own", "http://own"
	if err := check.Validate(); err != nil {
		return exit(exitUsage, "%w", err)
	}
	var report goals.Report
	err := a.withOwnWallet(ctx, ownWallet{cluster: kafka, flags: flags}, func(ctx context.Context, dir, ready string) error {
		if err := c.Wallet.ReadReadyFile(ready); err != nil {
			return err
		}
		redis, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(dir, "floor")})
		if err != nil {
			return exit(exitFailed, "the floor's Redis: %w", err)
		}
		defer redis.Stop()
		c.Floor.Addr = redis.Addr
		bar := a.bar("bench")
		defer bar.done()
		c.Progress = bar.stage
		report, err = goals.Run(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	if err := drawInto(svg, func(w io.Writer) error { return chart.Goals(w, &report) }); err != nil {
		return err
	}
	return a.measured(&report, report.Void, report.Reason)
}

// drawInto draws into a file, if one is named.
func drawInto(path string, draw func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := draw(&b); err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return exit(exitFailed, "--svg: %w", err)
	}
	return nil
}

// ownWallet is how a wallet of a bench's own is started.
type ownWallet struct {
	cluster bool
	flags   []string
	prepare func(ctx context.Context, data string) error // before it starts; may be nil
}

// withOwnWallet starts a wallet in a temporary directory as another process, so that the client's CPU is not the wallet's, and
// stops it when fn has ended.
func (a *app) withOwnWallet(ctx context.Context, w ownWallet, fn func(ctx context.Context, dir, ready string) error) error {
	dir, err := os.MkdirTemp("", "walletd-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	command := []string{"dev"}
	if w.cluster {
		command = []string{"cluster", "up"}
	}
	ready := filepath.Join(dir, "ready.json")
	data := filepath.Join(dir, "data")
	if w.prepare != nil {
		if err := w.prepare(ctx, data); err != nil {
			return fmt.Errorf("prepare a wallet: %w", err)
		}
	}
	command = append(command, "--data", data, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready)
	group, inner := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(inner)
	group.Go(func() error { return a.child(inner, self, append(command, w.flags...)...) })
	group.Go(func() error {
		defer stop()
		if err := awaitFile(inner, ready); err != nil {
			return err
		}
		return fn(inner, dir, ready)
	})
	return group.Wait()
}
