package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"walletd/shardrouter"
)

// moveLook is how often a move is looked at.
const moveLook = 50 * time.Millisecond

// mapLooks is how often the map is asked for the end of a move that is not under way any more.
const mapLooks = 60

func (a *app) partitionCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "partition", Short: "where partitions are, and moving them between shards"}
	cmd.AddCommand(a.partitionListCmd(), a.partitionShowCmd(), a.partitionMoveCmd())
	return cmd
}

func (a *app) shardCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "shard", Short: "which shards there are, and emptying one"}
	cmd.AddCommand(a.shardListCmd(), a.shardDrainCmd())
	return cmd
}

// operators adds the flag that names the operators' listener.
func operators(cmd *cobra.Command, admin *string) *cobra.Command {
	cmd.Flags().StringVar(admin, "admin", "", "the operators' listener of a running wallet (default: the server's, found by asking it)")
	return cmd
}

func (a *app) printPartitions(list []partitionView) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PARTITION\tSHARD\tEPOCH\tSTATE\tMOVE")
	for _, p := range list {
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\n", p.Partition, p.Shard, p.Epoch, p.State, p.Move)
	}
	return w.Flush()
}

// String is how far a move is, for people.
func (m *moveView) String() string {
	switch {
	case m == nil:
		return "-"
	case m.State == shardrouter.MoveFailed:
		return "to " + m.To + " failed: " + m.Reason
	}
	return fmt.Sprintf("to %s: %s, %d events there, %d behind", m.To, m.State, m.Copied, m.Lag)
}

func (a *app) partitionListCmd() *cobra.Command {
	var admin string
	return operators(&cobra.Command{
		Use: "ls", Short: "list the partitions: owner, epoch, and the move under way", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list partitionList
			if err := a.operate(cmd.Context(), admin, "GET", "/admin/v1/partitions", nil, &list); err != nil {
				return err
			}
			if a.output == "json" {
				return json.NewEncoder(a.out).Encode(list)
			}
			return a.printPartitions(list.Data)
		},
	}, &admin)
}

func (a *app) partitionShowCmd() *cobra.Command {
	var admin string
	return operators(&cobra.Command{
		Use: "show <partition>", Short: "show one partition", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			p, err := partitionNamed(given[0])
			if err != nil {
				return err
			}
			v, err := a.partition(cmd.Context(), admin, p)
			if err != nil {
				return err
			}
			return a.printPartition(v)
		},
	}, &admin)
}

func (a *app) printPartition(v partitionView) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(v)
	}
	return a.printPartitions([]partitionView{v})
}

func partitionNamed(text string) (int, error) {
	p, err := strconv.Atoi(text)
	if err != nil || p < 0 {
		return 0, exit(exitUsage, "partition %q: write its number (`walletd partition ls` lists them)", text)
	}
	return p, nil
}

func (a *app) partition(ctx context.Context, admin string, p int) (v partitionView, err error) {
	err = a.operate(ctx, admin, "GET", fmt.Sprintf("/admin/v1/partitions/%d", p), nil, &v)
	return v, err
}

