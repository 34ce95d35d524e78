package walletd

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"walletd/gateway/client"
	"walletd/journal"
)

func (a *app) transferCmd() *cobra.Command {
	var q client.Transfer
	var dry bool
	cmd := &cobra.Command{
		Use: "transfer FROM TO AMOUNT ASSET", Short: "move money", Args: args(4, 4),
		Example: "  walletd transfer alice bob 12.50 USD --key order-42",
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) (err error) {
			q.From, q.To, q.Asset = given[0], given[1], given[3]
			if q.Amount, err = w.amount(given[2], q.Asset); err != nil {
				return err
			}
			a.madeKey(&q.Key)
			call := w.Transfer
			if dry {
				call = w.DryRun
			}
			v, err := call(ctx, q)
			if err != nil {
				return err
			}
			a.replayed(v.Replayed)
			return w.showTransfer(&v)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Key, "key", "", "idempotency key: repeat a command with the same key and money moves once")
	f.StringVar(&q.Reference, "reference", "", "free text")
	f.BoolVar(&dry, "dry-run", false, "say what would happen, store nothing")
	return cmd
}

// madeKey makes a key where none was given, and says it before anything is sent: whoever must repeat the command needs it.
func (a *app) madeKey(key *string) {
	if *key == "" {
		*key = client.NewKey()
		_, _ = a.err.Write([]byte("key " + *key + "\n"))
	}
}

func (w *wallet) showTransfer(v *client.TransferInfo) error {
	rows := [][2]string{{"transfer", v.ID}, {"status", v.Status}, {"code", v.Code}, {"from", v.From}, {"to", v.To}, {"amount", w.money(v.Amount, v.Asset)},
		{"key", v.Key}, {"reference", v.Reference}, {"position", positionText(v.Position)}}
	for _, l := range v.Legs {
		rows = append(rows, [2]string{"leg", l.Direction + " " + l.Account + " " + w.money(l.Amount, v.Asset) + ", " + l.Phase})
	}
	if !v.CreatedAt.IsZero() {
		rows = append(rows, [2]string{"created at", v.CreatedAt.Format(time.RFC3339Nano)})
	}
	return w.a.show(v, rows...)
}

func positionText(p client.Position) string {
	if p.IsZero() {
		return ""
	}
	return p.String()
}

func (a *app) transfersCmd() *cobra.Command {
	var from, key string
	show := &cobra.Command{
		Use: "show ID | show --from ACCOUNT --key KEY", Short: "look a transfer up by its id, or by payer and key after a time-out", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if (len(given) == 1) == (from != "" || key != "") {
				return exit(exitUsage, "name the transfer's id, or --from and --key")
			}
			w, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer w.Close()
			if len(given) == 1 {
				v, err := w.TransferByID(cmd.Context(), given[0])
				if err != nil {
					return err
				}
				return w.showTransfer(&v)
			}
			v, found, err := w.TransferByKey(cmd.Context(), from, key)
			switch {
			case err != nil:
				return err
			case !found:
				return exit(3, "no transfer of %s has the key %s: nothing has moved", from, key)
			}
			return w.showTransfer(&v)
		},
	}
	show.Flags().StringVar(&from, "from", "", "the payer")
	show.Flags().StringVar(&key, "key", "", "the client's key")
	cmd := &cobra.Command{Use: "transfers", Short: "look transfers up"}
	cmd.AddCommand(show)
	return cmd
}

func (a *app) reserveCmd() *cobra.Command {
	var q client.Reserve
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "reserve FROM [TO] AMOUNT ASSET", Short: "take an amount aside, to be confirmed or cancelled later", Args: args(3, 4),
		Example: "  walletd reserve alice bob 5.00 USD --key hotel-7 --expires 24h",
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) (err error) {
			n := len(given)
			q.From, q.Asset = given[0], given[n-1]
			if n == 4 {
				q.To = given[1]
			}
			if q.Amount, err = w.amount(given[n-2], q.Asset); err != nil {
				return err
			}
			q.ExpiresInS = int(expires / time.Second)
			a.madeKey(&q.Key)
			v, err := w.Reserve(ctx, q)
			if err != nil {
				return err
			}
			a.replayed(v.Replayed)
			return w.showReservation(&v)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Key, "key", "", "idempotency key")
	f.StringVar(&q.Reference, "reference", "", "free text")
	f.DurationVar(&expires, "expires", 0, "released by itself after this time (default a week)")
	return cmd
}

func (w *wallet) showReservation(v *client.Reservation) error {
	expires := ""
	if !v.ExpiresAt.IsZero() {
		expires = v.ExpiresAt.Format(time.RFC3339Nano)
	}
	money := func(m journal.Amount) string {
		if v.Asset == "" {
			return ""
		}
		return w.money(m, v.Asset)
	}
	return w.a.show(v, [2]string{"reservation", v.ID}, [2]string{"status", v.Status}, [2]string{"from", v.From}, [2]string{"to", v.To},
		[2]string{"amount", money(v.Amount)}, [2]string{"remaining", money(v.Remaining)}, [2]string{"captured", money(v.Captured)},
		[2]string{"key", v.Key}, [2]string{"expires at", expires}, [2]string{"position", positionText(v.Position)})
}

func (a *app) confirmCmd() *cobra.Command {
	var q client.Confirm
	var amount string
	cmd := &cobra.Command{
		Use: "confirm RESERVATION", Short: "capture a reservation, in whole or in part", Args: args(1, 1),
		Example: "  walletd confirm rs_… --amount 3.00",
		RunE: a.asking(func(ctx context.Context, w *wallet, given []string) (err error) {
			q.Reservation = given[0]
			if amount != "" {
				r, err := w.Reservation(ctx, q.Reservation)
				if err != nil {
					return err
				}
				if q.Amount, err = w.amount(amount, r.Asset); err != nil {
					return err
				}
			}
			a.madeKey(&q.Key)
			v, err := w.Confirm(ctx, q)
			if err != nil {
				return err
			}
			a.replayed(v.Replayed)
			return w.showReservation(&v)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Key, "key", "", "idempotency key")
	f.StringVar(&amount, "amount", "", "how much (default: all that remains)")
	f.StringVar(&q.To, "to", "", "the payee, where the reservation names none")
	f.BoolVar(&q.KeepOpen, "keep-open", false, "do not release the rest")
	return cmd
}

func (a *app) cancelCmd() *cobra.Command {
	var from, key string
	cmd := &cobra.Command{
		Use: "cancel RESERVATION | cancel --from ACCOUNT --key KEY", Short: "release a reservation, also one whose answer never came", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if (len(given) == 1) == (from != "" || key != "") {
				return exit(exitUsage, "name the reservation's id, or --from and --key")
			}
			w, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer w.Close()
			var v client.Reservation
			if len(given) == 1 {
				v, err = w.Cancel(cmd.Context(), strings.TrimSpace(given[0]))
			} else {
				v, err = w.CancelKey(cmd.Context(), from, key)
			}
			if err != nil {
				return err
			}
			return w.showReservation(&v)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the payer")
	cmd.Flags().StringVar(&key, "key", "", "the client's key")
	return cmd
}
