package walletd

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
)

func (a *app) watchCmd() *cobra.Command {
	var since uint64
	cmd := &cobra.Command{
		Use: "watch account:ID", Short: "print what happens to an account, as soon as it is durable, until Ctrl-C", Args: args(1, 1),
		Long: `watch prints every event of an account in order of its versions: at once those behind --since, then each as it becomes durable. Without
--since, or where the events since are too many, it begins with the balance. A connection that is lost is made again, and goes on where it was.`,
		Example: "  walletd watch account:alice\n  walletd watch account:alice --since 15 -o json",
		RunE: func(cmd *cobra.Command, given []string) error {
			id, ok := strings.CutPrefix(given[0], "account:")
			if !ok {
				return exit(exitUsage, "%q is no channel; write account:%s", given[0], given[0])
			}
			return a.watching(cmd.Context(), id, since, func(w *wallet, p *client.Push) error {
				if a.output == "json" {
					return json.NewEncoder(a.out).Encode(p)
				}
				return a.printPush(w, p)
			})
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "version behind which to begin; 0: with the balance")
	return cmd
}

// watchBalance prints the balance whenever it changes.
func (a *app) watchBalance(cmd *cobra.Command, id string) error {
	asset := ""
	return a.watching(cmd.Context(), id, 0, func(w *wallet, p *client.Push) error {
		b := client.Balance{Account: id, Asset: asset, Version: p.Version}
		if p.Snapshot != nil {
			b, asset = *p.Snapshot, p.Snapshot.Asset
		} else {
			b.Available, b.Reserved, b.Position = p.Event.Available, p.Event.Reserved, p.Event.Position
		}
		return w.showBalance(&b)
	})
}

// watching tells show of every push, until Ctrl-C.
func (a *app) watching(ctx context.Context, id string, since uint64, show func(*wallet, *client.Push) error) error {
	w, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	c, err := client.Dial(ctx, client.Config{URL: a.server, Token: a.token})
	if err != nil {
		return exit(exitRetry, "%w", err)
	}
	defer func() { _ = c.Close() }()
	s, err := c.Subscribe(ctx, id, since)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case p, more := <-s.Pushes():
			if !more {
				return fmt.Errorf("watch %s: %w", id, s.Err())
			}
			if err := show(w, &p); err != nil {
				return err
			}
		}
	}
}

func (a *app) printPush(w *wallet, p *client.Push) error {
	columns := []string{fmt.Sprint(p.Version), "", "balance", "", "", "", "", ""}
	switch e := p.Event; {
	case e != nil:
		amount := ""
		if e.Amount > 0 {
			amount = w.money(e.Amount, e.Asset)
		}
		columns = []string{fmt.Sprint(p.Version), e.CreatedAt.Format(time.RFC3339Nano), e.Type, amount, e.Counterparty, w.money(e.Available, e.Asset), w.money(e.Reserved, e.Asset), e.Transfer + e.Reservation}
	case p.Snapshot != nil:
		b := p.Snapshot
		columns[5], columns[6] = w.money(b.Available, b.Asset), w.money(b.Reserved, b.Asset)
	}
	if a.output == "csv" {
		out := csv.NewWriter(a.out)
		_ = out.Write(columns) // Flush's error is its, too
		out.Flush()
		return out.Error()
	}
	_, err := fmt.Fprintf(a.out, "%-6s %-24s %-22s %14s %-16s available %s, reserved %s %s\n", columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6], columns[7])
	return err
}
