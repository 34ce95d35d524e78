package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what a run has shown (surface, "CLI"). The measured time alone counts, but for what names the whole run.
type Report struct {
	Workload      string           `json:"workload"`
	TransfersPerS float64          `json:"transfers_per_s"` // acknowledged
	LatencyMS     Latency          `json:"latency_ms"`      // from when a transfer was meant to leave to its acknowledgement
	CPU           CPU              `json:"cpu_us_per_transfer"`
	Refused       map[string]int64 `json:"refused"` // by code
	Conserved     bool             `json:"conserved"`
	Replayed      bool             `json:"replayed"`
	Void          bool             `json:"void"`
	Reason        string           `json:"reason,omitempty"` // why it is void

	Transfers      int64            `json:"transfers"`    // operations that ended as they should in the measured time
	Acknowledged   int64            `json:"acknowledged"` // until the wallet was quiet again: what CPU is divided by; each is there exactly once, or the run is void
	Operations     map[string]int64 `json:"operations"`   // the same, by kind
	Unsent         int64            `json:"unsent"`       // open loop: meant to leave, and still waiting at the end
	Unknown        int64            `json:"unknown"`      // outcome unknown
	Errors         int64            `json:"errors"`
	CrossShare     float64          `json:"cross_share"`      // of the acknowledged operations
	ClientIsServer bool             `json:"client_is_server"` // one process: walletd's CPU holds the client's
	Processes      Processes        `json:"processes"`

	Run           string       `json:"run"`
	Accounts      int          `json:"accounts"`
	Partitions    int          `json:"partitions"`
	Mix           Workload     `json:"mix"`
	Distribution  Distribution `json:"distribution"`
	Cross         float64      `json:"cross"`
	Connections   int          `json:"connections"`
	InFlight      int          `json:"in_flight"`
	FrameMessages int          `json:"frame_messages"`
	Batch         int          `json:"batch"`      // transfers a message; 0: each its own
	RatePerS      float64      `json:"rate_per_s"` // 0: closed loop
	WarmUpS       float64      `json:"warm_up_s"`
	DurationS     float64      `json:"duration_s"`
	Amount        int64        `json:"amount"`
	Asset         string       `json:"asset"`
	Seed          uint64       `json:"seed"`

	MessageBytes float64 `json:"message_bytes"` // of an operation's commands

	Components []Component `json:"walletd_components,omitempty"` // where asked for, the largest first
	Commands   []Command   `json:"redis_commands,omitempty"`     // for each operation, the dearest first

	Series    []float64  `json:"transfers_per_s_over_time"` // every SeriesStep
	Quantiles []Quantile `json:"latency_quantiles"`
}

// Quantile is one step of a latency distribution.
type Quantile struct {
	Percent float64 `json:"percent"`
	MS      float64 `json:"ms"`
}

// quantiles are those that a curve is drawn from.
var quantiles = []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}

func quantilesOf(h *hdrhistogram.Histogram) (all []Quantile) {
	for _, q := range quantiles {
		all = append(all, Quantile{q, float64(h.ValueAtQuantile(q)) / 1000})
	}
	return all
}

// Latency is a distribution's milestones, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9)), ms(h.Max())}
}

// report puts together what a load has shown.
func (s *Session) report(l *load, m metered) Report {
	c := s.cfg
	out := Report{
		Workload: l.name(), Refused: map[string]int64{"insufficient_funds": 0}, Operations: map[string]int64{},
		ClientIsServer: s.shared(), Processes: c.Processes, Mix: l.Workload,
		Run: c.Run, Accounts: c.Accounts, Partitions: c.Partitions, Distribution: l.Distribution, Cross: l.Cross, Batch: l.Batch,
		Connections: l.Connections, InFlight: l.InFlight, FrameMessages: c.FrameMessages, RatePerS: l.Rate,
		WarmUpS: c.WarmUp.Seconds(), DurationS: l.Duration.Seconds(), Amount: int64(c.Amount), Asset: c.Asset, Seed: l.Seed,
		Unsent: l.unsent,
	}
	latency := newHistogram()
	latency.Merge(l.backlog)
	var cross, bytes int64
	series := make([]int64, int(l.Duration/SeriesStep))
	for _, n := range l.lanes {
		latency.Merge(n.latency)
		cross += n.tally.cross
		bytes += n.bytes
		out.Unknown += n.unknown
		out.Errors += n.errors
		for code, times := range n.refused {
			out.Refused[code] += times
		}
		for k, times := range n.total {
			out.Acknowledged += times
			out.Transfers += n.measured[k]
			if times > 0 {
				out.Operations[kindNames[k]] += times
			}
		}
		for i := range series {
			series[i] += n.series[i]
		}
	}
	for _, n := range series {
		out.Series = append(out.Series, float64(n)/SeriesStep.Seconds())
	}
	out.LatencyMS, out.Quantiles = latencyOf(latency), quantilesOf(latency)
	out.TransfersPerS = rounded(float64(out.Transfers) / l.Duration.Seconds())
	out.CrossShare = rounded(float64(cross) / float64(max(out.Acknowledged, 1)))
	out.MessageBytes = rounded(float64(bytes) / float64(max(out.Acknowledged, 1)))
	cost, err := m.after.per(m.before, out.Acknowledged, out.ClientIsServer)
	s.cpuErr = errors.Join(s.cpuErr, m.err, err)
	out.CPU = cost.rounded()
	for _, part := range m.components {
		out.Components = append(out.Components, Component{part.Name, rounded(part.Share), rounded(part.Share * cost.Walletd)})
	}
	for _, command := range m.commanded.per(m.commands, out.Acknowledged) {
		out.Commands = append(out.Commands, Command{command.Name, rounded(command.Calls), rounded(command.US)})
	}
	return out
}

