package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"walletd/bench/rival/protocol"
	"walletd/deploy/local"
	"walletd/journal/filelog"
)

func (a *app) benchProtocolsCmd() *cobra.Command {
	var c protocol.Config
	cmd := &cobra.Command{
		Use: "protocols", Short: "2PC, Saga, TC/C with a record per leg and channels, on the same shards and log", Args: args(0, 0),
		Long: `protocols moves money between two Redis shards by four protocols, with everything else the same, and prints for each: throughput,
latency, how long accounts are locked, journaled bytes, money in flight, Redis's CPU. Once with all accounts alike, once with one
account in half of the transfers. What is measured is checked: a run whose money is not where its answers say is an error.`,
		Example: "  walletd bench rival protocols\n  walletd bench rival protocols --window 64 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Validate(); err != nil {
				return exit(exitUsage, "%w", err)
			}
			return a.protocols(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Rounds, "rounds", 5, "rounds, of which the median counts")
	f.DurationVar(&c.Duration, "duration", time.Second, "of each protocol and workload in a round")
	f.IntVar(&c.Accounts, "accounts", 5000, "accounts of each of the two shards")
	f.IntVar(&c.Window, "window", 512, "transfers unanswered at a time")
	f.Uint64Var(&c.Seed, "seed", 1, "same seed, same transfers")
	return cmd
}

func (a *app) protocols(ctx context.Context, c protocol.Config) (err error) {
	dir, err := os.MkdirTemp("", "walletd-protocols-")
	if err != nil {
		return fmt.Errorf("bench rival protocols: %w", err)
	}
	defer os.RemoveAll(dir)
	for i := range c.Redis {
		s, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(dir, fmt.Sprintf("redis%d", i))})
		if err != nil {
			return exit(exitFailed, "%w", err)
		}
		defer s.Stop()
		c.Redis[i] = s.Addr
	}
	log, err := filelog.Open(filelog.Config{Dir: filepath.Join(dir, "log"), Partitions: len(c.Redis), Logger: a.messages()})
	if err != nil {
		return fmt.Errorf("bench rival protocols: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c.Log = log
	bar := a.bar("bench")
	c.Progress = bar.stage
	report, err := protocol.Run(ctx, c)
	bar.done()
	if err != nil {
		return err
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(report)
	}
	fmt.Fprint(a.out, report.Table())
	return nil
}
