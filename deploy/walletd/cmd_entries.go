package walletd

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/journal"
)

// entriesFlags are those of a statement.
type entriesFlags struct {
	q        client.EntriesQuery
	from, to string
	min, max string // decimals
	all      bool
}

func (a *app) entriesCmd() *cobra.Command {
	var x entriesFlags
	cmd := &cobra.Command{
		Use: "entries ID", Short: "an account's statement, newest first", Args: args(1, 1), Annotations: map[string]string{moreForms: "jsonl"},
		Long: `entries prints an account's statement, newest first: one line a version of the account, with what it had behind it. With --from or --to it
is the statement of a period, with its closing balance before the newest entry and its opening balance behind the oldest: of all entries in it,
whatever the other flags choose. -o json has both in any case.`,
		Example: `  walletd entries alice -o csv > statement.csv
  walletd entries alice --from 2026-11-01 --to 2026-12-01 --all -o csv > november.csv
  walletd entries alice --counterparty bob --min-amount 100.00 --all -o jsonl`,
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) error { return w.entries(ctx, given[0], &x) }),
	}
	f := cmd.Flags()
	f.StringVar(&x.q.Cursor, "cursor", "", "of the page before")
	f.IntVar(&x.q.Limit, "limit", 0, "entries a page, 1 to 1000")
	f.BoolVar(&x.all, "all", false, "all pages")
	f.StringVar(&x.from, "from", "", "not before this time")
	f.StringVar(&x.to, "to", "", "before this time")
	f.StringVar(&x.q.Direction, "direction", "", "debit or credit")
	f.StringVar(&x.q.Kind, "kind", "", "transfer, reserve, confirm, cancel, expire or account")
	f.StringVar(&x.q.Counterparty, "counterparty", "", "the other account")
	f.StringVar(&x.min, "min-amount", "", "not less than: 12.50")
	f.StringVar(&x.max, "max-amount", "", "not more than")
	f.StringVar(&x.q.Transfer, "transfer", "", "of this transfer: tr_…")
	f.StringVar(&x.q.Reservation, "reservation", "", "of this reservation: rs_…")
	f.StringVar(&x.q.Reference, "reference", "", "with exactly this reference")
	return cmd
}

// entries prints a page of a statement, or all of them.
func (w *wallet) entries(ctx context.Context, account string, x *entriesFlags) (err error) {
	switch {
	case x.all && w.a.output == "json":
		return exit(exitUsage, "--all with -o json would be one list in memory; write -o jsonl or csv")
	case x.all && x.q.Limit == 0:
		x.q.Limit = 1000
	}
	for _, t := range []struct {
		text string
		at   *time.Time
	}{{x.from, &x.q.From}, {x.to, &x.q.To}} {
		if t.text != "" {
			if *t.at, err = parseTime(t.text); err != nil {
				return err
			}
		}
	}
	if x.min != "" || x.max != "" || w.a.output == "table" { // decimals need the asset's exponent
		v, err := w.Balance(ctx, account)
		if err != nil {
			return err
		}
		w.asset = v.Asset
	}
	for _, bound := range []struct {
		text string
		to   *journal.Amount
	}{{x.min, &x.q.AmountMin}, {x.max, &x.q.AmountMax}} {
		if bound.text != "" {
			if *bound.to, err = w.amount(bound.text, w.asset); err != nil {
				return err
			}
		}
	}
	return w.pages(ctx, account, x)
}

