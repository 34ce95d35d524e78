package rival

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"walletd/bench"
	"walletd/bench/rounds"
)

// Comparison says what is measured: the same load on the wallet and on a rival, in turns.
type Comparison struct {
	Name     string       // of the rival
	Promises string       // what it leaves out or does otherwise, in one line
	Wallet   bench.Config // with the load
	Rival    bench.Config // its load is the wallet's
	Rounds   int          // measured; one more warms up
	Progress func(stage string, share float64)
}

// RoundsMax bounds a comparison.
const RoundsMax = 100

// Side is one of the two. CPU is in µs a transfer.
type Side struct {
	TransfersPerS rounds.Spread `json:"transfers_per_s"`
	P50MS         rounds.Spread `json:"latency_p50_ms"`
	P99MS         rounds.Spread `json:"latency_p99_ms"`
	Server        rounds.Spread `json:"server_cpu_us"`  // all of the following
	Gateway       rounds.Spread `json:"gateway_cpu_us"` // the walletd process: of the wallet keeper and projector, too
	Redis         rounds.Spread `json:"redis_cpu_us"`
	Postgres      rounds.Spread `json:"postgres_cpu_us"`
	Client        rounds.Spread `json:"client_cpu_us"`

	Runs []bench.Report `json:"runs"`
}

// Compared is what came of it. Ratio is of the rival's server CPU to the wallet's, round by round.
type Compared struct {
	Rival    string        `json:"rival"`
	Promises string        `json:"promises"`
	Workload string        `json:"workload"`
	Rounds   int           `json:"rounds"`
	Wallet   Side          `json:"wallet"`
	Against  Side          `json:"against"`
	Ratio    rounds.Spread `json:"server_cpu_ratio"`
	FloorUS  float64       `json:"floor_redis_cpu_us,omitempty"` // of the same minutes, for this share of cross-partition transfers
	Void     bool          `json:"void"`
	Reason   string        `json:"reason,omitempty"` // why
}

// Compare measures both in turns, so that noise meets them alike; who begins changes with every round. At the end both are
// audited: what does not add up makes everything void.
func Compare(ctx context.Context, c Comparison) (Compared, error) {
	if c.Rounds < 1 || c.Rounds > RoundsMax {
		return Compared{}, fmt.Errorf("rounds: %d, want 1 to %d", c.Rounds, RoundsMax)
	}
	load := bench.Load{Workload: c.Wallet.Workload, Distribution: c.Wallet.Distribution, Cross: c.Wallet.Cross, Batch: c.Wallet.Batch, Connections: c.Wallet.Connections,
		InFlight: c.Wallet.InFlight, Rate: c.Wallet.Rate, Duration: c.Wallet.Duration, Seed: c.Wallet.Seed}
	out := Compared{Rival: c.Name, Promises: c.Promises, Rounds: c.Rounds}
	wallet := &contender{name: "wallet", cfg: c.Wallet, side: &out.Wallet}
	rival := &contender{name: c.Name, cfg: c.Rival, side: &out.Against}
	turns := []*contender{wallet, rival}
	for _, t := range turns {
		t.cfg.Progress = func(stage string, share float64) { c.Progress(t.name+": "+stage, share) }
		var err error
		if t.session, err = bench.Open(ctx, t.cfg); err != nil {
			return out, fmt.Errorf("%s: %w", t.name, err)
		}
		defer t.session.Close()
	}
	for round := range c.Rounds + 1 {
		for _, t := range turns {
			r, err := t.session.Measure(ctx, load)
			if err != nil {
				return out, fmt.Errorf("round %d, %s: %w", round, t.name, err)
			}
			if round > 0 { // the first warms up
				t.side.Runs = append(t.side.Runs, r)
			}
		}
		slices.Reverse(turns)
		c.Progress("rounds", float64(round+1)/float64(c.Rounds+1))
	}
	for _, t := range turns {
		audit, err := t.session.Audit(ctx)
		if err != nil {
			return out, fmt.Errorf("%s: %w", t.name, err)
		}
		if len(audit.Reasons) > 0 {
			out.Void = true
			out.Reason = strings.TrimPrefix(out.Reason+"; "+t.name+": "+strings.Join(audit.Reasons, "; "), "; ")
		}
		t.side.sum()
	}
	out.Workload = out.Wallet.Runs[0].Workload
	var ratios []float64
	for i := range out.Wallet.Runs {
		if ours := out.Wallet.Runs[i].CPU.Server; ours > 0 {
			ratios = append(ratios, out.Against.Runs[i].CPU.Server/ours)
		}
	}
	out.Ratio = rounds.Of(ratios)
	return out, nil
}

// contender is one of the two while they are measured.
type contender struct {
	name    string
	cfg     bench.Config
	side    *Side
	session *bench.Session
}

func (s *Side) sum() {
	for _, f := range []struct {
		into *rounds.Spread
		of   func(*bench.Report) float64
	}{
		{&s.TransfersPerS, func(r *bench.Report) float64 { return r.TransfersPerS }},
		{&s.P50MS, func(r *bench.Report) float64 { return r.LatencyMS.P50 }},
		{&s.P99MS, func(r *bench.Report) float64 { return r.LatencyMS.P99 }},
		{&s.Server, func(r *bench.Report) float64 { return r.CPU.Server }},
		{&s.Gateway, func(r *bench.Report) float64 { return r.CPU.Walletd }},
		{&s.Redis, func(r *bench.Report) float64 { return r.CPU.Redis }},
		{&s.Postgres, func(r *bench.Report) float64 { return r.CPU.Postgres }},
		{&s.Client, func(r *bench.Report) float64 { return r.CPU.Client }},
	} {
		var v []float64
		for i := range s.Runs {
			v = append(v, f.of(&s.Runs[i]))
		}
		*f.into = rounds.Of(v)
	}
}

// Table is the comparison for people.
func (c *Compared) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s; medians of %d rounds in turns (range)\n%s: %s\n\n", c.Workload, c.Rounds, c.Rival, c.Promises)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\twallet\t%s\n", c.Rival)
	for _, row := range []struct {
		name   string
		ours   rounds.Spread
		theirs rounds.Spread
	}{
		{"transfers a second", c.Wallet.TransfersPerS, c.Against.TransfersPerS},
		{"latency p50, ms", c.Wallet.P50MS, c.Against.P50MS},
		{"latency p99, ms", c.Wallet.P99MS, c.Against.P99MS},
		{"server CPU, µs a transfer", c.Wallet.Server, c.Against.Server},
		{"  gateway process", c.Wallet.Gateway, c.Against.Gateway},
		{"  Redis", c.Wallet.Redis, c.Against.Redis},
		{"  PostgreSQL", c.Wallet.Postgres, c.Against.Postgres},
		{"client CPU, µs a transfer", c.Wallet.Client, c.Against.Client},
	} {
		fmt.Fprintf(t, "%s\t%v\t%v\n", row.name, row.ours, row.theirs)
	}
	_ = t.Flush() // into memory
	fmt.Fprintf(&out, "\nserver CPU, %s : wallet   %v\n", c.Rival, c.Ratio)
	if c.FloorUS > 0 {
		fmt.Fprintf(&out, "floor of these minutes      %.2f µs: the wallet needs %.1f × as much, %s %.1f ×\n",
			c.FloorUS, c.Wallet.Server.Median/c.FloorUS, c.Rival, c.Against.Server.Median/c.FloorUS)
	}
	if c.Void {
		fmt.Fprintf(&out, "VOID: %s\n", c.Reason)
	}
	return out.String()
}
