package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/bench"
	"walletd/bench/goals"
)

func (a *app) benchRESTCmd() *cobra.Command {
	c := goals.RESTConfig{}
	cmd := &cobra.Command{
		Use: "rest", Short: "transfers over REST beside a net/http handler that does nothing, in one run", Args: args(0, 0),
		Long: `rest starts a wallet of its own and, as another process, a net/http server that answers every request and does nothing. Both are
asked the same by the same client in turns. What counts is the CPU of all servers a transfer, as a multiple of the other's.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.rest(cmd.Context(), c) },
	}
	f := cmd.Flags()
	f.IntVar(&c.Rounds, "rounds", 5, "rounds, of which the median counts; another one warms up")
	f.DurationVar(&c.Duration, "duration", 2*time.Second, "of each load in a round")
	f.IntVar(&c.Connections, "connections", 256, "connections, each with one request under way")
	f.IntVar(&c.Wallet.Accounts, "accounts", 10_000, "accounts")
	return cmd
}

func (a *app) rest(ctx context.Context, c goals.RESTConfig) error {
	c.Wallet.Token, c.Wallet.Connections = a.token, 4
	var report goals.RESTReport
	err := a.withOwnWallet(ctx, ownWallet{}, func(ctx context.Context, dir, ready string) error {
		if err := c.Wallet.ReadReadyFile(ready); err != nil {
			return err
		}
		return a.withNothing(ctx, dir, func(ctx context.Context, url string, pid int) (err error) {
			c.Nothing, c.NothingPID = url, pid
			bar := a.bar("bench")
			defer bar.done()
			c.Progress = bar.stage
			report, err = goals.REST(ctx, c)
			return err
		})
	})
	if err != nil {
		return err
	}
	return a.measured(&report, report.Void, report.Reason)
}

// withNothing starts a server that does nothing as another process.
func (a *app) withNothing(ctx context.Context, dir string, fn func(ctx context.Context, url string, pid int) error) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	path := filepath.Join(dir, "nothing.json")
	group, inner := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(inner)
	group.Go(func() error { return a.child(inner, self, "bench", "nothing", "--ready-file", path) })
	group.Go(func() error {
		defer stop()
		if err := awaitFile(inner, path); err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		var info readyInfo
		if err := json.Unmarshal(b, &info); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return fn(inner, info.HTTP, info.PID)
	})
	return group.Wait()
}

// benchNothingCmd is the server of withNothing.
func (a *app) benchNothingCmd() *cobra.Command {
	var ready string
	cmd := &cobra.Command{
		Use: "nothing", Short: "a server that answers every request and does nothing", Args: args(0, 0), Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return exit(exitFailed, "%w", err)
			}
			server := &http.Server{Handler: bench.Nothing(), ReadHeaderTimeout: 10 * time.Second}
			defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })()
			if err := writeReady(ready, &readyInfo{HTTP: "http://" + listener.Addr().String()}); err != nil {
				return err
			}
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return exit(exitFailed, "%w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&ready, "ready-file", "", "write its address and pid here")
	return cmd
}
