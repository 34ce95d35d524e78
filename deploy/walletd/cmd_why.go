package walletd

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/projector/reconcile"
)

// whyLimitMax bounds the steps of one explanation.
const whyLimitMax = 1000

// explanation is what the operators' listener answers, and what -o json prints.
type explanation struct {
	OK bool `json:"ok"`
	*reconcile.Explanation
}

// whyQuestion is what is asked, as flags and as the query of a URL have it.
type whyQuestion struct {
	since string // a version or a time
	limit int
}

// into parses the question.
func (q *whyQuestion) into(c *reconcile.WhyConfig, account string) error {
	var err error
	if c.Account, err = reconcile.ParseAccount(account); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if q.limit < 0 || q.limit > whyLimitMax {
		return fmt.Errorf("limit: %d steps; 1 to %d are possible", q.limit, whyLimitMax)
	}
	c.Limit = q.limit
	if q.since == "" {
		return nil
	}
	if version, err := strconv.ParseUint(q.since, 10, 64); err == nil {
		c.SinceVersion = version
		return nil
	}
	at, err := parseTime(q.since)
	if err != nil {
		return fmt.Errorf("since: %q is neither a version of the account (12) nor a time (2026-11-20T00:00:00Z)", q.since)
	}
	c.SinceMS = at.UnixMilli()
	return nil
}

// adminWhy explains an account's balance: GET /admin/v1/accounts/{account}/why?since=&limit=.
func (n *node) adminWhy(w http.ResponseWriter, r *http.Request) {
	if n.log == nil {
		problem(w, "not_found", "this process does not read the journal; ask one with the projector role")
		return
	}
	q, err := whyQuestion{since: r.URL.Query().Get("since")}, error(nil)
	if text := r.URL.Query().Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil {
			problem(w, "malformed", "limit is a number of steps, 1 to 1000")
			return
		}
	}
	c := reconcile.WhyConfig{Log: n.log, Assets: n.cfg.assets, Live: &n.live, View: n.view}
	if err := q.into(&c, r.PathValue("account")); err != nil {
		problem(w, "malformed", err.Error())
		return
	}
	x, err := reconcile.Why(r.Context(), c)
	switch {
	case errors.Is(err, reconcile.ErrNoAccount):
		problem(w, "account_not_found", "neither the journal nor a shard knows this account")
	case err != nil:
		problem(w, "journal_unavailable", err.Error())
	default:
		answer(w, http.StatusOK, explanation{x.OK(), x})
	}
}

func (a *app) whyCmd() *cobra.Command {
	var at place
	var q whyQuestion
	cmd := &cobra.Command{
		Use: "why ACCOUNT", Short: "why a balance is what it is: the events that made it, and those behind a difference", Args: args(1, 1),
		Long: `why replays the journal of the account's partition and lists the account's versions, each with its event, the balance after it,
and what became of the other side. The shard's record (at the very seq at which it was read) and the projection's statement are held
against the replay. Where they differ, the list begins right before the first difference, and the events whose effects sum up to
the difference are named: those that are missing there, or are in it twice; or that no event explains it.

On a running wallet: --server (or --admin). On a stopped one: --data DIR, where there is no shard to compare.
ACCOUNT is an id, or a name as reconcile reports it: suspense:P:A, handle:HEX.
Exit code 3: no such account. Exit code 9: a difference was found.`,
		Example: "  walletd why alice\n  walletd why alice --since 2026-11-20 -o json\n  walletd why alice --data /var/lib/walletd --since 12",
		RunE: func(cmd *cobra.Command, given []string) error {
			x, assets, err := a.why(cmd.Context(), given[0], at, q)
			switch {
			case errors.Is(err, reconcile.ErrNoAccount):
				return exit(wire.Lookup("account_not_found").Exit, "%s: neither the journal nor a shard knows this account", given[0])
			case err != nil:
				return damaged(err)
			}
			if err := a.showWhy(x, assets); err != nil {
				return err
			}
			if !x.OK() {
				return exit(exitDifferent, "%s is not what the journal says: %d differences", x.Account, len(x.Differences))
			}
			return nil
		},
	}
	at.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.since, "since", "", "where the list begins: a version of the account, or a time (default: the newest steps, or right before a difference)")
	f.IntVar(&q.limit, "limit", 50, "steps in the list, 1 to 1000")
	return cmd
}

