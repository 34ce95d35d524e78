package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/projector/reconcile"
	"walletd/shardrouter"
)

// openedJournal is a journal that a command reads.
type openedJournal struct {
	log        journal.Log
	assets     journal.Assets
	wallet     string
	projection string           // directory, "" where there is none on this disk
	shards     reconcile.Shards // of a running cluster; nil otherwise
	tail       *filelog.Tail    // of files
	snapshots  SnapshotsConfig
	close      func()
}

// openJournal opens the journal of a data directory, also while its wallet runs, or of a cluster.
func (a *app) openJournal(ctx context.Context, data, path string) (*openedJournal, error) {
	switch {
	case data != "" && path != "":
		return nil, exit(exitUsage, "name either --data or -c, not both")
	case path != "":
		return a.openClusterJournal(ctx, path)
	case data == "":
		return nil, exit(exitUsage, "name the journal: --data DIR, or -c walletd.yaml")
	}
	dir, err := readDataDir(data)
	if err != nil {
		return nil, err
	}
	if dir.Journal != "file" {
		return nil, exit(exitUsage, "the journal of %s is in Kafka; start it with `walletd dev --data %s`, and read it there", data, data)
	}
	r, err := filelog.OpenReadOnly(dir.journalDir())
	if err != nil {
		return nil, exit(exitDifferent, "%w", err)
	}
	tail := r.Tail()
	return &openedJournal{log: r, assets: dir.Assets, wallet: dir.Wallet, projection: dir.projectionDir(), tail: &tail, snapshots: devSnapshots(data), close: func() { _ = r.Close() }}, nil
}

func (a *app) openClusterJournal(ctx context.Context, path string) (*openedJournal, error) {
	c, _, err := loadConfig(path, nil)
	if err != nil {
		return nil, exit(exitUsage, "%w", err)
	}
	if err := c.validate(roles{projector: true}); err != nil {
		return nil, exit(exitUsage, "%w", err)
	}
	conn, err := dialZooKeeper(&c, quietLogger())
	if err != nil {
		return nil, err
	}
	router, err := shardrouter.NewZooKeeper(conn, c.Cluster)
	if err != nil {
		conn.Close()
		return nil, exit(exitUsage, "%w", err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = router.Run(running) }() // its error is ctx's: it ends with us
	closeAll := func() { stop(); <-done; conn.Close() }
	n, closeLog, err := a.clusterNode(ctx, &c, conn, router, quietLogger(), roles{projector: true})
	if err == nil {
		err = awaitMap(ctx, router)
	}
	if err != nil {
		closeAll()
		return nil, err
	}
	return &openedJournal{log: n.log, assets: n.cfg.assets, wallet: c.Cluster, shards: liveShards{n}, snapshots: c.Snapshots, close: func() { _ = closeLog(); closeAll() }}, nil
}

func (a *app) journalCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "journal", Short: "read the journal: the truth about what happened"}
	cmd.AddCommand(a.journalCatCmd(), a.journalVerifyCmd(), a.journalReplayCmd(), a.journalExportCmd())
	return cmd
}

// journalFlags name the journal to read.
func journalFlags(cmd *cobra.Command, data, path *string, partitions *[]int) {
	f := cmd.Flags()
	f.StringVar(data, "data", "", "data directory of a dev wallet, stopped or running")
	f.StringVarP(path, "config", "c", "", "walletd.yaml of a cluster")
	f.IntSliceVar(partitions, "partition", nil, "only these partitions")
}

func (a *app) journalCatCmd() *cobra.Command {
	var data, path string
	var partitions []int
	var follow bool
	var x exportFlags // its times
	cmd := &cobra.Command{
		Use: "cat", Short: "print every event, partition by partition, in order", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fromMS, toMS, err := x.times()
			if err != nil {
				return err
			}
			j, err := a.openJournal(cmd.Context(), data, path)
			if err != nil {
				return err
			}
			defer j.close()
			_, err = reconcile.Replay(cmd.Context(), reconcile.ReplayConfig{Log: j.log, Partitions: partitions, Fold: true, Follow: follow}, func(r *reconcile.Replayed) error {
				if (fromMS != 0 || toMS != 0) && (r.Event == nil || r.Event.TimeMS < fromMS || (toMS != 0 && r.Event.TimeMS >= toMS)) {
					return nil
				}
				d := r.Describe(j.assets)
				if a.output == "json" {
					return json.NewEncoder(a.out).Encode(d)
				}
				_, err := fmt.Fprintln(a.out, d.String())
				return err
			})
			if follow && errors.Is(err, context.Canceled) {
				return nil
			}
			return damaged(err)
		},
	}
	journalFlags(cmd, &data, &path, &partitions)
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what is appended, until Ctrl-C")
	cmd.Flags().StringVar(&x.fromTime, "from-time", "", "only events not before this time: 2026-11-20T00:00:00Z, or a date")
	cmd.Flags().StringVar(&x.toTime, "to-time", "", "only events before this time")
	return cmd
}

// damaged gives damage its exit code.
func damaged(err error) error {
	if errors.Is(err, journal.ErrDamaged) {
		return exit(exitDifferent, "%w", err)
	}
	return err
}

func (a *app) journalVerifyCmd() *cobra.Command {
	return a.journalReadCmd("verify", "check every frame: hashes, chain, seqs, epochs; exit 9 and the place when something is wrong", false)
}

func (a *app) journalReplayCmd() *cobra.Command {
	return a.journalReadCmd("replay", "fold every event from the first one on, and print where each partition ends, with its state's digest", true)
}

func (a *app) journalReadCmd(name, short string, fold bool) *cobra.Command {
	var data, path string
	var partitions []int
	var fromSnapshot bool
	cmd := &cobra.Command{
		Use: name, Short: short, Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fromSnapshot {
				return a.replayFromSnapshots(cmd.Context(), place{data: data, path: path}, partitions)
			}
			j, err := a.openJournal(cmd.Context(), data, path)
			if err != nil {
				return err
			}
			defer j.close()
			b := a.bar(name)
			parts, err := reconcile.Replay(cmd.Context(), reconcile.ReplayConfig{Log: j.log, Partitions: partitions, Fold: fold, Progress: b.set}, func(*reconcile.Replayed) error { return nil })
			b.done()
			if err != nil {
				return damaged(err)
			}
			return a.showParts(parts)
		},
	}
	journalFlags(cmd, &data, &path, &partitions)
	if fold {
		cmd.Flags().BoolVar(&fromSnapshot, "from-snapshot", false, "begin at the newest snapshot instead; the digests are the same")
	}
	return cmd
}

func (a *app) showParts(parts []reconcile.PartitionReport) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]any{"ok": true, "partitions": parts})
	}
	for i := range parts {
		p := &parts[i]
		fmt.Fprintf(a.out, "partition %d: %d events in %d records, epoch %d, chain %.16s", p.Partition, p.Seq, p.Records, p.Epoch, p.Chain)
		if p.Digest != "" {
			fmt.Fprintf(a.out, ", %d accounts, digest %.16s", p.Accounts, p.Digest)
		}
		for why, n := range p.Dropped {
			fmt.Fprintf(a.out, ", %d frames dropped (%s)", n, why)
		}
		if p.Snapshot != "" {
			fmt.Fprintf(a.out, ", from snapshot %s", p.Snapshot)
		}
		fmt.Fprintln(a.out)
	}
	fmt.Fprintln(a.out, "ok")
	return nil
}
