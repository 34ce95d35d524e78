package goals

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"walletd/bench"
	"walletd/bench/rounds"
)

// Goal is one line: what was meant, and what was measured.
type Goal struct {
	Name     string        `json:"name"`
	Unit     string        `json:"unit"` // of measured: × floor, µs, ms
	Target   float64       `json:"target,omitempty"`
	Measured rounds.Spread `json:"measured"`
	Met      *bool         `json:"met,omitempty"` // where there is a target
}

// Line is what one load of the rounds cost: CPU-µs a transfer, and what it achieved.
type Line struct {
	Name      string        `json:"name"`
	Share     float64       `json:"share_of_maximum"` // of the transfers a second
	Server    rounds.Spread `json:"server_cpu_us"`
	Walletd   rounds.Spread `json:"walletd_cpu_us"`
	Redis     rounds.Spread `json:"redis_cpu_us"`
	Kafka     rounds.Spread `json:"kafka_cpu_us"`
	ZooKeeper rounds.Spread `json:"zookeeper_cpu_us"`
	PerS      rounds.Spread `json:"transfers_per_s"`
	P50MS     rounds.Spread `json:"p50_ms"`
	P99MS     rounds.Spread `json:"p99_ms"`
}

// Report is everything that was measured.
type Report struct {
	Goals      []Goal        `json:"goals"`
	Loads      []Line        `json:"loads"`
	FloorCross rounds.Spread `json:"floor_cross_redis_cpu_us"`
	FloorSame  rounds.Spread `json:"floor_same_redis_cpu_us"`
	Rounds     int           `json:"rounds"`
	DurationS  float64       `json:"duration_s"`
	Accounts   int           `json:"accounts"`
	Journal    string        `json:"journal"`
	Audit      bench.Audit   `json:"audit"`
	Void       bool          `json:"void"`
	Reason     string        `json:"reason,omitempty"`

	Components []bench.Component `json:"walletd_components"` // of transfers across partitions, one by one
	Commands   []bench.Command   `json:"redis_commands"`

	Last map[string]bench.Report `json:"last_round"` // of each load, for the curves
}

// Order are the names of Last, as they were measured.
func (r *Report) Order() (names []string) {
	for _, l := range r.Loads {
		names = append(names, l.Name)
	}
	return names
}

// ByLoad are the loads that tell what a transfer across partitions costs at a share of the maximum, the smallest first.
func (r *Report) ByLoad() (lines []Line) {
	for _, l := range r.Loads {
		if l.Share > 0 && l.Share < 1 {
			lines = append(lines, l)
		}
	}
	for _, l := range r.Loads {
		if l.Name == crossSingles {
			lines = append(lines, l)
		}
	}
	return lines
}

func server(r *bench.Report) float64 { return r.CPU.Server }

func (c *Config) report(m *measured, audit bench.Audit) Report {
	r := Report{FloorCross: rounds.Of(m.floorCross), FloorSame: rounds.Of(m.floorSame), Rounds: c.Rounds, DurationS: c.Duration.Seconds(), Accounts: c.Wallet.Accounts,
		Journal: c.Journal, Audit: audit, Void: len(audit.Reasons) > 0, Reason: strings.Join(audit.Reasons, "; "), Last: map[string]bench.Report{},
		Components: m.profiled.Components, Commands: m.profiled.Commands}
	for _, g := range []struct {
		step   string
		floor  []float64
		target float64
	}{{crossSingles, m.floorCross, CrossTarget}, {crossBatches, m.floorCross, CrossBatchTarget}, {sameSingles, m.floorSame, SameTarget}, {sameBatches, m.floorSame, SameBatchTarget}} {
		r.Goals = append(r.Goals, ratio(c.named(g.step), "× floor", g.target, over(m.figures(g.step, server), g.floor)))
	}
	for _, share := range partial {
		r.Goals = append(r.Goals, ratio(partialName(share), "× at the maximum", partialTargets[share], over(m.figures(partialName(share), server), m.figures(crossSingles, server))))
	}
	half, same, cross := partialName(0.5), LoneSameTarget, LoneCrossTarget
	if c.Journal != "file" {
		same, cross = LoneKafkaTarget, LoneKafkaTarget
	}
	r.Goals = append(r.Goals,
		ratio("p50 at half of the maximum", "ms", HalfP50Target, m.figures(half, p50)), ratio("p99 at half of the maximum", "ms", HalfP99Target, m.figures(half, p99)),
		ratio(loneSame+", p50", "ms", same, m.figures(loneSame, p50)), ratio(loneCross+", p50", "ms", cross, m.figures(loneCross, p50)))
	for _, s := range c.steps() {
		line := m.line(s.name)
		line.Name, line.Share = c.named(s.name), cmp.Or(s.rate, 1)
		r.Loads = append(r.Loads, line)
		if all := m.reports[s.name]; len(all) > 0 {
			r.Last[c.named(s.name)] = all[len(all)-1]
		}
	}
	return r
}

