package walletd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/bench"
	"walletd/bench/rival"
	"walletd/bench/rounds"
)

// serveRival runs a rival in this process until the test ends.
func serveRival(t *testing.T, name string) bench.Config {
	t.Helper()
	k, err := rivalNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.MkdirTemp("", "walletd-rival-test-") // not t.TempDir: PostgreSQL does not run as root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	ready := filepath.Join(t.TempDir(), "ready.json")
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		a := &app{out: new(bytes.Buffer), err: new(bytes.Buffer)}
		if err := a.rivalServe(ctx, k, rivalServe{data: data, ready: ready, connections: 4}); err != nil {
			t.Errorf("%s: %v", name, err)
			stop() // nobody waits for it in vain
		}
	})
	t.Cleanup(func() { stop(); ended.Wait() })
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := awaitFile(within, ready); err != nil {
		t.Fatalf("%s does not come up: %v", name, err)
	}
	c := bench.Config{Accounts: 200, Partitions: 8, Cross: 0.5, Connections: 2, InFlight: 32, Duration: 200 * time.Millisecond, WarmUp: -1}
	if err := c.ReadReadyFile(ready); err != nil {
		t.Fatal(err)
	}
	return c
}

// Every rival passes the bench's own audit: each acknowledged transfer is there once, and the money adds up.
func TestRivalsStandTheWalletsAudit(t *testing.T) {
	report, err := bench.Transfer(t.Context(), serveRival(t, "postgres-function"))
	if err != nil || report.Void || report.Acknowledged == 0 || report.CPU.Postgres == 0 {
		t.Errorf("%v: %s", err, report.Table())
	}

	redis, postgres := serveRival(t, "redis"), serveRival(t, "postgres")
	stages := map[string]bool{}
	compared, err := rival.Compare(t.Context(), rival.Comparison{
		Name: "postgres", Promises: "as tested", Wallet: redis, Rival: postgres, Rounds: 3,
		Progress: func(stage string, _ float64) { stages[strings.Split(stage, ":")[0]] = true },
	})
	if err != nil || compared.Void {
		t.Fatalf("%v: %s", err, compared.Reason)
	}
	for name, v := range map[string]rounds.Spread{
		"redis's CPU": compared.Wallet.Redis, "postgres's CPU": compared.Against.Postgres, "ratio": compared.Ratio,
		"transfers a second": compared.Against.TransfersPerS, "latency": compared.Wallet.P99MS,
	} {
		if v.Median <= 0 || v.Min > v.Median || v.Median > v.Max {
			t.Errorf("%s: %v", name, v)
		}
	}
	if len(compared.Wallet.Runs) != 3 || !stages["wallet"] || !stages["postgres"] || !stages["rounds"] {
		t.Errorf("%d rounds, stages %v", len(compared.Wallet.Runs), stages)
	}
	if table := compared.Table(); !strings.Contains(table, "server CPU, postgres : wallet") || strings.Contains(table, "VOID") {
		t.Errorf("table:\n%s", table)
	}
	if _, err := json.Marshal(compared); err != nil {
		t.Error(err)
	}
}
