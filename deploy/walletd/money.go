package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/gateway/wire"
	"walletd/journal"
)

// wallet is the wallet that a command talks to, with what it says about its assets.
type wallet struct {
	*client.REST
	a      *app
	assets journal.Assets
	asset  string // of the account under view
}

// dial makes the REST client of a command and asks the wallet for its assets: people write decimals.
func (a *app) dial(ctx context.Context) (*wallet, error) {
	rest, err := client.NewREST(client.Config{URL: a.server, Token: a.token, Retries: 3, Timeout: 20 * time.Second})
	if err != nil {
		return nil, exit(exitUsage, "--server: %w", err)
	}
	w := &wallet{REST: rest, a: a}
	v, err := rest.Version(ctx)
	if err != nil {
		rest.Close()
		if client.Code(err) != "" {
			return nil, err
		}
		return nil, exit(exitRetry, "no wallet answers at %s (start one with `walletd dev`, or name another with --server): %w", a.server, err)
	}
	w.assets = v.Assets
	return w, nil
}

// asking makes a command of a conversation with the wallet.
func (a *app) asking(talk func(ctx context.Context, w *wallet, given []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, given []string) error {
		w, err := a.dial(cmd.Context())
		if err != nil {
			return err
		}
		defer w.Close()
		return talk(cmd.Context(), w, given)
	}
}

// amount reads a decimal in the asset's units: 12.50 USD is 1250.
func (w *wallet) amount(text, asset string) (journal.Amount, error) {
	exponent, err := w.exponent(asset)
	if err != nil {
		return 0, err
	}
	amount, err := wire.ParseDecimal(text, exponent)
	if err != nil {
		return 0, exit(exitUsage, "amount: %w", err)
	}
	return amount, nil
}

func (w *wallet) exponent(asset string) (int, error) {
	i, ok := w.assets.Lookup(asset)
	if !ok {
		known := make([]string, len(w.assets))
		for i := range w.assets {
			known[i] = w.assets[i].Code
		}
		return 0, exit(exitUsage, "asset %s is unknown to this wallet; it knows %s", asset, strings.Join(known, ", "))
	}
	return w.assets[i].Exponent, nil
}

// money writes an amount as a decimal, with its asset.
func (w *wallet) money(amount journal.Amount, asset string) string {
	exponent, err := w.exponent(asset)
	if err != nil {
		return fmt.Sprintf("%d %s (minor units)", amount, asset)
	}
	return wire.FormatDecimal(amount, exponent) + " " + asset
}

// show prints v as JSON, or as a table of these rows.
func (a *app) show(v any, rows ...[2]string) error {
	if a.output == "json" {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	if a.output == "csv" {
		return exit(exitUsage, "-o csv is for lists; write -o table or -o json")
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	}
	return w.Flush()
}

// replayed tells a person that nothing new has happened.
func (a *app) replayed(yes bool) {
	if yes {
		fmt.Fprintln(a.err, "this key was used before: this is its first outcome, nothing new has moved")
	}
}