func p50(r *bench.Report) float64 { return r.LatencyMS.P50 }
func p99(r *bench.Report) float64 { return r.LatencyMS.P99 }

// line sums up what one load has shown in the rounds.
func (m *measured) line(step string) Line {
	of := func(f func(*bench.Report) float64) rounds.Spread { return rounds.Of(m.figures(step, f)) }
	return Line{Name: step, Share: 1, Server: of(server),
		Walletd:   of(func(r *bench.Report) float64 { return r.CPU.Walletd }),
		Redis:     of(func(r *bench.Report) float64 { return r.CPU.Redis }),
		Kafka:     of(func(r *bench.Report) float64 { return r.CPU.Kafka }),
		ZooKeeper: of(func(r *bench.Report) float64 { return r.CPU.ZooKeeper }),
		PerS:      of(func(r *bench.Report) float64 { return r.TransfersPerS }), P50MS: of(p50), P99MS: of(p99)}
}

// named says how many transfers a message has.
func (c *Config) named(step string) string {
	return strings.Replace(step, "in messages", fmt.Sprintf("in messages of %d", c.Batch), 1)
}

func ratio(name, unit string, target float64, figures []float64) Goal {
	g := Goal{Name: name, Unit: unit, Target: target, Measured: rounds.Of(figures)}
	if target > 0 {
		met := g.Measured.Median <= target
		g.Met = &met
	}
	return g
}

// Missed is the number of goals that were not reached.
func (r *Report) Missed() (n int) {
	for _, g := range r.Goals {
		if g.Met != nil && !*g.Met {
			n++
		}
	}
	return n
}

// Table is the report for people.
func (r *Report) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "journal %s, %d accounts, median of %d rounds of %g s each (range); floor: cross %s, same %s Redis CPU-µs\n\n",
		r.Journal, r.Accounts, r.Rounds, r.DurationS, r.FloorCross.Fixed(2), r.FloorSame.Fixed(2))
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	writeGoals(t, r.Goals)
	_ = t.Flush() // into memory
	out.WriteByte('\n')
	t = tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	writeLines(t, r.Loads)
	_ = t.Flush()
	if len(r.Components) > 0 {
		fmt.Fprintf(&out, "\nwalletd's CPU by component and Redis's commands, across partitions, one by one (another load):\n%s\n%s\n",
			bench.ComponentsText(r.Components), bench.CommandsText(r.Commands))
	}
	writeVerdict(&out, r.Void, r.Reason)
	return out.String()
}

func writeGoals(t io.Writer, all []Goal) {
	fmt.Fprintf(t, "goal\ttarget\tmeasured\trange\tmet\n")
	for _, g := range all {
		target, met := "", ""
		if g.Met != nil {
			target, met = fmt.Sprintf("≤ %.1f %s", g.Target, g.Unit), "no"
			if *g.Met {
				met = "yes"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f %s\t%.2f–%.2f\t%s\n", g.Name, target, g.Measured.Median, g.Unit, g.Measured.Min, g.Measured.Max, met)
	}
}

func writeLines(t io.Writer, all []Line) {
	fmt.Fprintf(t, "load\ttransfers/s\tserver CPU-µs\twalletd\tredis\tkafka\tzookeeper\tp50 ms\tp99 ms\n")
	for _, l := range all {
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", l.Name, l.PerS.Median, l.Server.Fixed(2), l.Walletd.Median, l.Redis.Median, l.Kafka.Median,
			l.ZooKeeper.Median, l.P50MS.Median, l.P99MS.Median)
	}
}

func writeVerdict(out io.Writer, void bool, reason string) {
	if void {
		fmt.Fprintf(out, "\nVOID: %s\n", reason)
	} else {
		fmt.Fprintf(out, "\nevery balance and version is what was acknowledged; conserved, replayed and reconciled\n")
	}
}

// over divides round by round.
func over(figures, by []float64) []float64 {
	ratios := make([]float64, min(len(figures), len(by)))
	for i := range ratios {
		if by[i] > 0 {
			ratios[i] = figures[i] / by[i]
		}
	}
	return ratios
}
