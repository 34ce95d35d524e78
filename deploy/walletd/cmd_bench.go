package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"walletd/bench"
	"walletd/bench/chart"
)

func (a *app) benchCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "measure a wallet"}
	cmd.AddCommand(a.benchTransferCmd(), a.benchGoalsCmd(), a.benchScaleCmd(), a.benchProjectCmd(), a.benchRESTCmd(), a.benchPushCmd(), a.benchNothingCmd(), a.benchFloorCmd(), a.benchRivalCmd())
	return cmd
}

func (a *app) benchTransferCmd() *cobra.Command {
	var c bench.Config
	var own bool
	var ready, admin, workload, distribution, svg string
	cmd := &cobra.Command{
		Use: "transfer", Short: "transfers under load: throughput, latency, CPU per transfer; then conservation and replay", Args: args(0, 0),
		Long: `transfer opens accounts, funds them, moves money between them and reports transfers a second, latencies from the intended
send time, and CPU-µs per transfer and process. Every run ends with an audit: money conserved, every acknowledged
transfer there once, replay = state; otherwise the run is void.`,
		Example: "  walletd bench transfer --ready-file ready.json --duration 20s --cross 0.5\n  walletd bench transfer --own -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Token = a.token
			c.Workload, c.Distribution = bench.Workload(workload), bench.Distribution(distribution)
			switch {
			case own:
				return a.benchOwn(cmd.Context(), c, svg)
			case ready != "":
				if err := c.ReadReadyFile(ready); err != nil {
					return exit(exitUsage, "--ready-file: %w", err)
				}
			default:
				c.URL, c.Admin = a.server, admin
			}
			return a.bench(cmd.Context(), c, svg)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&own, "own", false, "start a wallet of its own in a temporary directory, measure it, stop it")
	f.StringVar(&ready, "ready-file", "", "of `walletd dev`: addresses, and the pids whose CPU is counted")
	f.StringVar(&admin, "admin", "http://127.0.0.1:8081", "the operators' listener: the audit at the end needs it")
	f.IntVar(&c.Accounts, "accounts", 10_000, "accounts")
	f.StringVar(&workload, "workload", "transfers", "transfers, reservations, refusals, repeats, smallbank or reads")
	f.StringVar(&distribution, "distribution", "uniform", "uniform, zipf (0.99) or hot (one account in half of the transfers)")
	f.IntVar(&c.Batch, "batch", 0, "transfers in one message (0: each its own)")
	f.Float64Var(&c.Cross, "cross", 0.5, "share of transfers across partitions, 0 to 1")
	f.IntVar(&c.Connections, "connections", 4, "WebSocket connections")
	f.IntVar(&c.InFlight, "in-flight", 256, "messages under way on each connection")
	f.IntVar(&c.FrameMessages, "frame-messages", 0, "messages a frame at most (0: all that wait)")
	f.Float64Var(&c.Rate, "rate", 0, "operations a second, open loop (0: as fast as they are answered)")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "measured time")
	f.DurationVar(&c.WarmUp, "warm-up", 2*time.Second, "before it")
	f.BoolVar(&c.Profile, "profile", true, "ask walletd what its CPU is used for, by component")
	f.StringVar(&svg, "svg", "", "draw the report into this file")
	f.Uint64Var(&c.Seed, "seed", 1, "same seed, same transfers")
	return cmd
}

func (a *app) bench(ctx context.Context, c bench.Config, svg string) error {
	if err := c.Validate(); err != nil {
		return exit(exitUsage, "%w", err)
	}
	bar := a.bar("bench")
	c.Progress = func(stage string, share float64) { bar.stage(stage, share) }
	report, err := bench.Transfer(ctx, c)
	bar.done()
	if err != nil {
		return err
	}
	if err := drawInto(svg, func(w io.Writer) error { return chart.Transfer(w, &report) }); err != nil {
		return err
	}
	return a.measured(&report, report.Void, report.Reason)
}

// measured prints what a bench has measured, and fails when that is void.
func (a *app) measured(report interface{ Table() string }, void bool, reason string) error {
	if a.output == "json" {
		if err := json.NewEncoder(a.out).Encode(report); err != nil {
			return err
		}
	} else {
		fmt.Fprint(a.out, report.Table())
	}
	if void {
		return exit(exitDifferent, "what was measured is void: %s", reason)
	}
	return nil
}

// benchOwn measures a wallet that it starts.
func (a *app) benchOwn(ctx context.Context, c bench.Config, svg string) error {
	return a.withOwnWallet(ctx, ownWallet{}, func(ctx context.Context, _, ready string) error {
		if err := c.ReadReadyFile(ready); err != nil {
			return err
		}
		return a.bench(ctx, c, svg)
	})
}
