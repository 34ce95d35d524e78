package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"walletd/projector/export"
)

// sinkEvery is how often a follower without a terminal says how far it is.
const sinkEvery = 10 * time.Second

// sinkPostgres keeps the journal's rows in PostgreSQL.
func (a *app) sinkPostgres(cmd *cobra.Command, x *exportFlags, url string) error {
	for _, flag := range []string{"partition", "from-time", "to-time", "from-position", "to-position"} {
		if cmd.Flags().Changed(flag) {
			return exit(exitUsage, "--%s chooses rows of a file; PostgreSQL gets all of them, choose with SQL", flag)
		}
	}
	j, err := a.openJournal(cmd.Context(), x.data, x.path)
	if err != nil {
		return err
	}
	defer j.close()
	b := a.bar("postgres")
	defer b.done()
	told := sinkTeller{a: a, bar: b}
	done, err := export.Sink(cmd.Context(), export.SinkConfig{Log: j.log, Assets: j.assets, Wallet: j.wallet, URL: url, Schema: x.schema, Follow: x.follow, Progress: told.tell})
	switch {
	case x.follow && errors.Is(err, context.Canceled):
	case errors.Is(err, export.ErrForeign):
		return exit(exitDifferent, "%w", err)
	case err != nil:
		return damaged(err)
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]any{"ok": true, "events": done.Events, "legs": done.Legs})
	}
	_, err = fmt.Fprintf(a.out, "%d legs of %d events written; what was there already is not counted\n", done.Legs, done.Events)
	return err
}

// sinkTeller shows progress and lag: a bar on a terminal, else a line now and then; failures always.
type sinkTeller struct {
	a      *app
	bar    *bar
	last   time.Time
	failed string
}

func (t *sinkTeller) tell(p export.SinkProgress) {
	t.bar.stage(fmt.Sprintf("postgres, lag %s", time.Duration(p.LagMS)*time.Millisecond), p.Share)
	switch {
	case p.Failure != nil && p.Failure.Error() != t.failed:
		t.failed = p.Failure.Error()
		fmt.Fprintf(t.a.err, "PostgreSQL: %v; trying again\n", p.Failure)
	case p.Failure == nil && t.failed != "":
		t.failed = ""
		fmt.Fprintln(t.a.err, "PostgreSQL answers again")
	case p.Failure == nil && t.bar.bar == nil && time.Since(t.last) > sinkEvery:
		t.last = time.Now()
		fmt.Fprintf(t.a.err, "%d legs of %d events written, %.0f%% of the journal read, lag %s\n", p.Legs, p.Events, 100*p.Share, time.Duration(p.LagMS)*time.Millisecond)
	}
}
