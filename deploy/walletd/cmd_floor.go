package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"walletd/bench/floor"
	"walletd/deploy/local"
)

func (a *app) benchFloorCmd() *cobra.Command {
	var c floor.Config
	cmd := &cobra.Command{
		Use: "floor", Short: "the yardstick: what the bare Redis commands of a transfer cost, without any script", Args: args(0, 0),
		Long: `floor starts a redis-server of its own and touches the same keys and bytes as a transfer by bare commands in bulks, and
prints Redis's CPU-µs a transfer. What a wallet costs is said as a multiple of it, measured in the same hour.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Validate(); err != nil {
				return exit(exitUsage, "%w", err)
			}
			return a.floor(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Accounts, "accounts", 10_000, "accounts")
	f.IntVar(&c.Bulk, "bulk", 128, "transfers in a command")
	f.IntVar(&c.Bulks, "bulks", 2000, "bulks of each kind in a round")
	f.IntVar(&c.Rounds, "rounds", 5, "rounds, of which the median counts")
	f.Uint64Var(&c.Seed, "seed", 1, "same seed, same accounts")
	return cmd
}

// ownFloor measures on a Redis of its own.
func (a *app) ownFloor(ctx context.Context, c floor.Config, progress func(share float64)) (floor.Report, error) {
	dir, err := os.MkdirTemp("", "walletd-floor-")
	if err != nil {
		return floor.Report{}, fmt.Errorf("bench floor: %w", err)
	}
	defer os.RemoveAll(dir)
	redis, err := local.StartRedis(ctx, local.RedisConfig{Dir: dir})
	if err != nil {
		return floor.Report{}, exit(exitFailed, "%w", err)
	}
	defer redis.Stop()
	c.Addr = redis.Addr
	return floor.Run(ctx, c, progress)
}

func (a *app) floor(ctx context.Context, c floor.Config) error {
	bar := a.bar("bench")
	report, err := a.ownFloor(ctx, c, func(share float64) { bar.stage("floor", share) })
	bar.done()
	if err != nil {
		return err
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(report)
	}
	fmt.Fprintf(a.out, "Redis CPU-µs a transfer, bare commands in bulks of %d, %d accounts, median of %d rounds (range)\n", report.Bulk, report.Accounts, report.Rounds)
	fmt.Fprintf(a.out, "cross  %.2f  (%.2f–%.2f)\nsame   %.2f  (%.2f–%.2f)\n",
		report.Cross.Median, report.Cross.Min, report.Cross.Max, report.Same.Median, report.Same.Min, report.Same.Max)
	return nil
}
