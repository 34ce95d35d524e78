package walletd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) drillCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "drill", Short: "lose something on purpose, and see how long it takes to come back whole"}
	cmd.AddCommand(a.shardLossCmd())
	return cmd
}

func (a *app) shardLossCmd() *cobra.Command {
	var admin, consent string
	cmd := &cobra.Command{
		Use: "shard-loss SHARD", Short: "empty a shard's Redis, and wait until it serves what it served before", Args: args(1, 1),
		Long: `shard-loss empties the shard's Redis (FLUSHALL) and measures how long its accounts are away: until the keeper has
noticed, has read snapshot and journal, has loaded the shard, and every partition answers. Then it compares every
partition's state with what it was before. No money is at stake: the journal has everything that anybody was told. But
while it lasts, the shard's accounts answer shard_unavailable; outside dev it has to be allowed by naming the cluster.
Exit code 9: a partition is not what it was.`,
		Example: "  walletd drill shard-loss s1\n  walletd drill shard-loss s1 --admin http://10.0.0.7:8081 --yes-i-mean-it main",
		RunE: func(cmd *cobra.Command, shards []string) error {
			var r drillReport
			if err := a.operate(cmd.Context(), admin, "POST", "/admin/v1/drills/shard-loss", drillOrder{Shard: shards[0], Wallet: consent}, &r); err != nil {
				return err
			}
			return a.showDrill(&r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&admin, "admin", "", "the operators' listener of the process that stands for the shard (default: the server's, found by asking it)")
	f.StringVar(&consent, "yes-i-mean-it", "", "outside dev: the name of the cluster whose shard is to be lost")
	return cmd
}

func (a *app) showDrill(r *drillReport) error {
	if a.output == "json" {
		if err := json.NewEncoder(a.out).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "shard %s was lost: detected after %.0f ms, folded %.0f ms, loaded %.0f ms, serving %.0f ms\n", r.Shard, r.DetectedMS, r.FoldedMS, r.LoadedMS, r.ServingMS)
		for i := range r.Partitions {
			p := &r.Partitions[i]
			from, state := "the first record", "as before"
			if p.Snapshot != "" {
				from = p.Snapshot
			}
			if !p.OK {
				state = p.Problem
			}
			fmt.Fprintf(a.out, "partition %d: %d accounts, seq %d, digest %.16s, from %s: %s\n", p.Partition, p.Accounts, p.SeqAfter, p.DigestAfter, from, state)
		}
	}
	if !r.OK {
		return exit(exitDifferent, "shard %s is not what it was; `walletd reconcile` names the first offending event", r.Shard)
	}
	return nil
}
