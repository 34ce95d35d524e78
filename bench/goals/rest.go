package goals

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"walletd/bench"
	"walletd/bench/rounds"
)

// RESTTarget is what a transfer over REST may cost all servers, as a multiple of a net/http handler that does nothing.
const RESTTarget = 2.0

// RESTConfig says where and how long.
type RESTConfig struct {
	Wallet      bench.Config
	Nothing     string // address of a server of bench.Nothing: http://…
	NothingPID  int
	Connections int
	Rounds      int
	Duration    time.Duration
	Progress    func(stage string, share float64)
}

// RESTReport is what was measured.
type RESTReport struct {
	Goals       []Goal        `json:"goals"`
	Nothing     rounds.Spread `json:"nothing_cpu_us"`
	Loads       []Line        `json:"loads"`
	Connections int           `json:"connections"`
	Rounds      int           `json:"rounds"`
	DurationS   float64       `json:"duration_s"`
	Audit       bench.Audit   `json:"audit"`
	Void        bool          `json:"void"`
	Reason      string        `json:"reason,omitempty"`
}

const (
	restNothing = "a handler that does nothing"
	restSame    = "REST, same"
	restCross   = "REST, cross"
)

// REST measures transfers over REST and the same requests to a handler that does nothing, in turns.
func REST(ctx context.Context, c RESTConfig) (RESTReport, error) {
	if c.Rounds < 1 || c.Connections < 1 || c.Duration < 50*time.Millisecond {
		return RESTReport{}, fmt.Errorf("bench rest: %d rounds of %v on %d connections: at least one of 50 ms on one", c.Rounds, c.Duration, c.Connections)
	}
	c.Wallet.Progress = c.Progress
	session, err := bench.Open(ctx, c.Wallet)
	if err != nil {
		return RESTReport{}, err
	}
	defer session.Close()
	m := measured{reports: map[string][]bench.Report{}}
	for round := range c.Rounds + 1 { // the first warms up
		for i, name := range []string{restNothing, restSame, restCross} {
			c.Progress(fmt.Sprintf("round %d of %d", round, c.Rounds), float64(i)/3)
			l := bench.Load{Distribution: bench.Uniform, Connections: c.Connections, Duration: c.Duration, Seed: 1}
			if name == restCross {
				l.Cross = 1
			}
			measure := session.MeasureREST
			if name == restNothing {
				measure = func(ctx context.Context, l bench.Load) (bench.Report, error) {
					return session.MeasureNothing(ctx, l, c.Nothing, c.NothingPID)
				}
			}
			r, err := measure(ctx, l)
			if err != nil {
				return RESTReport{}, fmt.Errorf("round %d: %s: %w", round, name, err)
			}
			if r.Acknowledged == 0 {
				return RESTReport{}, fmt.Errorf("round %d: %s: nothing was acknowledged: %v", round, name, r.Refused)
			}
			if round > 0 {
				m.reports[name] = append(m.reports[name], r)
			}
		}
	}
	audit, err := session.Audit(ctx)
	if err != nil {
		return RESTReport{}, fmt.Errorf("verify: %w", err)
	}
	return c.report(&m, audit), nil
}

func (c *RESTConfig) report(m *measured, audit bench.Audit) RESTReport {
	nothing := m.figures(restNothing, server)
	r := RESTReport{Nothing: rounds.Of(nothing), Connections: c.Connections, Rounds: c.Rounds, DurationS: c.Duration.Seconds(), Audit: audit,
		Void: len(audit.Reasons) > 0, Reason: strings.Join(audit.Reasons, "; ")}
	for _, name := range []string{restSame, restCross} {
		r.Goals = append(r.Goals, ratio(name, "× nothing", RESTTarget, over(m.figures(name, server), nothing)))
	}
	for _, name := range []string{restNothing, restSame, restCross} {
		r.Loads = append(r.Loads, m.line(name))
	}
	return r
}

// Table is the report for people.
func (r *RESTReport) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "one transfer a request, %d connections, median of %d rounds of %g s each (range); nothing: %s CPU-µs a request\n\n", r.Connections, r.Rounds, r.DurationS, r.Nothing.Fixed(2))
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	writeGoals(t, r.Goals)
	_ = t.Flush() // into memory
	out.WriteByte('\n')
	t = tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	writeLines(t, r.Loads)
	_ = t.Flush()
	writeVerdict(&out, r.Void, r.Reason)
	return out.String()
}
