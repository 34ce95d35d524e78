package bench

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}

func TestReportGolden(t *testing.T) {
	valid := Report{
		Workload: "transfer uniform cross=0.50 closed", TransfersPerS: 151234.5, LatencyMS: Latency{1.5, 6.25, 9.125, 22},
		CPU: CPU{Walletd: 6.5, Redis: 4.25, Kafka: 0, Server: 10.75, Client: 1.5}, Refused: map[string]int64{"insufficient_funds": 0, "overloaded": 3},
		Conserved: true, Replayed: true, Transfers: 1512345, Acknowledged: 1800000, CrossShare: 0.5,
		Processes: Processes{Walletd: []int{17}, Redis: []int{18, 19}},
		Run:       "a1b2c3d4", Accounts: 10000, Partitions: 8, Mix: Transfers, Operations: map[string]int64{"transfer": 1800000}, Distribution: Uniform, Cross: 0.5, Connections: 4, InFlight: 256,
		WarmUpS: 2, DurationS: 10, Amount: 1, Asset: "USD", Seed: 1,
	}
	void := valid
	void.RatePerS, void.Unsent, void.ClientIsServer, void.CPU.Client = 5000, 12, true, 0
	void.Conserved, void.Void, void.Reason = false, true, "money is not conserved: the accounts have 7 together, +1 than before"
	for name, r := range map[string]Report{"valid": valid, "void": void} {
		var text bytes.Buffer
		if err := r.WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+name+".json", text.Bytes())
		golden(t, "testdata/"+name+".txt", []byte(r.Table()))
	}
}

func TestLatencyMilestones(t *testing.T) {
	h := hdrhistogram.New(1, latencyMax.Microseconds(), 3)
	for i := 1; i <= 1000; i++ {
		record1(h, time.Duration(i)*time.Millisecond)
	}
	record1(h, time.Hour)        // beyond what is told apart
	record1(h, -time.Nanosecond) // clocks read in another order
	got := latencyOf(h)
	near := func(got, want float64) bool { return got > 0.99*want && got < 1.01*want }
	if !near(got.P50, 500) || !near(got.P99, 991) || !near(got.P999, 1000) || !near(got.Max, 600_000) {
		t.Errorf("got %+v", got)
	}
}

// record1 records one.
func record1(h *hdrhistogram.Histogram, d time.Duration) { recordTimes(h, d, 1) }

// /proc tells what a process has used, and the name in it may hold anything.
func TestStatLine(t *testing.T) {
	us, born, err := parseStat([]byte("17 (a) b) (c) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 7 9 20 0 4 0 987654 1000 2000 18446744073709551615 0"))
	if err != nil || us != 3_000_000 || born != "987654" {
		t.Errorf("%d µs, born %s, %v", us, born, err)
	}
	for _, bad := range []string{"", "17 (a", "17 (a) S 1", "17 (a) S 1 17 17 0 -1 4194304 100 0 0 0 x 50 7 9 20 0 4 0 987654"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestCPUOfAnotherProcess(t *testing.T) {
	burner := exec.Command("sh", "-c", "while :; do :; done")
	if err := burner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = burner.Process.Kill()
		_ = burner.Wait() // it was killed
	}()
	p := Processes{Redis: []int{burner.Process.Pid}}
	before, err := readCPU(&p)
	if err != nil {
		t.Fatal(err)
	}
	var cost CPU
	for end := time.Now().Add(10 * time.Second); cost.Redis < 50_000 && time.Now().Before(end); {
		after, err := readCPU(&p)
		if err != nil {
			t.Fatal(err)
		}
		if cost, err = after.per(before, 2, false); err != nil {
			t.Fatal(err)
		}
	}
	if cost.Redis < 50_000 || cost.Server != cost.Redis || cost.Client == 0 {
		t.Errorf("two transfers cost %+v", cost)
	}
	before.born[burner.Process.Pid] = "1"
	if _, err := before.per(cpuTimes{born: map[int]string{burner.Process.Pid: "2"}}, 1, false); err == nil || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("a pid that is used again: %v", err)
	}
	if _, err := readCPU(&Processes{Walletd: []int{1 << 30}}); err == nil {
		t.Error("a process that does not exist was read")
	}
}
