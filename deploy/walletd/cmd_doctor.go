package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// level is how a finding turned out.
type level string

const (
	levelOK   level = "OK"
	levelWarn level = "WARN" // works, and will hurt
	levelFail level = "FAIL" // does not work, or may lose money
)

// finding is one line of the doctor's.
type finding struct {
	Level  level  `json:"level"`
	Check  string `json:"check"`
	Finds  string `json:"finds"`
	Remedy string `json:"remedy,omitempty"`
}

// doctor collects findings. dev is what dev relaxes.
type doctor struct {
	dev      bool
	findings []finding
}

func (d *doctor) ok(check, finds string, args ...any) {
	d.findings = append(d.findings, finding{levelOK, check, fmt.Sprintf(finds, args...), ""})
}

func (d *doctor) warn(check, remedy, finds string, args ...any) {
	d.findings = append(d.findings, finding{levelWarn, check, fmt.Sprintf(finds, args...), remedy})
}

func (d *doctor) fail(check, remedy, finds string, args ...any) {
	d.findings = append(d.findings, finding{levelFail, check, fmt.Sprintf(finds, args...), remedy})
}

// problems tells every error of a joined one by itself: each carries its own remedy.
func (d *doctor) problems(check, remedy string, err error) {
	switch e := err.(type) { //nolint:errorlint // the tree is walked, node by node
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if one != nil {
				d.problems(check, remedy, one)
			}
		}
		return
	case interface{ Unwrap() error }:
		if several, ok := e.Unwrap().(interface{ Unwrap() []error }); ok && len(several.Unwrap()) > 1 {
			for _, one := range several.Unwrap() {
				d.problems(check, remedy, one)
			}
			return
		}
	}
	d.fail(check, remedy, "%v", err)
}

func (d *doctor) failed() (n int) {
	for _, f := range d.findings {
		if f.Level == levelFail {
			n++
		}
	}
	return n
}

// doctorLimit bounds one look at one server.
const doctorLimit = 5 * time.Second

func (a *app) doctorCmd() *cobra.Command {
	var path, data string
	var dev bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "look at everything that a wallet stands on, and say what is wrong and what to do", Args: args(0, 0),
		Long: `doctor looks at the machine, and at the servers of a wallet: of a cluster (-c walletd.yaml), of a data directory (--data),
or of a running process (--server, the default). One line each: OK, WARN (works, and will hurt), FAIL (does not work, or may
lose money), and the remedy. It changes nothing, but for a file in the data directory that it writes and removes.
Exit code 0: nothing fails, though there may be warnings; 1: something fails.`,
		Example: "  walletd doctor -c walletd.yaml\n  walletd doctor --data ~/.local/share/walletd/dev -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{dev: dev}
			if err := a.examine(cmd.Context(), d, path, data); err != nil {
				return err
			}
			if err := a.showFindings(d.findings); err != nil {
				return err
			}
			if n := d.failed(); n > 0 {
				return exit(exitFailed, "%d of %d checks fail", n, len(d.findings))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&path, "config", "c", "", "walletd.yaml of a cluster")
	f.StringVar(&data, "data", "", "data directory of a dev wallet")
	f.BoolVar(&dev, "dev", false, "accept what dev accepts: one broker, no access list")
	return cmd
}

func (a *app) examine(ctx context.Context, d *doctor, path, data string) error {
	switch {
	case path != "":
		c, _, err := loadConfig(path, nil)
		if err != nil {
			return exit(exitUsage, "%w", err)
		}
		if err := c.validate(roles{init: true}); err != nil {
			return exit(exitUsage, "%w", err)
		}
		d.dev, c.Dev = d.dev || c.Dev, d.dev || c.Dev
		d.machine(c.Data)
		d.listeners(ctx, map[string]string{"http": c.HTTP, "admin": c.Admin})
		d.cluster(ctx, &c)
	case data != "":
		dir, err := readDataDir(data)
		if err != nil {
			return err
		}
		d.dev = true
		d.machine(dir.path)
		d.dataDir(ctx, dir)
	default:
		d.machine("")
		d.process(ctx, a.server)
	}
	return nil
}

func (a *app) showFindings(findings []finding) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]any{"object": "list", "data": findings})
	}
	return printFindings(a.out, findings)
}

func printFindings(out io.Writer, findings []finding) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range findings {
		line := fmt.Sprintf("%s\t%s\t%s", f.Level, f.Check, f.Finds)
		if f.Remedy != "" {
			line += "; " + f.Remedy
		}
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}
