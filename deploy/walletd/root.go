package walletd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"walletd/deploy/local"
	"walletd/gateway/client"
	"walletd/gateway/wire"
	"walletd/journal/filelog"
)

// Exit codes beyond those of semantics section 1.
const (
	exitFailed    = 1 // a fault that is none of the wallet's answers
	exitUsage     = 2
	exitRetry     = 7 // also when no server answers
	exitDifferent = 9 // reconcile, verify, verify-logic: a difference was found
)

// exitError carries an exit code with its message.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exit(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// app is what all commands share: the streams, and the flags of the root.
type app struct {
	in       io.Reader
	out, err io.Writer
	output   string // table, json, csv
	server   string
	token    string

	journalFS    filelog.FS    // tests: under the file journal; nil = the machine's
	broker       *local.Server // dev's own Kafka, where it has one
	journalDelay time.Duration // before every append becomes durable: dev and cluster up, for measurements
}

// Main runs one command and answers its exit code. Data goes to out, messages to errs. The first Ctrl-C ends the
// command cleanly, the second at once.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on a signal does what it does by default
	}()
	signal.Ignore(syscall.SIGXFSZ) // a limit of file sizes is met as an error, like a full disk
	a := &app{in: in, out: out, err: errs}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(errs, "walletd: "+err.Error())
	}
	return exitCode(err)
}

// exitCode is 0, or what semantics section 1 says about the refusal in err.
func exitCode(err error) int {
	var exits *exitError
	switch code := client.Code(err); {
	case err == nil:
		return 0
	case errors.As(err, &exits):
		return exits.code
	case code != "":
		return wire.Lookup(code).Exit
	case slices.ContainsFunc(cobraUsage, func(prefix string) bool { return strings.HasPrefix(err.Error(), prefix) }):
		return exitUsage
	}
	return exitFailed
}

// cobraUsage begins the errors that cobra makes itself of a command that cannot be understood.
var cobraUsage = []string{"unknown command", "if any flags in the group", "at least one of the flags in the group", "required flag"}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "walletd",
		Short: "a wallet that moves money between accounts, and can prove it",
		Long: `walletd moves money between accounts: transfers over WebSocket and REST, balances in Redis shards,
every event in a durable journal from which everything can be rebuilt.

    walletd dev      runs all of it on this machine; no other set-up is needed`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit(exitUsage, "%w (see %s --help)", err, c.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "table, json or csv; some commands know more")
	f.StringVar(&a.server, "server", envOr("WALLETD_SERVER", "http://127.0.0.1:8080"), "address of the wallet")
	f.StringVar(&a.token, "token", os.Getenv("WALLETD_TOKEN"), "bearer token, where the wallet wants one")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		forms := append([]string{"table", "json", "csv"}, strings.Fields(cmd.Annotations[moreForms])...)
		if !slices.Contains(forms, a.output) {
			return exit(exitUsage, "-o %s: want %s or %s", a.output, strings.Join(forms[:len(forms)-1], ", "), forms[len(forms)-1])
		}
		return nil
	}
	root.AddCommand(a.devCmd(), a.roleCmd("gateway"), a.roleCmd("keeper"), a.roleCmd("projector"), a.roleCmd("all"), a.clusterCmd(), a.configCmd(),
		a.accountCmd(), a.balanceCmd(), a.watchCmd(), a.entriesCmd(), a.transferCmd(), a.transfersCmd(), a.reserveCmd(), a.confirmCmd(), a.cancelCmd(),
		a.partitionCmd(), a.shardCmd(), a.journalCmd(), a.eventsCmd(), a.webhooksCmd(), a.snapshotCmd(), a.drillCmd(), a.reconcileCmd(), a.whyCmd(), a.verifyLogicCmd(), a.benchCmd(), a.doctorCmd(), a.versionCmd())
	return root
}

// moreForms annotates a command that knows other forms of output than table, json and csv.
const moreForms = "forms"

// args refuses a wrong number of arguments with an exit code and the way to write it.
func args(min, max int) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < min || len(given) > max {
			return exit(exitUsage, "%s: %d arguments given; write: %s", c.CommandPath(), len(given), c.UseLine())
		}
		return nil
	}
}

// messages logs what a command's parts have to say.
func (a *app) messages() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: logLevel()}))
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// terminal reports whether w is one: progress bars and status lines are for people.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
