package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/journal"
	"walletd/projector/reconcile"
	"walletd/projector/snapshot"
)

func (a *app) snapshotCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot", Short: "states of the wallet from which a rebuild begins, so that it need not read the whole journal"}
	cmd.AddCommand(a.snapshotListCmd(), a.snapshotTakeCmd(), a.snapshotVerifyCmd())
	return cmd
}

// place names a wallet on disk, a cluster, or (neither) a running wallet.
type place struct{ data, path, admin string }

func (p *place) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.data, "data", "", "data directory of a dev wallet, stopped or running")
	f.StringVarP(&p.path, "config", "c", "", "walletd.yaml of a cluster")
	f.StringVar(&p.admin, "admin", "", "the operators' listener of a running wallet (default: the server's, found by asking it)")
}

func (p *place) running() bool { return p.data == "" && p.path == "" }

// operate asks the operators' listener.
func (a *app) operate(ctx context.Context, admin, method, path string, body, into any) error {
	if admin == "" {
		var err error
		if admin, err = a.adminOf(ctx); err != nil {
			return err
		}
	}
	rest, err := client.NewREST(client.Config{URL: admin, Token: a.token, Timeout: 30 * time.Minute})
	if err != nil {
		return exit(exitUsage, "--admin: %w", err)
	}
	defer rest.Close()
	return rest.Operate(ctx, method, path, body, into)
}

// withShelf opens a journal and its wallet's snapshots for fn.
func (a *app) withShelf(ctx context.Context, p place, fn func(*openedJournal, *snapshot.Shelf) error) error {
	j, err := a.openJournal(ctx, p.data, p.path)
	if err != nil {
		return err
	}
	defer j.close()
	shelf, closeStore, err := j.snapshots.openShelf(j.wallet, j.log.Partitions(), a.messages())
	if err != nil {
		return err
	}
	defer closeStore()
	return fn(j, shelf)
}

func (a *app) snapshotListCmd() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use: "ls", Short: "list the snapshots, newest first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := &snapshotList{}
			var err error
			if p.running() {
				err = a.operate(cmd.Context(), p.admin, "GET", "/admin/v1/snapshots", nil, list)
			} else {
				err = a.withShelf(cmd.Context(), p, func(_ *openedJournal, shelf *snapshot.Shelf) (err error) {
					list, err = listSnapshots(cmd.Context(), shelf)
					return err
				})
			}
			if err != nil {
				return err
			}
			return a.showSnapshots(list)
		},
	}
	p.flags(cmd)
	return cmd
}

