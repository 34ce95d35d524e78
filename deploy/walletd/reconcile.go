package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/projector/reconcile"
	"walletd/projector/sweep"
	"walletd/projector/view"
)

// reconciliation is what the operators' listener answers, and what -o json prints.
type reconciliation struct {
	OK bool `json:"ok"`
	reconcile.Report
}

// adminReconcile audits a running wallet: replay = live shards = projection.
func (n *node) adminReconcile(w http.ResponseWriter, r *http.Request) {
	if n.log == nil {
		problem(w, "not_found", "this process does not read the journal; ask one with the projector role")
		return
	}
	if !n.audits.begin() {
		problem(w, "in_progress", "a reconciliation is under way: GET /admin/v1/reconciliations shows how far it is")
		return
	}
	report, err := n.reconcile(r.Context(), n.audits.progress)
	n.audits.end(reconciliation{report.OK(), report}, err)
	if err != nil {
		problem(w, "journal_unavailable", err.Error())
		return
	}
	answer(w, http.StatusOK, reconciliation{report.OK(), report})
}

// audits remembers the reconciliation under way, and the last one.
type audits struct {
	mu          sync.Mutex // guards the rest
	running     bool
	done, total int64
	last        *reconciliation
	lastMS      int64
	failed      string
}

// begin is false while another runs: it reads the whole journal.
func (a *audits) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running {
		return false
	}
	a.running, a.done, a.total = true, 0, 0
	return true
}

func (a *audits) progress(done, total int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done, a.total = done, total
}

func (a *audits) end(r reconciliation, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.failed = false, ""
	if err != nil {
		a.failed = err.Error()
		return
	}
	a.last, a.lastMS = &r, time.Now().UnixMilli()
}

// reconciliations is what GET /admin/v1/reconciliations answers.
type reconciliations struct {
	Running *auditProgress  `json:"running,omitempty"`
	Last    *reconciliation `json:"last,omitempty"` // on demand
	LastAt  *time.Time      `json:"last_at,omitempty"`
	Failed  string          `json:"failed,omitempty"` // why the last one on demand came to no end

	Sweep        *sweep.Report    `json:"sweep,omitempty"`        // all the time: shards against the projection
	Conservation map[string]int64 `json:"conservation,omitempty"` // minor units by asset: 0, or money was created or lost
	ChannelsOff  int              `json:"channels_off"`
	ChainsBroken []int            `json:"chains_broken"` // partitions whose journal is damaged, or that are folded no further
}

// auditProgress is in records of the journal.
type auditProgress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// adminReconciliations tells how far a reconciliation is, what the last one found, and what is compared all the time.
func (n *node) adminReconciliations(w http.ResponseWriter, _ *http.Request) {
	n.audits.mu.Lock()
	r := reconciliations{Last: n.audits.last, Failed: n.audits.failed, ChainsBroken: []int{}}
	if n.audits.running {
		r.Running = &auditProgress{n.audits.done, n.audits.total}
	}
	if r.Last != nil {
		at := time.UnixMilli(n.audits.lastMS).UTC()
		r.LastAt = &at
	}
	n.audits.mu.Unlock()
	if n.sweeper != nil {
		report := n.sweeper.Report()
		r.Sweep = &report
	}
	if n.view != nil {
		c := n.view.Conservation()
		r.Conservation, r.ChannelsOff = map[string]int64{}, len(c.Off)
		for asset, sum := range c.Error {
			r.Conservation[n.cfg.assets.Code(asset)] = sum
		}
		r.ChainsBroken = append(r.ChainsBroken, n.projector.Stopped()...)
	}
	answer(w, http.StatusOK, r)
}

