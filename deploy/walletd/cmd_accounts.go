package walletd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/journal"
)

func (a *app) accountCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "account", Short: "open, read and change accounts"}
	cmd.AddCommand(a.accountCreateCmd(), a.accountShowCmd(), a.accountSetCmd())
	return cmd
}

func (a *app) accountCreateCmd() *cobra.Command {
	var q client.AccountCreate
	var limit string
	var metadata map[string]string
	cmd := &cobra.Command{
		Use: "create ID --asset CODE", Short: "open an account; the same again answers the account that is there", Args: args(0, 1),
		Example: "  walletd account create alice --asset USD",
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) (err error) {
			if len(given) == 1 {
				q.ID = given[0]
			}
			if limit != "" {
				if q.OverdraftLimit, err = w.amount(limit, q.Asset); err != nil {
					return err
				}
			}
			q.Metadata = metadata
			v, err := w.CreateAccount(ctx, q)
			if err != nil {
				return err
			}
			return w.showAccount(&v)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Asset, "asset", "", "currency code: USD")
	f.StringVar(&q.Owner, "owner", "", "whose it is, free text")
	f.BoolVar(&q.Issuance, "issuance", false, "money enters and leaves the system here: it may go negative")
	f.StringVar(&limit, "overdraft-limit", "", "how far it may go negative: 100.00")
	f.StringToStringVar(&metadata, "metadata", nil, "key=value, several times")
	return cmd
}

func (w *wallet) showAccount(v *client.Account) error {
	status := v.Status
	if v.Frozen.Sending {
		status += ", frozen sending"
	}
	if v.Frozen.Receiving {
		status += ", frozen receiving"
	}
	if v.Issuance {
		status += ", issuance"
	}
	limit := ""
	if v.OverdraftLimit > 0 {
		limit = w.money(v.OverdraftLimit, v.Asset)
	}
	return w.a.show(v, [2]string{"account", v.ID}, [2]string{"available", w.money(v.Available, v.Asset)}, [2]string{"reserved", w.money(v.Reserved, v.Asset)},
		[2]string{"status", status}, [2]string{"owner", v.Owner}, [2]string{"overdraft limit", limit},
		[2]string{"version", strconv.FormatUint(v.Version, 10)}, [2]string{"created at", v.CreatedAt.Format(time.RFC3339)})
}

func (a *app) accountShowCmd() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "show ID", Short: "read an account; --at: its balance as it was then", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if at != "" {
				return a.balance(cmd, given[0], at)
			}
			w, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer w.Close()
			v, err := w.Account(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			return w.showAccount(&v)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "a time: 2026-11-20T00:00:00Z, or a date; or a position: 3.1.42")
	return cmd
}

func (a *app) accountSetCmd() *cobra.Command {
	var freeze, thaw []string
	var closes, opens bool
	var limit string
	var version uint64
	cmd := &cobra.Command{
		Use: "set ID", Short: "freeze, thaw, close, reopen an account, or change its overdraft limit", Args: args(1, 1),
		Example: "  walletd account set alice --freeze sending\n  walletd account set alice --close",
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) (err error) {
			var p client.AccountPatch
			if p.Frozen, err = frozenPatch(freeze, thaw); err != nil {
				return err
			}
			if closes {
				p.Status = "closed"
			}
			if opens {
				p.Status = "open"
			}
			if limit != "" {
				v, err := w.Account(ctx, given[0])
				if err != nil {
					return err
				}
				amount := journal.Amount(0)
				if strings.Trim(limit, "0.") != "" {
					if amount, err = w.amount(limit, v.Asset); err != nil {
						return err
					}
				}
				p.OverdraftLimit = &amount
			}
			v, err := w.PatchAccount(ctx, given[0], p, version)
			if err != nil {
				return err
			}
			return w.showAccount(&v)
		}),
	}
	f := cmd.Flags()
	f.StringSliceVar(&freeze, "freeze", nil, "sending, receiving")
	f.StringSliceVar(&thaw, "thaw", nil, "sending, receiving")
	f.BoolVar(&closes, "close", false, "close it (only with nothing on it)")
	f.BoolVar(&opens, "reopen", false, "open it again")
	f.StringVar(&limit, "overdraft-limit", "", "how far it may go negative: 100.00")
	f.Uint64Var(&version, "if-version", 0, "only if the account has this version")
	cmd.MarkFlagsMutuallyExclusive("close", "reopen")
	cmd.MarkFlagsOneRequired("freeze", "thaw", "close", "reopen", "overdraft-limit")
	return cmd
}

func frozenPatch(freeze, thaw []string) (*client.FrozenPatch, error) {
	if len(freeze)+len(thaw) == 0 {
		return nil, nil
	}
	p := &client.FrozenPatch{}
	for _, side := range [...]struct {
		names []string
		value bool
	}{{freeze, true}, {thaw, false}} {
		for _, name := range side.names {
			switch name {
			case "sending":
				p.Sending = &side.value
			case "receiving":
				p.Receiving = &side.value
			default:
				return nil, exit(exitUsage, "%q cannot be frozen; sending or receiving can", name)
			}
		}
	}
	return p, nil
}

func (a *app) balanceCmd() *cobra.Command {
	var at string
	var watch bool
	cmd := &cobra.Command{
		Use: "balance ID", Short: "an account's balance, strong; --at: as it was then", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if !watch {
				return a.balance(cmd, given[0], at)
			}
			return a.watchBalance(cmd, given[0])
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "a time: 2026-11-20T00:00:00Z, or a date; or a position: 3.1.42")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again whenever it changes, until Ctrl-C")
	return cmd
}

func (a *app) balance(cmd *cobra.Command, id, at string) error {
	w, err := a.dial(cmd.Context())
	if err != nil {
		return err
	}
	defer w.Close()
	var v client.Balance
	if at == "" {
		v, err = w.Balance(cmd.Context(), id)
	} else if p, perr := journal.ParsePosition(at); perr == nil {
		v, err = w.BalanceBehind(cmd.Context(), id, client.Position{Position: p})
	} else {
		when, perr := parseTime(at)
		if perr != nil {
			return perr
		}
		v, err = w.BalanceAt(cmd.Context(), id, when)
	}
	if err != nil {
		return err
	}
	return w.showBalance(&v)
}

func (w *wallet) showBalance(v *client.Balance) error {
	return w.a.show(v, [2]string{"account", v.Account}, [2]string{"available", w.money(v.Available, v.Asset)}, [2]string{"reserved", w.money(v.Reserved, v.Asset)},
		[2]string{"version", strconv.FormatUint(v.Version, 10)}, [2]string{"position", v.Position.String()})
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, exit(exitUsage, "%q is no time; write 2026-11-20T00:00:00Z or 2026-11-20", text)
}
