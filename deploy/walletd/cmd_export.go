package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"walletd/journal"
	"walletd/projector/export"
)

// exportFlags are those of one export.
type exportFlags struct {
	data, path               string
	partitions               []int
	format                   string
	fromTime, toTime         string
	fromPosition, toPosition string
	schema                   string // of PostgreSQL
	follow                   bool
}

func (a *app) journalExportCmd() *cobra.Command {
	var x exportFlags
	cmd := &cobra.Command{
		Use: "export --to csv|jsonl|sqlite FILE | --to postgres URL", Short: "write double-entry rows, one a leg, to a file (- is the standard output) or into PostgreSQL", Args: args(1, 1),
		Long: `export writes every movement of money as double-entry rows: one a leg, debits before credits, partition by partition in order of
events. What is between two partitions lies in a channel's account, so that every event balances by itself. At the end Σ debit = Σ credit is
checked for every asset; exit code 9 when it is not so. The columns are told in docs/export.md.

Into PostgreSQL every row goes exactly once, whatever is killed in between: start it again, and it goes on. --follow goes on with what happens.`,
		Example: `  walletd journal export --data ~/.local/share/walletd/dev --to csv legs.csv
  walletd journal export -c walletd.yaml --to sqlite november.sqlite --from-time 2026-11-01 --to-time 2026-12-01
  walletd journal export --data DIR --to jsonl - --from-position 3.1.42 | jq .
  walletd journal export -c walletd.yaml --to postgres postgres://walletd@db/reporting --follow`,
		RunE: func(cmd *cobra.Command, given []string) error {
			if x.format == "postgres" {
				return a.sinkPostgres(cmd, &x, given[0])
			}
			if cmd.Flags().Changed("follow") || cmd.Flags().Changed("schema") {
				return exit(exitUsage, "--follow and --schema are of --to postgres")
			}
			c, err := x.config()
			if err != nil {
				return err
			}
			j, err := a.openJournal(cmd.Context(), x.data, x.path)
			if err != nil {
				return err
			}
			defer j.close()
			for _, p := range c.Partitions {
				if p < 0 || p >= j.log.Partitions() {
					return exit(exitUsage, "there is no partition %d: there are %d, from 0 on", p, j.log.Partitions())
				}
			}
			c.Log, c.Assets = j.log, j.assets
			summary, err := a.export(cmd.Context(), c, given[0])
			if err != nil {
				return damaged(err)
			}
			return a.showExport(&summary, given[0])
		},
	}
	journalFlags(cmd, &x.data, &x.path, &x.partitions)
	f := cmd.Flags()
	f.StringVar(&x.format, "to", "", "csv, jsonl, sqlite or postgres")
	f.StringVar(&x.schema, "schema", "walletd", "schema in PostgreSQL, made if it is missing; one for each wallet")
	f.BoolVar(&x.follow, "follow", false, "postgres: go on with what is appended, until Ctrl-C")
	f.StringVar(&x.fromTime, "from-time", "", "not before this time: 2026-11-20T00:00:00Z, or a date")
	f.StringVar(&x.toTime, "to-time", "", "before this time")
	f.StringVar(&x.fromPosition, "from-position", "", "from this event on, of its partition alone: partition.epoch.seq")
	f.StringVar(&x.toPosition, "to-position", "", "up to this event, of its partition alone")
	return cmd
}

// config reads the flags, all but the journal's.
func (x *exportFlags) config() (c export.Config, err error) {
	if !slices.Contains(export.Formats, x.format) {
		return c, exit(exitUsage, "--to %q: want one of %s, postgres", x.format, strings.Join(export.Formats, ", "))
	}
	c = export.Config{Format: x.format, Partitions: x.partitions}
	if c.FromMS, c.ToMS, err = x.times(); err != nil {
		return c, err
	}
	return c, x.positions(&c)
}

// times reads those flags; 0: no bound.
func (x *exportFlags) times() (fromMS, toMS int64, err error) {
	for flag, to := range map[string]struct {
		text string
		ms   *int64
	}{"--from-time": {x.fromTime, &fromMS}, "--to-time": {x.toTime, &toMS}} {
		if to.text == "" {
			continue
		}
		t, err := parseTime(to.text)
		if err != nil {
			return 0, 0, exit(exitUsage, "%s: %w", flag, err)
		}
		*to.ms = t.UnixMilli()
	}
	if toMS != 0 && toMS <= fromMS {
		return 0, 0, exit(exitUsage, "--to-time %s is not behind --from-time %s", x.toTime, x.fromTime)
	}
	return fromMS, toMS, nil
}

// positions reads those flags: an epoch says nothing that the seq does not.
func (x *exportFlags) positions(c *export.Config) error {
	for _, bound := range []struct {
		flag, text string
		seq        *uint64
	}{{"--from-position", x.fromPosition, &c.FromSeq}, {"--to-position", x.toPosition, &c.ToSeq}} {
		if bound.text == "" {
			continue
		}
		at, err := journal.ParsePosition(bound.text)
		switch {
		case err != nil:
			return exit(exitUsage, "%s: %w", bound.flag, err)
		case len(c.Partitions) > 1 || len(c.Partitions) == 1 && c.Partitions[0] != at.Partition:
			return exit(exitUsage, "%s %s is of partition %d alone, and others are asked for; positions of two partitions have no order: use --from-time", bound.flag, bound.text, at.Partition)
		}
		c.Partitions, *bound.seq = []int{at.Partition}, max(at.Seq, 1)
	}
	if c.ToSeq != 0 && c.ToSeq < c.FromSeq {
		return exit(exitUsage, "--to-position %s is before --from-position %s", x.toPosition, x.fromPosition)
	}
	return nil
}

// export writes the file, which appears when it is whole.
func (a *app) export(ctx context.Context, c export.Config, path string) (export.Summary, error) {
	b := a.bar("names")
	defer b.done()
	c.Progress = func(stage string, done, total int64) { b.stage(stage, float64(done)/float64(max(total, 1))) }
	if path == "-" {
		if c.Format == "sqlite" {
			return export.Summary{}, exit(exitUsage, "a SQLite database needs a file: name one instead of -")
		}
		c.Out = a.out
		return export.Run(ctx, c)
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		return export.Summary{}, exit(exitUsage, "%s exists; remove it, or name another file", path)
	case !errors.Is(err, fs.ErrNotExist):
		return export.Summary{}, exit(exitUsage, "%w; name another file", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return export.Summary{}, exit(exitUsage, "%w; name another file", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	c.Out, c.Path = f, f.Name()
	summary, err := export.Run(ctx, c)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return summary, err
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return summary, err
	}
	return summary, os.Rename(f.Name(), path)
}

func (a *app) showExport(s *export.Summary, path string) error {
	out := a.out
	if path == "-" { // the data are there
		out = a.err
	}
	if err := a.exportSums(out, s); err != nil {
		return err
	}
	if !s.Balanced() {
		return exit(exitDifferent, "debits and credits are not the same, first at event %s; `walletd reconcile` finds out more", s.Unbalanced)
	}
	return nil
}

func (a *app) exportSums(out io.Writer, s *export.Summary) error {
	if a.output == "json" {
		return json.NewEncoder(out).Encode(struct {
			OK bool `json:"ok"`
			*export.Summary
		}{s.Balanced(), s})
	}
	for _, sum := range s.Assets {
		fmt.Fprintf(out, "%s: debit %v = credit %v, in flight %v\n", sum.Asset, sum.Debit, sum.Credit, sum.InFlight)
	}
	fmt.Fprintf(out, "%d legs of %d events\n", s.Legs, s.Events)
	return nil
}
