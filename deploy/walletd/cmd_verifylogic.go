package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/luascripts"
	"walletd/luascripts/rerun"
	"walletd/projector/reconcile"
)

// notCompared is what verify-logic says beside every result.
const notCompared = "not compared, because no journal has them: reads, checks, looks, repeats of a key, and refusals that are not stored"

// logicReport is what -o json prints.
type logicReport struct {
	OK bool `json:"ok"`
	rerun.Report
	Divergences []logicDivergence `json:"divergences"` // the first one of each partition, the earliest in time first
	NotCompared string            `json:"not_compared"`
}

// logicDivergence is a divergence with its event in words.
type logicDivergence struct {
	rerun.Divergence
	Account string                `json:"account,omitempty"`
	Event   reconcile.Description `json:"event"`
}

func (a *app) verifyLogicCmd() *cobra.Command {
	var data, path string
	var partitions []int
	var shards int
	cmd := &cobra.Command{
		Use: "verify-logic", Short: "prove that this build decides what the journal says, event by event", Args: args(0, 0),
		Long: `verify-logic runs the recorded commands of a journal again, through this build's acts, on Redis servers that it starts on this
machine and ends again, at the times at which they ran. It compares every decision (status, detail, balances, key records,
reservations) with the journal's, and with the Book's in Go: before an upgrade, proof that a change in the acts changed no outcome.
Exit code 9: a decision differs; the first such event of each partition is named.

The wallet may run meanwhile; nothing of it is touched. ` + "N" + notCompared[1:] + `.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if shards < 0 || shards > 64 {
				return exit(exitUsage, "--shards %d: want 1 to 64, or 0 for one a processor", shards)
			}
			report, err := a.verifyLogic(cmd.Context(), place{data: data, path: path}, partitions, shards)
			if err != nil {
				return err
			}
			if err := a.showLogic(&report); err != nil || report.OK {
				return err
			}
			return exit(exitDifferent, "this build decides otherwise than the journal: first at event %s", report.Divergences[0].At)
		},
	}
	journalFlags(cmd, &data, &path, &partitions)
	cmd.Flags().IntVar(&shards, "shards", 0, "scratch Redis servers to start, each for one partition at a time (0: one a processor)")
	return cmd
}

func (a *app) verifyLogic(ctx context.Context, where place, partitions []int, shards int) (report logicReport, err error) {
	j, err := a.openJournal(ctx, where.data, where.path)
	if err != nil {
		return report, err
	}
	defer j.close()
	for _, p := range partitions {
		if p < 0 || p >= j.log.Partitions() {
			return report, exit(exitUsage, "--partition %d: there are %d, from 0 on", p, j.log.Partitions())
		}
	}
	if shards == 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	if partitions == nil {
		shards = min(shards, j.log.Partitions())
	} else {
		shards = min(shards, len(partitions))
	}
	scratch, end, err := startScratch(ctx, shards)
	if err != nil {
		return report, err
	}
	defer end()
	b := a.bar("verify-logic")
	found, err := rerun.Run(ctx, rerun.Config{Log: j.log, Partitions: partitions, Shards: scratch, Progress: b.set})
	b.done()
	if err != nil {
		return report, damaged(err)
	}
	report = logicReport{OK: found.OK(), Report: found, Divergences: []logicDivergence{}, NotCompared: notCompared}
	for _, d := range found.Divergences {
		inWords, err := describe(ctx, j, d)
		if err != nil {
			return report, damaged(err)
		}
		report.Divergences = append(report.Divergences, inWords)
	}
	return report, nil
}

// startScratch starts Redis servers that are only for this; end ends them.
func startScratch(ctx context.Context, n int) (scratch []*luascripts.Scratch, end func(), err error) {
	dir, err := os.MkdirTemp("", "walletd-scratch-")
	if err != nil {
		return nil, nil, fmt.Errorf("scratch shards: %w", err)
	}
	var servers []*local.Server
	end = func() {
		for _, s := range scratch {
			_ = s.Close()
		}
		for _, s := range servers {
			s.Kill() // nothing in it is worth a clean stop
		}
		_ = os.RemoveAll(dir)
	}
	for i := range n {
		server, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(dir, fmt.Sprint(i))})
		if err == nil {
			servers = append(servers, server)
			var s *luascripts.Scratch
			if s, err = luascripts.OpenScratch(ctx, luascripts.Config{Addr: server.Addr}, nil); err == nil {
				scratch = append(scratch, s)
			}
		}
		if err != nil {
			end()
			return nil, nil, fmt.Errorf("scratch shards: %w", err)
		}
	}
	return scratch, end, nil
}

var errDescribed = errors.New("described")

// describe reads a divergence's partition up to its event, and puts that into words.
func describe(ctx context.Context, j *openedJournal, d rerun.Divergence) (logicDivergence, error) {
	found := logicDivergence{Divergence: d}
	at := d.Position
	_, err := reconcile.Replay(ctx, reconcile.ReplayConfig{Log: j.log, Partitions: []int{at.Partition}}, func(r *reconcile.Replayed) error {
		if r.Event == nil || r.Event.Seq != at.Seq {
			return nil
		}
		found.Event = r.Describe(j.assets)
		if d.Account != (journal.Handle{}) {
			found.Account = r.Names.Of(d.Account)
		}
		return errDescribed
	})
	if errors.Is(err, errDescribed) {
		err = nil
	}
	return found, err
}

func (a *app) showLogic(r *logicReport) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(r)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, op := range slices.Sorted(maps.Keys(r.Decisions)) {
		for _, status := range slices.Sorted(maps.Keys(r.Decisions[op])) {
			fmt.Fprintf(w, "%s\t%s\t%d\n", op, status, r.Decisions[op][status])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range r.Divergences {
		d := &r.Divergences[i]
		fmt.Fprintf(a.out, "DIVERGENCE %s\n    %s\n", d.String(), d.Event.String())
		if d.Account != "" {
			fmt.Fprintf(a.out, "    the account is %s\n", d.Account)
		}
	}
	fmt.Fprintf(a.out, "%d decisions agree, and %d accounts, key records and reservations behind them\n%s\n", r.Events, r.Checked, notCompared)
	if r.OK {
		fmt.Fprintln(a.out, "ok")
	}
	return nil
}
