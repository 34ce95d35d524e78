package walletd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/bench"
	"walletd/bench/floor"
	"walletd/bench/rival"
)

// walletPartitions is how many the wallet has by default; the rival has one, and its transfers are drawn alike.
const walletPartitions = 8

// rivalBench is one comparison.
type rivalBench struct {
	kind   rivalKind
	serve  rivalServe
	load   bench.Config
	rounds int
	floor  bool
}

func (a *app) benchRivalCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rival", Short: "the wallet beside its alternatives, in the same run",
		Long: `rival starts a wallet and an alternative, each as processes of its own in a temporary directory, puts the same load on both
in turns, and prints what each costs. docs/rivals.md says what each promises.`,
	}
	for _, k := range rivalKinds {
		cmd.AddCommand(a.benchRivalOf(k))
	}
	cmd.AddCommand(a.benchProtocolsCmd(), a.rivalServeCmd())
	return cmd
}

func (a *app) benchRivalOf(k rivalKind) *cobra.Command {
	o := rivalBench{kind: k}
	var workload, distribution string
	cmd := &cobra.Command{
		Use: k.name, Short: k.short, Args: args(0, 0),
		Long:    k.short + ": promises " + k.promises + ".",
		Example: "  walletd bench rival " + k.name + "\n  walletd bench rival " + k.name + " --distribution hot --rounds 7 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.load.Workload, o.load.Distribution = bench.Workload(workload), bench.Distribution(distribution)
			if w := o.load.Workload; w != bench.Transfers && w != bench.Refusals && w != bench.Repeats && w != bench.Reads {
				return exit(exitUsage, "--workload %s: rivals know transfers, refusals, repeats and reads", w)
			}
			o.load.Token = a.token
			check := o.load
			check.URL, check.Partitions = "http://own", walletPartitions
			if err := check.Validate(); err != nil {
				return exit(exitUsage, "%w", err)
			}
			return a.benchRival(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median counts")
	f.DurationVar(&o.load.Duration, "duration", 3*time.Second, "measured time of each of the two in a round")
	f.IntVar(&o.load.Accounts, "accounts", 10_000, "accounts")
	f.StringVar(&workload, "workload", "transfers", "transfers, refusals, repeats or reads")
	f.StringVar(&distribution, "distribution", "uniform", "uniform, zipf (0.99) or hot (one account in half of the transfers)")
	f.Float64Var(&o.load.Cross, "cross", 0.5, "share of the wallet's transfers across partitions, 0 to 1; a rival has but one")
	f.IntVar(&o.load.Connections, "connections", 4, "WebSocket connections")
	f.IntVar(&o.load.InFlight, "in-flight", 256, "transfers under way on each connection")
	f.Float64Var(&o.load.Rate, "rate", 0, "transfers a second, open loop (0: as fast as they are answered)")
	f.Uint64Var(&o.load.Seed, "seed", 1, "same seed, same transfers")
	f.BoolVar(&o.floor, "floor", true, "measure the floor, too, before and after")
	o.serve.flags(f)
	return cmd
}

// benchRival starts both, measures, and stops both.
func (a *app) benchRival(ctx context.Context, o rivalBench) error {
	if o.rounds < 1 || o.rounds > rival.RoundsMax {
		return exit(exitUsage, "--rounds %d: 1 to %d are possible", o.rounds, rival.RoundsMax)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench rival: %w", err)
	}
	// Beside the wallet's directory, not in it: PostgreSQL does not run as root, and must get at its own.
	data, err := os.MkdirTemp("", "walletd-rival-")
	if err != nil {
		return fmt.Errorf("bench rival: %w", err)
	}
	defer os.RemoveAll(data)
	return a.withOwnWallet(ctx, ownWallet{}, func(ctx context.Context, dir, walletReady string) error {
		ready := filepath.Join(dir, "rival.json")
		group, inner := errgroup.WithContext(ctx)
		inner, stop := context.WithCancel(inner)
		group.Go(func() error { return a.child(inner, self, o.serve.command(o.kind.name, data, ready)...) })
		group.Go(func() error {
			defer stop()
			if err := awaitFile(inner, ready); err != nil {
				return err
			}
			c := rival.Comparison{Name: o.name(), Promises: o.kind.promises, Wallet: o.load, Rival: o.load, Rounds: o.rounds}
			if err := errors.Join(c.Wallet.ReadReadyFile(walletReady), c.Rival.ReadReadyFile(ready)); err != nil {
				return err
			}
			c.Wallet.Partitions, c.Rival.Partitions = walletPartitions, walletPartitions
			return a.compare(inner, c, o)
		})
		return group.Wait()
	})
}

func (o *rivalBench) name() string {
	if o.serve.statements {
		return o.kind.name + " with statements"
	}
	return o.kind.name
}

// command is how the rival is started as a process of its own.
func (o *rivalServe) command(kind, data, ready string) []string {
	words := []string{"bench", "rival", "serve", kind, "--data", data, "--ready-file", ready, "--server-connections", strconv.Itoa(o.connections)}
	if o.statements {
		words = append(words, "--statements")
	}
	for _, s := range o.settings {
		words = append(words, "--postgres-setting", s)
	}
	return words
}

// compare measures and prints.
func (a *app) compare(ctx context.Context, c rival.Comparison, o rivalBench) error {
	bar := a.bar("bench")
	c.Progress = bar.stage
	floors, err := a.floorOf(ctx, o, nil)
	var report rival.Compared
	if err == nil {
		report, err = rival.Compare(ctx, c)
	}
	if err == nil {
		floors, err = a.floorOf(ctx, o, floors)
	}
	bar.done()
	if err != nil {
		return err
	}
	for _, f := range floors {
		report.FloorUS += f / float64(len(floors))
	}
	return a.measured(&report, report.Void, report.Reason)
}

// floorOf adds a short measurement of the floor for the load's share of transfers across partitions.
func (a *app) floorOf(ctx context.Context, o rivalBench, floors []float64) ([]float64, error) {
	if !o.floor {
		return nil, nil
	}
	c := floor.Config{Accounts: o.load.Accounts, Bulk: 128, Bulks: 400, Rounds: 3, Seed: 1}
	r, err := a.ownFloor(ctx, c, func(float64) {})
	if err != nil {
		return nil, err
	}
	return append(floors, o.load.Cross*r.Cross.Median+(1-o.load.Cross)*r.Same.Median), nil
}
