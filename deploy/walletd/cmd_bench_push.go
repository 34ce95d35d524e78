package walletd

import (
	"context"

	"github.com/spf13/cobra"

	"walletd/bench"
)

func (a *app) benchPushCmd() *cobra.Command {
	c := bench.PushConfig{}
	cmd := &cobra.Command{
		Use: "push", Short: "what subscribers cost: memory of each, CPU of a push", Args: args(0, 0),
		Long: `push starts a wallet of its own and pays accounts twice: while nobody watches, and with that many WebSocket connections, each subscribed
to one of them. It counts the pushes: when one is missing, the run is void.`,
		Example: "  walletd bench push --subscribers 10000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Subscribers < 1 || c.Accounts < 1 || c.Transfers < 1 || c.PerSecond < 1 {
				return exit(exitUsage, "--subscribers, --accounts, --transfers and --rate are 1 or more")
			}
			c.Token = a.token
			var report bench.PushReport
			err := a.withOwnWallet(cmd.Context(), ownWallet{}, func(ctx context.Context, _, ready string) (err error) {
				if err := c.ReadReadyFile(ready); err != nil {
					return err
				}
				report, err = bench.Push(ctx, c)
				return err
			})
			if err != nil {
				return err
			}
			return a.measured(&report, report.Void, report.Reason)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Subscribers, "subscribers", 10_000, "WebSocket connections")
	f.IntVar(&c.Accounts, "accounts", 1000, "accounts that are paid and subscribed to")
	f.IntVar(&c.Transfers, "transfers", 10_000, "in each of the two runs")
	f.IntVar(&c.PerSecond, "rate", 2000, "transfers a second")
	return cmd
}