func (a *app) partitionMoveCmd() *cobra.Command {
	var admin, to string
	var abort, noWait bool
	cmd := &cobra.Command{
		Use: "move <partition> --to <shard> | --abort", Short: "move a partition to another shard while both serve", Args: args(1, 1),
		Long: `move copies the partition to the other shard while it is served, stops it for a moment, compares, and lets the other shard
serve it. Requests wait meanwhile; those that wait too long are refused as partition_moving and may be repeated.
Ctrl-C ends the watching, not the move; --abort takes it back, at whatever step it is.`,
		RunE: func(cmd *cobra.Command, given []string) error {
			p, err := partitionNamed(given[0])
			switch {
			case err != nil:
				return err
			case abort == (to != ""):
				return exit(exitUsage, "partition move: name either --to SHARD or --abort")
			}
			path := fmt.Sprintf("/admin/v1/partitions/%d/move", p)
			var v partitionView
			if abort {
				if err := a.operate(cmd.Context(), admin, "DELETE", path, nil, &v); err != nil {
					return err
				}
				return a.printPartition(v)
			}
			if err := a.operate(cmd.Context(), admin, "POST", path, moveRequest{To: to}, &v); err != nil {
				return err
			}
			if !noWait {
				if v, err = a.awaitMove(cmd.Context(), admin, p, to); err != nil {
					return err
				}
			}
			return a.printPartition(v)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the shard that is to have it")
	cmd.Flags().BoolVar(&abort, "abort", false, "take the move back")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for its end")
	return operators(cmd, &admin)
}

// awaitMove watches a move to its end.
func (a *app) awaitMove(ctx context.Context, admin string, p int, to string) (v partitionView, err error) {
	if admin == "" {
		if admin, err = a.adminOf(ctx); err != nil {
			return v, err
		}
	}
	b := a.bar(fmt.Sprintf("partition %d", p))
	defer b.done()
	for without := 0; ; {
		if v, err = a.partition(ctx, admin, p); err != nil {
			return v, err
		}
		switch m := v.Move; {
		case v.Shard == to:
			return v, nil
		case m == nil && without < mapLooks: // it has ended; the map may be on its way to whom we ask
			without++
		case m == nil || m.To != to:
			return v, exit(exitFailed, "partition %d: the move to %s was taken back; it stays on %s", p, to, v.Shard)
		case m.State == shardrouter.MoveFailed:
			return v, exit(exitDifferent, "partition %d: the move to %s was given up, it stays on %s: %s", p, to, v.Shard, m.Reason)
		default:
			b.stage(fmt.Sprintf("partition %d %s", p, m.State), float64(m.Copied)/float64(max(1, m.Copied+m.Lag)))
		}
		select {
		case <-time.After(moveLook):
		case <-ctx.Done():
			return v, exit(exitFailed, "the move of partition %d goes on without us (`walletd partition show %d`; --abort takes it back)", p, p)
		}
	}
}

func (a *app) shardListCmd() *cobra.Command {
	var admin string
	return operators(&cobra.Command{
		Use: "ls", Short: "list the shards and their partitions", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.shards(cmd.Context(), admin)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return json.NewEncoder(a.out).Encode(list)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "SHARD\tSTATE\tEPOCH\tPRIMARY\tREPLICAS\tPARTITIONS")
			for _, s := range list.Data {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", s.ID, s.State, s.Epoch, s.Primary, strings.Join(s.Replicas, " "), strings.Trim(fmt.Sprint(s.Partitions), "[]"))
			}
			return w.Flush()
		},
	}, &admin)
}

func (a *app) shards(ctx context.Context, admin string) (list shardList, err error) {
	err = a.operate(ctx, admin, "GET", "/admin/v1/shards", nil, &list)
	return list, err
}

func (a *app) shardDrainCmd() *cobra.Command {
	var admin string
	return operators(&cobra.Command{
		Use: "drain <shard>", Short: "move all partitions of a shard to the others, one after the other", Args: args(1, 1),
		Long: `drain moves each partition of the shard to whichever serving shard has the fewest. Broken off, or run again, it goes on
where it was. The empty shard stays in the map and may get partitions again.`,
		RunE: func(cmd *cobra.Command, given []string) error {
			moved := []partitionView{}
			for {
				list, err := a.shards(cmd.Context(), admin)
				if err != nil {
					return err
				}
				p, to, err := nextToDrain(list.Data, given[0])
				if err != nil {
					return err
				}
				if to == "" {
					break
				}
				var v partitionView
				if err := a.operate(cmd.Context(), admin, "POST", fmt.Sprintf("/admin/v1/partitions/%d/move", p), moveRequest{To: to}, &v); err != nil {
					return err
				}
				if v, err = a.awaitMove(cmd.Context(), admin, p, to); err != nil {
					return err
				}
				fmt.Fprintf(a.err, "partition %d is on %s\n", p, to)
				moved = append(moved, v)
			}
			if a.output == "json" {
				return json.NewEncoder(a.out).Encode(partitionList{Object: "list", Data: moved})
			}
			fmt.Fprintf(a.out, "shard %s is empty: %d partitions moved\n", given[0], len(moved))
			return nil
		},
	}, &admin)
}

// nextToDrain is the next partition to move away from a shard, and where to; no shard: it is empty.
func nextToDrain(shards []shardView, from string) (p int, to string, err error) {
	at := slices.IndexFunc(shards, func(s shardView) bool { return s.ID == from })
	if at < 0 {
		return 0, "", exit(exitUsage, "there is no shard %s (`walletd shard ls` lists them)", from)
	}
	if len(shards[at].Partitions) == 0 {
		return 0, "", nil
	}
	fewest := -1
	for _, s := range shards {
		if s.ID != from && s.State == shardrouter.StateServing && (fewest < 0 || len(s.Partitions) < fewest) {
			to, fewest = s.ID, len(s.Partitions)
		}
	}
	if to == "" {
		return 0, "", exit(exitFailed, "no other shard serves: there is nowhere for the partitions of %s to go", from)
	}
	return shards[at].Partitions[0], to, nil
}
