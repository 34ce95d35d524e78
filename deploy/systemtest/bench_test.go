package systemtest

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"walletd/bench"
	"walletd/bench/floor"
	"walletd/bench/goals"
	"walletd/deploy/local"
)

// benched is a short run against a wallet of this test.
func (d *dev) benched() bench.Config {
	return bench.Config{
		URL: "http://" + d.gateways[0], Admin: "http://" + d.admin, Accounts: 200, Cross: 0.5, Connections: 2, InFlight: 64,
		WarmUp: -1, Duration: 300 * time.Millisecond, Seed: 1,
		Processes: bench.Processes{Walletd: []int{d.ready.PID}, Redis: d.redisPIDs()},
	}
}

func (d *dev) redisPIDs() (pids []int) {
	for _, r := range d.ready.Redis {
		pids = append(pids, r.PID)
	}
	return pids
}

// Every workload, in the closed and in the open loop, leaves behind exactly what it should: the bench's own audit asks for every
// balance and version.
func TestBenchWorkloads(t *testing.T) {
	d := startDev(t, 4)
	for _, workload := range bench.Workloads {
		t.Run(string(workload), func(t *testing.T) {
			c := d.benched()
			c.Workload, c.Distribution = workload, bench.Zipf
			s, err := bench.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			load := bench.Load{Workload: workload, Distribution: bench.Zipf, Cross: 0.5, Connections: 2, InFlight: 64, Duration: c.Duration}
			open, hot := load, load
			open.Rate, hot.Distribution = 1000, bench.Hot
			loads := map[string]bench.Load{"closed": load, "open": open, "hot": hot}
			if workload == bench.Transfers || workload == bench.Refusals || workload == bench.Repeats {
				batch := load
				batch.Batch, batch.InFlight = 50, 4
				loads["batch"] = batch
			}
			for name, l := range loads {
				r, err := s.Measure(t.Context(), l)
				if err != nil {
					t.Fatal(err)
				}
				if r.Acknowledged == 0 || r.Unknown+r.Errors > 0 || r.CPU.Walletd <= 0 || r.CPU.Redis <= 0 {
					t.Errorf("%s: %s", name, r.Table())
				}
				t.Logf("%s: %d operations: %v, refused %v", name, r.Acknowledged, r.Operations, r.Refused)
			}
			audit, err := s.Audit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(audit.Reasons) > 0 {
				t.Errorf("the run is void: %v", audit.Reasons)
			}
		})
	}
}

// Over REST, too, and beside a handler that does nothing.
func TestBenchREST(t *testing.T) {
	d := startDev(t, 4)
	nothing := httptest.NewServer(bench.Nothing())
	defer nothing.Close()
	w := d.benched()
	r, err := goals.REST(t.Context(), goals.RESTConfig{Wallet: w, Nothing: nothing.URL, NothingPID: os.Getpid(), Connections: 16, Rounds: 1, Duration: 200 * time.Millisecond,
		Progress: func(string, float64) {}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Void || len(r.Goals) != 2 || r.Nothing.Median <= 0 || r.Goals[0].Measured.Median <= 0 {
		t.Errorf("%s", r.Table())
	}
}

// The goals are measured in one run, and tell what they are to tell.
func TestBenchGoals(t *testing.T) {
	d := startDev(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w := d.benched()
	w.Cross = 0
	r, err := goals.Run(ctx, goals.Config{Wallet: w, Floor: floor.Config{Addr: local.Redis(t).Addr, Accounts: w.Accounts, Bulk: 64, Bulks: 10, Rounds: 1},
		Rounds: 2, Duration: 100 * time.Millisecond, Batch: 50, Journal: "file", Progress: func(string, float64) {}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Void || len(r.Goals) < 11 || len(r.Loads) < 9 {
		t.Errorf("void %v, %d goals, %d loads:\n%s", r.Void, len(r.Goals), len(r.Loads), r.Table())
	}
	for _, g := range r.Goals {
		if g.Measured.Median <= 0 || g.Measured.Min > g.Measured.Max {
			t.Errorf("%s: %+v", g.Name, g)
		}
	}
	for _, l := range r.Loads {
		if l.Server.Median <= 0 || l.PerS.Median <= 0 {
			t.Errorf("%s: %+v", l.Name, l)
		}
	}
}

// The commands themselves: wallets of their own are started, also on journals that were written beforehand, and stopped.
func TestBenchCommands(t *testing.T) {
	for _, row := range []struct{ command, want string }{
		{"bench scale --axes accounts,events,distribution --rounds 1 --duration 100ms --accounts 200 --accounts-max 2000 --events 300 --floor-bulks 5", "2000 accounts"},
		{"bench goals --rounds 1 --duration 50ms --accounts 200 --floor-bulks 5 -o json", `"void":false`},
		{"bench project --tps 1000 --duration 100ms --measured-accounts 200", "EXTRAPOLATION to 1000 transfers"},
		{"bench rest --rounds 1 --duration 50ms --accounts 200 --connections 8", "a handler that does nothing"},
		{"bench transfer --own --duration 100ms --warm-up 50ms --accounts 200 -o json", `"walletd_components":[`},
	} {
		r := run(t, nil, strings.Fields(row.command)...)
		if r.code != 0 || !strings.Contains(r.stdout, row.want) {
			t.Errorf("%s: %v", row.command, r)
		}
	}
}