func (a *app) why(ctx context.Context, account string, at place, q whyQuestion) (*reconcile.Explanation, journal.Assets, error) {
	c := reconcile.WhyConfig{}
	if err := q.into(&c, account); err != nil {
		return nil, nil, exit(exitUsage, "%w", err)
	}
	if at.data == "" && at.path == "" {
		w, err := a.dial(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer w.Close()
		query := url.Values{"limit": {strconv.Itoa(q.limit)}}
		if q.since != "" {
			query.Set("since", q.since)
		}
		var x explanation
		err = a.operate(ctx, at.admin, "GET", "/admin/v1/accounts/"+url.PathEscape(account)+"/why?"+query.Encode(), nil, &x)
		return x.Explanation, w.assets, err
	}
	j, err := a.openJournal(ctx, at.data, at.path)
	if err != nil {
		return nil, nil, err
	}
	defer j.close()
	v := a.offlineView(j)
	if v != nil {
		defer v.Close()
	}
	b := a.bar("replay")
	defer b.done()
	c.Log, c.Assets, c.View, c.Progress = j.log, j.assets, v, b.set
	if shards, ok := j.shards.(liveShards); ok {
		live := &liveAccounts{source: shards.n.source}
		defer func() { _ = live.Close() }()
		c.Live = live
	}
	x, err := reconcile.Why(ctx, c)
	return x, j.assets, err
}

// showWhy prints an explanation.
func (a *app) showWhy(x *reconcile.Explanation, assets journal.Assets) error {
	if a.output == "json" {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return e.Encode(explanation{x.OK(), x})
	}
	head := []string{"version", "time", "event", "kind", "available_change", "reserved_change", "available", "reserved", "counterparty", "partner_partition", "partner_event", "phase", "explains"}
	row := func(s *reconcile.Step, money func(journal.Amount) string) []string {
		at := ""
		if s.PartnerAt != nil {
			at = strconv.Itoa(*s.PartnerAt)
		}
		return []string{strconv.FormatUint(s.Version, 10), s.Time, s.Position, s.Kind, money(s.AvailableChange), money(s.ReservedChange), money(s.Available), money(s.Reserved),
			s.Counterparty, at, s.PartnerEvent, s.Phase, s.Explains}
	}
	if a.output == "csv" {
		out := csv.NewWriter(a.out)
		_ = out.Write(head)
		for i := range x.Steps {
			_ = out.Write(row(&x.Steps[i], func(m journal.Amount) string { return strconv.FormatInt(int64(m), 10) }))
		}
		out.Flush()
		return out.Error()
	}
	exponent := 0
	if i, ok := assets.Lookup(x.Asset); ok {
		exponent = assets[i].Exponent
	}
	money := func(m journal.Amount) string { return wire.FormatDecimal(m, exponent) }
	out := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(out, "%s in %s, partition %d; the list begins with: %s\n", x.Account, x.Asset, x.Partition, x.Begins)
	if b := x.Before; b != nil {
		fmt.Fprintf(out, "brought forward: version %d, available %s, reserved %s, at %s\n", b.Version, money(b.Available), money(b.Reserved), b.Position)
	}
	fmt.Fprintln(out, strings.Join(head, "\t"))
	for i := range x.Steps {
		fmt.Fprintln(out, strings.Join(row(&x.Steps[i], money), "\t"))
	}
	if x.More > 0 {
		fmt.Fprintf(out, "… and %d more versions (--limit, --since)\n", x.More)
	}
	fmt.Fprintln(out)
	for _, s := range x.Stands {
		fmt.Fprintf(out, "%s\tat %s\tversion %d\tavailable %s\treserved %s\n", s.Where, s.Position, s.Version, money(s.Available), money(s.Reserved))
	}
	for i := range x.Differences {
		differenceText(out, &x.Differences[i], money)
	}
	for _, u := range x.Unchecked {
		fmt.Fprintf(out, "UNCHECKED %s\n", u)
	}
	if x.OK() {
		fmt.Fprintln(out, "no difference")
	}
	return out.Flush()
}

func differenceText(out *tabwriter.Writer, d *reconcile.WhyDifference, money func(journal.Amount) string) {
	fmt.Fprintf(out, "DIFFERENCE %s: available %s, reserved %s against the replay: %s\n", d.Where, money(d.Available), money(d.Reserved), d.What)
	if d.Version > 0 {
		fmt.Fprintf(out, "    first at version %d", d.Version)
		if d.Position != "" {
			fmt.Fprintf(out, ", event %s", d.Position)
		}
		fmt.Fprintln(out)
	}
	if len(d.Events) > 0 {
		fmt.Fprintf(out, "    its events: %s", strings.Join(d.Events, " "))
		if d.More > 0 {
			fmt.Fprintf(out, " and %d more", d.More)
		}
		fmt.Fprintln(out)
	}
	if d.Have+d.Want != "" {
		fmt.Fprintf(out, "    have %s\n    want %s\n", d.Have, d.Want)
	}
}
