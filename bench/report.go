package bench

import (
	"encoding/json"
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
	Refused       map[string]int64 `json:"refused"` // by code, whole run
	Conserved     bool             `json:"conserved"`
	Replayed      bool             `json:"replayed"`
	Void          bool             `json:"void"`
	Reason        string           `json:"reason,omitempty"` // why it is void

	Transfers      int64     `json:"transfers"`        // acknowledged in the measured time
	Acknowledged   int64     `json:"acknowledged"`     // whole run; each is there exactly once, or the run is void
	Unsent         int64     `json:"unsent"`           // open loop: meant to leave, and still waiting at the end
	Unknown        int64     `json:"unknown"`          // outcome unknown, whole run
	Errors         int64     `json:"errors"`           // whole run
	CrossShare     float64   `json:"cross_share"`      // of the acknowledged transfers
	ClientIsServer bool      `json:"client_is_server"` // one process: walletd's CPU holds the client's
	Processes      Processes `json:"processes"`

	Run           string       `json:"run"`
	Accounts      int          `json:"accounts"`
	Partitions    int          `json:"partitions"`
	Distribution  Distribution `json:"distribution"`
	Cross         float64      `json:"cross"`
	Connections   int          `json:"connections"`
	InFlight      int          `json:"in_flight"`
	FrameMessages int          `json:"frame_messages"`
	RatePerS      float64      `json:"rate_per_s"` // 0: closed loop
	WarmUpS       float64      `json:"warm_up_s"`
	DurationS     float64      `json:"duration_s"`
	Amount        int64        `json:"amount"`
	Asset         string       `json:"asset"`
	Seed          uint64       `json:"seed"`
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

// report puts everything together.
func (r *run) report(v verdict) Report {
	c := r.cfg
	out := Report{
		Workload: c.name(), Conserved: v.conserved, Replayed: v.replayed, Refused: map[string]int64{"insufficient_funds": 0},
		ClientIsServer: r.shared(), Processes: c.Processes,
		Run: c.Run, Accounts: c.Accounts, Partitions: c.Partitions, Distribution: c.Distribution, Cross: c.Cross,
		Connections: c.Connections, InFlight: c.InFlight, FrameMessages: c.FrameMessages, RatePerS: c.Rate,
		WarmUpS: c.WarmUp.Seconds(), DurationS: c.Duration.Seconds(), Amount: int64(c.Amount), Asset: c.Asset, Seed: c.Seed,
		Unsent: r.load.unsent,
	}
	latency := newHistogram()
	latency.Merge(r.load.backlog)
	var cross int64
	for _, n := range r.load.lanes {
		latency.Merge(n.latency)
		out.Transfers += n.completed
		out.Unknown += n.unknown
		out.Errors += n.errors
		for code, times := range n.refused {
			out.Refused[code] += times
		}
		for i, times := range n.acked {
			out.Acknowledged += int64(times)
			if times > 0 && r.w.isCross(r.w.pairs[i]) {
				cross += int64(times)
			}
		}
	}
	out.LatencyMS = latencyOf(latency)
	out.TransfersPerS = rounded(float64(out.Transfers) / c.Duration.Seconds())
	out.CrossShare = rounded(float64(cross) / float64(max(out.Acknowledged, 1)))
	cost, err := r.cpu[1].per(r.cpu[0], out.Transfers, out.ClientIsServer)
	v.against(err != nil, "CPU was not measured: %v", err)
	out.CPU = cost.rounded()
	out.Reason = strings.Join(v.reasons, "; ")
	out.Void = len(v.reasons) > 0
	return out
}

// name tells what the workload is.
func (c *Config) name() string {
	loop := "closed"
	if c.Rate > 0 {
		loop = "open"
	}
	return fmt.Sprintf("transfer %s cross=%.2f %s", c.Distribution, c.Cross, loop)
}

// rounded leaves what means something: four digits behind the point.
func rounded(f float64) float64 { return math.Round(f*1e4) / 1e4 }

func (c CPU) rounded() CPU {
	return CPU{rounded(c.Walletd), rounded(c.Redis), rounded(c.Kafka), rounded(c.Postgres), rounded(c.Server), rounded(c.Client)}
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
	row("transfers", "%.0f a second (%d measured, %d in the whole run)", r.TransfersPerS, r.Transfers, r.Acknowledged)
	row("latency", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms", r.LatencyMS.P50, r.LatencyMS.P99, r.LatencyMS.P999, r.LatencyMS.Max)
	own := fmt.Sprintf("client %.2f", r.CPU.Client)
	if r.ClientIsServer {
		own = "client inside walletd"
	}
	rival := ""
	if r.CPU.Postgres > 0 {
		rival = fmt.Sprintf(", postgres %.2f", r.CPU.Postgres)
	}
	row("CPU µs a transfer", "server %.2f (walletd %.2f, redis %.2f, kafka %.2f%s), %s", r.CPU.Server, r.CPU.Walletd, r.CPU.Redis, r.CPU.Kafka, rival, own)
	row("refused", "%s", r.refusals())
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

func (r *Report) refusals() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(r.Refused)) {
		if r.Refused[code] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", code, r.Refused[code]))
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