// pages reads and prints one page after the other.
func (w *wallet) pages(ctx context.Context, account string, x *entriesFlags) error {
	b := &bar{}
	if x.all && !terminal(w.a.out) {
		b = w.a.bar("entries")
		defer b.done()
	}
	out := w.statementPrinter(account)
	period := !x.q.From.IsZero() || !x.q.To.IsZero()
	for first := x.q.Cursor == ""; ; first = false {
		page, err := w.Entries(ctx, account, x.q)
		if err != nil {
			return err
		}
		if w.a.output == "json" {
			return w.a.show(struct {
				Object string `json:"object"`
				client.Statement
			}{"list", page})
		}
		if first && period {
			out.bound("closing_balance", &page.Closing)
		}
		for i := range page.Data {
			out.entry(&page.Data[i])
		}
		if !page.HasMore && period {
			out.bound("opening_balance", &page.Opening)
		}
		if err := out.flush(); err != nil || !page.HasMore {
			return err
		}
		if !x.all {
			fmt.Fprintf(w.a.err, "there is more: --cursor %s, or --all\n", page.NextCursor)
			return nil
		}
		if n := len(page.Data); n > 0 {
			b.set(int64(page.Closing.Version-page.Data[n-1].Version), int64(page.Closing.Version-page.Opening.Version))
		}
		x.q.Cursor = page.NextCursor
	}
}

// statementPrinter is a form of a statement on the standard output.
type statementPrinter interface {
	entry(*client.Entry)
	bound(kind string, b *client.Bound)
	flush() error
}

func (w *wallet) statementPrinter(account string) statementPrinter {
	switch w.a.output {
	case "csv":
		out := csv.NewWriter(w.a.out)
		p := &rowPrinter{money: func(m journal.Amount) string { return strconv.FormatInt(int64(m), 10) },
			write: func(row []string) { _ = out.Write(append([]string{account}, row...)) }, done: func() error { out.Flush(); return out.Error() }}
		_ = out.Write(append([]string{"account"}, entryHead...))
		return p
	case "jsonl":
		e := json.NewEncoder(w.a.out)
		e.SetEscapeHTML(false)
		return &jsonlPrinter{to: e, account: account}
	}
	out := tabwriter.NewWriter(w.a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, strings.Join(entryHead, "\t"))
	return &rowPrinter{money: func(m journal.Amount) string { return w.money(m, w.asset) }, write: func(row []string) { fmt.Fprintln(out, strings.Join(row, "\t")) }, done: out.Flush}
}

var entryHead = []string{"version", "kind", "direction", "amount", "available_after", "reserved_after", "counterparty", "transfer", "created_at", "reference"}

// rowPrinter prints rows of entryHead.
type rowPrinter struct {
	money func(journal.Amount) string
	write func([]string)
	done  func() error
}

func (p *rowPrinter) entry(e *client.Entry) {
	id := e.Transfer
	if id == "" {
		id = e.Reservation
	}
	p.write([]string{strconv.FormatUint(e.Version, 10), e.Kind, e.Direction, p.money(e.Amount), p.money(e.AvailableAfter), p.money(e.ReservedAfter), e.Counterparty, id,
		e.CreatedAt.Format(entryTime), e.Reference})
}

const entryTime = "2006-01-02T15:04:05.000Z"

func (p *rowPrinter) bound(kind string, b *client.Bound) {
	at := ""
	if b.At != nil {
		at = b.At.Format(entryTime)
	}
	p.write([]string{strconv.FormatUint(b.Version, 10), kind, "", "", p.money(b.Available), p.money(b.Reserved), "", "", at, ""})
}

func (p *rowPrinter) flush() error { return p.done() }

// jsonlPrinter prints the entry shape, a line each.
type jsonlPrinter struct {
	to      *json.Encoder
	account string
	err     error
}

func (p *jsonlPrinter) print(v any) {
	if p.err == nil {
		p.err = p.to.Encode(v)
	}
}

func (p *jsonlPrinter) entry(e *client.Entry) {
	p.print(struct {
		Object string `json:"object"`
		*client.Entry
	}{"entry", e})
}

func (p *jsonlPrinter) bound(kind string, b *client.Bound) {
	p.print(struct {
		Object  string `json:"object"`
		Account string `json:"account"`
		*client.Bound
	}{kind, p.account, b})
}

func (p *jsonlPrinter) flush() error { return p.err }
