package protocol

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"walletd/bench/rounds"
)

// The workloads: every transfer is from one shard to the other.
const (
	Uniform = "uniform" // every account alike
	Hot     = "hot"     // one account is a side of every second transfer
)

// Workloads are both, in the order in which they are told.
var Workloads = []string{Uniform, Hot}

// Result is one protocol on one workload.
type Result struct {
	Workload      string        `json:"workload"`
	Protocol      string        `json:"protocol"`
	TransfersPerS rounds.Spread `json:"transfers_per_s"`
	P50MS         rounds.Spread `json:"latency_p50_ms"` // until the client has its answer
	P99MS         rounds.Spread `json:"latency_p99_ms"`
	LockP50MS     rounds.Spread `json:"account_locked_p50_ms"` // how long an account is locked by a transfer
	LockP99MS     rounds.Spread `json:"account_locked_p99_ms"`
	Locked        rounds.Spread `json:"accounts_locked"` // on average
	JournalBytes  rounds.Spread `json:"journal_bytes_per_transfer"`
	FlightP50MS   rounds.Spread `json:"money_in_flight_p50_ms"` // from when the payer no longer has it until the payee does
	Flight        rounds.Spread `json:"money_in_flight"`        // on average, where each transfer moves 1
	RedisUS       rounds.Spread `json:"redis_cpu_us_per_transfer"`
	CoordinatorUS rounds.Spread `json:"coordinator_cpu_us_per_transfer"` // with the load itself
}

// Report is what was measured.
type Report struct {
	Accounts int      `json:"accounts_per_shard"`
	Window   int      `json:"window"`
	Rounds   int      `json:"rounds"`
	Results  []Result `json:"results"`
}

func summary(workload, name string, all []once) Result {
	r := Result{Workload: workload, Protocol: name}
	for _, f := range []struct {
		into *rounds.Spread
		of   func(o *once) float64
	}{
		{&r.TransfersPerS, func(o *once) float64 { return o.perS }},
		{&r.P50MS, func(o *once) float64 { return o.p50 }},
		{&r.P99MS, func(o *once) float64 { return o.p99 }},
		{&r.LockP50MS, func(o *once) float64 { return o.lockP50 }},
		{&r.LockP99MS, func(o *once) float64 { return o.lockP99 }},
		{&r.Locked, func(o *once) float64 { return o.locked }},
		{&r.JournalBytes, func(o *once) float64 { return o.bytes }},
		{&r.FlightP50MS, func(o *once) float64 { return o.flightMS }},
		{&r.Flight, func(o *once) float64 { return o.flight }},
		{&r.RedisUS, func(o *once) float64 { return o.redis }},
		{&r.CoordinatorUS, func(o *once) float64 { return o.coordinator }},
	} {
		var v []float64
		for i := range all {
			v = append(v, f.of(&all[i]))
		}
		*f.into = rounds.Of(v)
	}
	return r
}

// Table is the report for people.
func (r *Report) Table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "every transfer from one shard to the other; 2 × %d accounts, %d transfers unanswered; medians of %d rounds in turns (range)\n",
		r.Accounts, r.Window, r.Rounds)
	for _, workload := range Workloads {
		fmt.Fprintf(&out, "\n%s\n", workload)
		t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "\ttransfers/s\tp50 ms\tp99 ms\taccount locked p50 ms\taccounts locked\tjournal B\tin flight p50 ms\tin flight\tRedis µs\tcoordinator µs")
		for _, o := range r.Results {
			if o.Workload == workload {
				fmt.Fprintf(t, "%s\t%v\t%v\t%v\t%v\t%v\t%.0f\t%v\t%v\t%v\t%v\n", o.Protocol, o.TransfersPerS, o.P50MS, o.P99MS, o.LockP50MS, o.Locked,
					o.JournalBytes.Median, o.FlightP50MS, o.Flight, o.RedisUS, o.CoordinatorUS)
			}
		}
		_ = t.Flush() // into memory
	}
	return out.String()
}
