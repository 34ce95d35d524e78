package goals

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"walletd/bench"
	"walletd/bench/floor"
	"walletd/bench/rounds"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}

func config() Config {
	return Config{Wallet: bench.Config{URL: "http://x", Admin: "http://x", Accounts: 10_000, Connections: 4, InFlight: 256},
		Floor: floor.Config{Accounts: 10_000, Bulk: 128, Bulks: 10, Rounds: 1}, Rounds: 3, Duration: time.Second, Batch: 50, Journal: "file"}
}

// forged are three rounds in which cross transfers cost 4, 6 and 20 µs over a floor of 2, 2 and 4, same ones 3 over 1.5.
func forged(c Config) *measured {
	m := &measured{floorCross: []float64{2, 2, 4}, floorSame: []float64{1.5, 1.5, 1.5}, reports: map[string][]bench.Report{}}
	for _, s := range c.steps() {
		costs := []float64{4, 6, 20}
		if s.load.Cross == 0 {
			costs = []float64{3, 3, 3}
		}
		for i, us := range costs {
			m.reports[s.name] = append(m.reports[s.name], bench.Report{TransfersPerS: float64(1000 * (i + 1)),
				LatencyMS: bench.Latency{P50: float64(i + 1), P99: 10}, CPU: bench.CPU{Walletd: us / 2, Redis: us / 2, Server: us}})
		}
	}
	return m
}

func TestReportGolden(t *testing.T) {
	c := config()
	r := c.report(forged(c), bench.Audit{Conserved: true, Replayed: true})
	golden(t, "testdata/goals.txt", r.Table())
	text, err := json.MarshalIndent(r.Goals, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/goals.json", string(text)+"\n")
	void := c.report(forged(c), bench.Audit{Reasons: []string{"money is not conserved"}})
	if !void.Void || !strings.Contains(void.Table(), "VOID: money is not conserved") {
		t.Errorf("a wallet that lost money gave\n%s", void.Table())
	}
}

// The ratio is taken within each round, and then the median: a round in which everything was dear does not count more.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	c := config()
	r := c.report(forged(c), bench.Audit{})
	for name, want := range map[string]struct {
		stat rounds.Spread
		met  bool
	}{"cross, one by one": {rounds.Spread{Median: 3, Min: 2, Max: 5}, false}, "same, one by one": {rounds.Spread{Median: 2, Min: 2, Max: 2}, true}, "same, in messages of 50": {rounds.Spread{Median: 2, Min: 2, Max: 2}, false}} {
		found := false
		for _, g := range r.Goals {
			if g.Name == name {
				if found = true; g.Measured != want.stat || g.Met == nil || *g.Met != want.met {
					t.Errorf("%s: %+v, want %+v", name, g, want)
				}
			}
		}
		if !found {
			t.Errorf("no goal %s", name)
		}
	}
	if r.Missed() != 5 {
		t.Errorf("%d goals missed", r.Missed())
	}
}

// A thousand transfers at least are in flight, one by one and in messages.
func TestStepsAreAsMeant(t *testing.T) {
	c := config()
	for _, s := range c.steps() {
		l := s.load
		flying := l.Connections * l.InFlight * max(l.Batch, 1)
		if lone := strings.HasPrefix(s.name, "lone"); lone && flying != 1 || !lone && flying < 1000 {
			t.Errorf("%s: %d transfers in flight", s.name, flying)
		}
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	c := config()
	c.Rounds, c.Duration, c.Batch, c.Floor.Bulk, c.Wallet.Accounts = 0, 0, 1, 0, 1
	err := c.Validate()
	for _, want := range []string{"rounds", "duration", "batch", "bulk", "accounts"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
}
