package walletd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"walletd/gateway"
	"walletd/journal"
)

// rivalServe is what the process of a rival is told.
type rivalServe struct {
	data, ready string
	connections int      // of a rival that does one transfer at a time on each
	statements  bool     // the PostgreSQL rivals keep them, too
	settings    []string // of PostgreSQL, besides the rival's own: name=value
}

// rivalServeCmd is hidden: the comparison starts a rival by it, as a process of its own, so that its CPU can be counted.
func (a *app) rivalServeCmd() *cobra.Command {
	var o rivalServe
	cmd := &cobra.Command{
		Use: "serve RIVAL", Short: "run a rival behind the wallet's front until it is stopped", Args: args(1, 1), Hidden: true,
		RunE: func(cmd *cobra.Command, given []string) error {
			k, err := rivalNamed(given[0])
			if err != nil {
				return exit(exitUsage, "%w", err)
			}
			return a.rivalServe(cmd.Context(), k, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "directory for its server")
	f.StringVar(&o.ready, "ready-file", "", "write addresses and pids here, as JSON, when it answers")
	o.flags(f)
	return cmd
}

func (o *rivalServe) flags(f *pflag.FlagSet) {
	f.IntVar(&o.connections, "server-connections", 32, "transfers that postgres-function or redis has under way, each on a connection")
	f.BoolVar(&o.statements, "statements", false, "let PostgreSQL keep statements (every change of an account, with the balance after it), as the wallet's projection does")
	f.StringArrayVar(&o.settings, "postgres-setting", nil, "another setting of PostgreSQL, which wins over the rival's own: name=value")
}

// rivalServe starts the server, puts the wallet's gateway before it, waits, and stops in reverse.
func (a *app) rivalServe(ctx context.Context, k rivalKind, o rivalServe) error {
	public, admin, err := listen("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer public.Close()
	defer admin.Close()
	parts, err := k.start(ctx, o)
	if err != nil {
		return err
	}
	defer parts.server.Stop()
	// One partition: a rival has one database, so that no transfer needs two acts.
	front, err := gateway.New(gateway.Config{Assets: journal.DevAssets, Partitions: 1, Shards: parts.shards, Reads: http.NotFoundHandler(), Logger: a.messages()})
	if err != nil {
		return err
	}
	operators := http.NewServeMux()
	operators.HandleFunc("POST /admin/v1/reconciliations", parts.reconcile)
	operators.Handle("GET /version", front)
	doors := []door{openDoor(operators, admin, a.messages()), openDoor(front, gateway.Listen(public), a.messages())}

	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, inner := errgroup.WithContext(inner)
	group.Go(func() error { return quiet(inner, parts.run(inner)) })
	for _, d := range doors {
		group.Go(d.serve)
	}
	info := readyInfo{HTTP: "http://" + public.Addr().String(), WS: "ws://" + public.Addr().String() + "/v1/ws", Admin: "http://" + admin.Addr().String(), Data: o.data}
	at := []readyServer{{Addr: parts.server.Addr, PID: parts.server.PID}}
	if parts.postgres {
		info.Postgres = at
	} else {
		info.Redis = at
	}
	err = writeReady(o.ready, &info)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-inner.Done():
		case <-parts.server.Exited():
			err = errors.New("the rival's server has ended")
		}
	}
	drain, cancel := context.WithTimeout(context.Background(), drainFor)
	defer cancel()
	front.Drain(drain)
	for _, d := range doors {
		d.fresh.close()
		if d.Shutdown(drain) != nil {
			_ = d.Close() // whoever is still there has had its time
		}
	}
	stop()
	return errors.Join(err, group.Wait())
}

// reconcile is the rival's audit, in the words that the bench asks the wallet with.
func (p *rivalParts) reconcile(w http.ResponseWriter, r *http.Request) {
	accounts, transfers, wrong, err := p.audit(r.Context())
	if err != nil {
		problem(w, "shard_unavailable", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone otherwise
		"ok": wrong == "", "first": wrong, "accounts": accounts, "transfers": transfers,
	})
}