// name tells what the load is.
func (l *Load) name() string {
	loop := "closed"
	if l.Rate > 0 {
		loop = "open"
	}
	batch := ""
	if l.Batch > 0 {
		batch = fmt.Sprintf(" batch=%d", l.Batch)
	}
	return fmt.Sprintf("%s %s cross=%.2f%s %s", l.Workload, l.Distribution, l.Cross, batch, loop)
}

// rounded leaves what means something: four digits behind the point.
func rounded(f float64) float64 { return math.Round(f*1e4) / 1e4 }

func (c CPU) rounded() CPU {
	return CPU{rounded(c.Walletd), rounded(c.Redis), rounded(c.Kafka), rounded(c.ZooKeeper), rounded(c.Postgres), rounded(c.Server), rounded(c.Client)}
}

// WriteJSON writes the report as one indented JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Table is the report for people.
func (r *Report) Table() string {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("workload", "%s", r.Workload)
	row("accounts", "%d in %d partitions, %s, %.1f %% of the transfers across partitions", r.Accounts, r.Partitions, r.Distribution, 100*r.CrossShare)
	load := "as fast as answered"
	if r.RatePerS > 0 {
		load = fmt.Sprintf("%.0f a second", r.RatePerS)
	}
	row("load", "%s, %d connections × %d in flight, %g s after %g s of warm-up", load, r.Connections, r.InFlight, r.DurationS, r.WarmUpS)
	row("operations", "%.0f a second (%d measured, %d until all was quiet)", r.TransfersPerS, r.Transfers, r.Acknowledged)
	if len(r.Operations) > 1 {
		row("of these", "%s", counted(r.Operations))
	}
	row("latency", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms", r.LatencyMS.P50, r.LatencyMS.P99, r.LatencyMS.P999, r.LatencyMS.Max)
	own := fmt.Sprintf("client %.2f", r.CPU.Client)
	if r.ClientIsServer {
		own = "client inside walletd"
	}
	row("CPU µs a transfer", "server %.2f (%s), %s", r.CPU.Server, r.CPU.parts(), own)
	if len(r.Components) > 0 {
		row("walletd", "%s", ComponentsText(r.Components))
	}
	if len(r.Commands) > 0 {
		row("redis", "%s", CommandsText(r.Commands))
	}
	row("refused", "%s", counted(r.Refused))
	if r.Unsent > 0 {
		row("unsent", "%d were meant to leave and still waited at the end", r.Unsent)
	}
	row("money", "conserved: %s, replayed: %s", yes(r.Conserved), yes(r.Replayed))
	result := "valid"
	if r.Void {
		result = "VOID: " + r.Reason
	}
	row("run", "%s", result)
	_ = t.Flush() // into memory
	return out.String()
}

// parts names the processes' shares.
func (c CPU) parts() string {
	text := fmt.Sprintf("walletd %.2f, redis %.2f, kafka %.2f", c.Walletd, c.Redis, c.Kafka)
	if c.ZooKeeper > 0 {
		text += fmt.Sprintf(", zookeeper %.2f", c.ZooKeeper)
	}
	if c.Postgres > 0 {
		text += fmt.Sprintf(", postgres %.2f", c.Postgres)
	}
	return text
}

// shown is how many components and commands a table names.
const shown = 8

// ComponentsText names the largest, with their CPU-µs an operation.
func ComponentsText(all []Component) string {
	var parts []string
	for _, c := range all[:min(len(all), shown)] {
		parts = append(parts, fmt.Sprintf("%s %.2f (%.0f %%)", c.Name, c.US, 100*c.Share))
	}
	return strings.Join(parts, ", ")
}

// CommandsText names the dearest, with their µs and calls an operation.
func CommandsText(all []Command) string {
	var parts []string
	for _, c := range all[:min(len(all), shown)] {
		parts = append(parts, fmt.Sprintf("%s %.2f (%.3f calls)", c.Name, c.US, c.Calls))
	}
	return strings.Join(parts, ", ") + "; a script's time includes what it calls"
}

// counted lists what is more than 0.
func counted(n map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		if n[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n[name]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}