func (a *app) reconcileCmd() *cobra.Command {
	var data, path, admin string
	cmd := &cobra.Command{
		Use: "reconcile", Short: "prove that replay = live shards = projection, and that every asset sums up to 0", Args: args(0, 0),
		Long: `reconcile folds the journal from its first event and compares the result with the live shards and the projection.
On a running wallet: --server (or --admin). On a stopped one: --data DIR, where there are no shards to compare.
Exit code 9: a difference was found; the first offending event is named.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := a.reconciliation(cmd, data, path, admin)
			if err != nil {
				return err
			}
			if a.output == "json" {
				if err := json.NewEncoder(a.out).Encode(reconciliation{report.OK(), report}); err != nil {
					return err
				}
			} else {
				fmt.Fprint(a.out, report.Text())
			}
			if !report.OK() {
				return exit(exitDifferent, "the wallet does not reconcile: %d differences", len(report.Differences)+report.More)
			}
			return nil
		},
	}
	cmd.AddCommand(a.reconcileFileCmd())
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "data directory of a stopped (or running) dev wallet")
	f.StringVarP(&path, "config", "c", "", "walletd.yaml of a cluster: its journal is read, its shards are compared")
	f.StringVar(&admin, "admin", "", "the operators' listener of a running wallet (default: the server's, found by asking it)")
	return cmd
}

func (a *app) reconciliation(cmd *cobra.Command, data, path, admin string) (reconcile.Report, error) {
	if data != "" || path != "" {
		return a.reconcileJournal(cmd.Context(), data, path)
	}
	if admin == "" {
		var err error
		if admin, err = a.adminOf(cmd.Context()); err != nil {
			return reconcile.Report{}, err
		}
	}
	rest, err := client.NewREST(client.Config{URL: admin, Token: a.token, Timeout: 10 * time.Minute})
	if err != nil {
		return reconcile.Report{}, exit(exitUsage, "--admin: %w", err)
	}
	defer rest.Close()
	b := a.bar("replay")
	defer b.done()
	showing, shown := context.WithCancel(cmd.Context())
	go a.followAudit(showing, rest, b)
	answer, err := rest.Reconcile(cmd.Context())
	shown()
	if err != nil {
		return reconcile.Report{}, err
	}
	var report reconciliation
	if err := json.Unmarshal(answer.Raw, &report); err != nil {
		return reconcile.Report{}, fmt.Errorf("reconcile: read the answer: %w", err)
	}
	return report.Report, nil
}

// followAudit shows on a terminal how far a running wallet's reconciliation is, until ctx ends.
func (a *app) followAudit(ctx context.Context, rest *client.REST, b *bar) {
	if b.bar == nil {
		return
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var r reconciliations
		if rest.Operate(ctx, http.MethodGet, "/admin/v1/reconciliations", nil, &r) == nil && r.Running != nil {
			b.set(r.Running.Done, r.Running.Total)
		}
	}
}

// adminOf asks the server where its operators' listener is.
func (a *app) adminOf(ctx context.Context) (string, error) {
	w, err := a.dial(ctx)
	if err != nil {
		return "", err
	}
	defer w.Close()
	v, err := w.Version(ctx)
	if err != nil {
		return "", err
	}
	if v.Admin == "" {
		return "", exit(exitUsage, "%s does not say where its operators' listener is; name it with --admin", a.server)
	}
	return v.Admin, nil
}

// reconcileJournal audits without a running wallet: the journal against itself and, where it is on this disk, against the
// projection; with a cluster's configuration also against its shards.
func (a *app) reconcileJournal(ctx context.Context, data, path string) (reconcile.Report, error) {
	j, err := a.openJournal(ctx, data, path)
	if err != nil {
		return reconcile.Report{}, err
	}
	defer j.close()
	b := a.bar("replay")
	defer b.done()
	cfg := reconcile.Config{Log: j.log, Assets: j.assets, Progress: b.set}
	if j.shards != nil {
		cfg.Shards = j.shards
	}
	if cfg.View = a.offlineView(j); cfg.View != nil {
		defer cfg.View.Close()
	}
	return reconcile.Run(ctx, cfg)
}

// offlineView opens the projection beside a journal on this disk; nil, and why, where it cannot be compared.
func (a *app) offlineView(j *openedJournal) *view.View {
	if j.projection == "" {
		return nil
	}
	if _, err := os.Stat(j.projection); err != nil {
		return nil
	}
	v, err := view.Open(view.Config{Dir: j.projection, Wallet: j.wallet, Partitions: j.log.Partitions(), ReadOnly: true})
	switch {
	case err == nil:
		return v
	case errors.Is(err, syscall.EAGAIN): // the store's lock
		fmt.Fprintln(a.err, "the projection is in use by a running wallet; only the journal is read (--server compares all)")
	default:
		fmt.Fprintf(a.err, "the projection is not compared: %v\n", err)
	}
	return nil
}