func (a *app) showSnapshots(list *snapshotList) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(list)
	}
	if len(list.Data) == 0 {
		fmt.Fprintf(a.err, "there are no snapshots in %s; `walletd snapshot take` takes one\n", list.Store)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SNAPSHOT\tTAKEN\tEVENTS\tACCOUNTS\tBYTES\tSTATE")
	for i := range list.Data {
		l := &list.Data[i]
		state, taken, accounts := "ok", "", uint64(0)
		if !l.OK {
			state = l.Problem
		}
		if l.Manifest != nil {
			taken = l.CreatedAt.Format(time.RFC3339)
			for _, f := range l.Files {
				accounts += f.Accounts
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", l.ID, taken, l.Events, accounts, l.Size, state)
	}
	return w.Flush()
}

func (a *app) snapshotTakeCmd() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use: "take", Short: "take a snapshot now", Args: args(0, 0),
		Long: `take lets a running wallet take a snapshot of its projection; nothing pauses. With --data or -c the journal is
folded here instead, from the newest snapshot on, and no wallet need run.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var taken listedSnapshot
			var err error
			if p.running() {
				err = a.operate(cmd.Context(), p.admin, "POST", "/admin/v1/snapshots", struct{}{}, &taken)
			} else {
				err = a.withShelf(cmd.Context(), p, func(j *openedJournal, shelf *snapshot.Shelf) error {
					m, err := a.takeFromJournal(cmd.Context(), j, shelf)
					if m != nil {
						taken = shown(snapshot.Entry{ID: m.ID, Manifest: m})
					}
					return err
				})
			}
			if err != nil && taken.Manifest == nil {
				return err
			}
			if taken.Problem != "" {
				fmt.Fprintf(a.err, "the snapshot is taken; %s\n", taken.Problem)
			}
			if a.output == "json" {
				return errors.Join(json.NewEncoder(a.out).Encode(taken), err)
			}
			fmt.Fprintf(a.out, "snapshot %s: %d events, %d bytes in %d files\n", taken.ID, taken.Events, taken.Size, len(taken.Files))
			return err
		},
	}
	p.flags(cmd)
	return cmd
}

// takeFromJournal folds every partition from the newest snapshot on, and writes another.
func (a *app) takeFromJournal(ctx context.Context, j *openedJournal, shelf *snapshot.Shelf) (*snapshot.Manifest, error) {
	b := a.bar("fold")
	defer b.done()
	var parts []*snapshot.Folded
	for p := range j.log.Partitions() {
		f, err := foldNewest(ctx, j.log, shelf, p, b.set)
		if err != nil {
			return nil, damaged(err)
		}
		parts = append(parts, f)
	}
	taking := j.snapshots.taking(shelf, "snapshot take")
	taking.Progress = func(p, of int) { b.stage("write", float64(p)/float64(of)) }
	return taking.Take(ctx, snapshot.FromFolds(parts))
}

// foldNewest folds a partition from its newest snapshot, or from the log's first record.
func foldNewest(ctx context.Context, log journal.Log, shelf *snapshot.Shelf, partition int, progress func(done, total int64)) (*snapshot.Folded, error) {
	from, err := shelf.Newest(ctx, partition)
	if err != nil {
		return nil, err
	}
	end, err := log.End(ctx, partition)
	if err != nil {
		return nil, err
	}
	c := snapshot.FoldConfig{Log: log, Partition: partition, From: from}
	if from != nil {
		end -= from.Header.Cursor.Offset
	}
	c.Progress = func(done int64) { progress(done, max(end, done)) }
	return snapshot.Fold(ctx, c)
}

func (a *app) snapshotVerifyCmd() *cobra.Command {
	var p place
	var ask verification
	cmd := &cobra.Command{
		Use: "verify [SNAPSHOT]", Short: "read snapshots: checksums, counts, sums, digests; exit 9 and the place when something is wrong", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 1 {
				ask.Snapshot = names[0]
			}
			v := &verified{}
			var err error
			if p.running() {
				err = a.operate(cmd.Context(), p.admin, "POST", "/admin/v1/snapshots/verifications", ask, v)
			} else {
				err = a.withShelf(cmd.Context(), p, func(j *openedJournal, shelf *snapshot.Shelf) (err error) {
					b := a.bar("verify")
					defer b.done()
					v, err = verifySnapshots(cmd.Context(), shelf, j.log, ask, b.set)
					return err
				})
			}
			if err != nil {
				return err
			}
			return a.showVerdicts(v)
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVar(&ask.Deep, "deep", false, "also fold the journal from its first event up to each snapshot's cut, and compare")
	return cmd
}

func (a *app) showVerdicts(v *verified) error {
	if a.output == "json" {
		if err := json.NewEncoder(a.out).Encode(v); err != nil {
			return err
		}
	} else {
		for i := range v.Data {
			d := &v.Data[i]
			switch {
			case !d.OK:
				fmt.Fprintf(a.out, "%s partition %d: %s\n", d.Snapshot, d.Partition, d.Problem)
			case v.Deep:
				fmt.Fprintf(a.out, "%s partition %d at %s: digest %.16s, as the journal gives\n", d.Snapshot, d.Partition, d.Position, d.Digest)
			default:
				fmt.Fprintf(a.out, "%s partition %d at %s: digest %.16s\n", d.Snapshot, d.Partition, d.Position, d.Digest)
			}
		}
		if v.OK {
			fmt.Fprintln(a.out, "ok")
		}
	}
	if !v.OK {
		return exit(exitDifferent, "a snapshot is not what it should be; rebuilds pass over it and begin at an older one")
	}
	return nil
}

// replayFromSnapshots tells where each partition ends, folded from its newest snapshot on.
func (a *app) replayFromSnapshots(ctx context.Context, p place, partitions []int) error {
	return a.withShelf(ctx, p, func(j *openedJournal, shelf *snapshot.Shelf) error {
		if len(partitions) == 0 {
			for n := range j.log.Partitions() {
				partitions = append(partitions, n)
			}
		}
		b := a.bar("replay")
		var reports []reconcile.PartitionReport
		for _, n := range partitions {
			if n < 0 || n >= j.log.Partitions() {
				return exit(exitUsage, "there is no partition %d", n)
			}
			f, err := foldNewest(ctx, j.log, shelf, n, b.set)
			if err != nil {
				b.done()
				return damaged(err)
			}
			digest := f.Book.Digest()
			reports = append(reports, reconcile.PartitionReport{Partition: n, Records: f.Cursor.Offset, Epoch: f.Cursor.Epoch, Seq: f.Book.Seq, TimeMS: f.Book.TimeMS,
				Accounts: len(f.Book.State.(*journal.Memory).Accounts), Chain: fmt.Sprintf("%x", f.Cursor.Chain), Digest: fmt.Sprintf("%x", digest), Dropped: f.Dropped, Snapshot: f.From})
		}
		b.done()
		return a.showParts(reports)
	})
}
