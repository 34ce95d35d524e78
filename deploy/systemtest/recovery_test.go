package systemtest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/gateway/client"
)

// P17, P18: how long users wait until their transfers go through again, measured from the moment of the fault to the last
// partition's first confirmed transfer that was asked for after it. `make recovery RUNS=10 ACCOUNTS=1000000` writes the
// table of README; here once, with fewer accounts.

// recovery is one kind of fault with what was measured.
type recovery struct {
	What    string        `json:"what"`
	Target  time.Duration `json:"-"`
	Times   []float64     `json:"times_s"` // seconds, sorted
	Median  float64       `json:"median_s"`
	PerYear float64       `json:"per_year"` // how often it is assumed to happen, for the sum of a year
}

// Environment of a measurement.
const (
	recoveryRunsVar     = "WALLETD_RECOVERY_RUNS"
	recoveryAccountsVar = "WALLETD_RECOVERY_ACCOUNTS"
	recoveryOutVar      = "WALLETD_RECOVERY_OUT"
)

func (r *recovery) took(d time.Duration) {
	r.Times = append(r.Times, d.Seconds())
	slices.Sort(r.Times)
	r.Median = r.Times[len(r.Times)/2]
}

// prober pays within one partition, over a client of its own.
type prober struct {
	w        *wallet
	c        *client.Client
	from, to string
}

func (w *wallet) probers() (all []*prober) {
	w.t.Helper()
	for p := range w.partitions {
		taken := map[string]bool{}
		k := &prober{w: w, from: w.inPartition("probe", p, taken), to: w.inPartition("probe", p, taken)}
		w.fund("USD", 1_000_000, k.from)
		w.open(client.AccountCreate{ID: k.to, Asset: "USD"})
		all = append(all, k)
	}
	return all
}

// connect dials again, as a client would that has just begun.
func (k *prober) connect() (err error) {
	if k.c != nil {
		return nil
	}
	cfg := k.w.config()
	cfg.BackoffMax, cfg.Retries = 50*time.Millisecond, -1
	k.c, err = client.Dial(within(k.w.t, time.Second), cfg)
	return err
}

// pay makes one transfer and does not try again.
func (k *prober) pay(limit time.Duration) error {
	if err := k.connect(); err != nil {
		return err
	}
	_, err := k.c.Transfer(within(k.w.t, limit), client.Transfer{From: k.from, To: k.to, Amount: 1, Asset: "USD"})
	return err
}

// outage is how long it takes, after a fault, until every partition confirms a transfer. fault answers the moment from which
// it counts.
func outage(t testing.TB, probers []*prober, fault func() time.Time) time.Duration {
	t.Helper()
	for _, k := range probers {
		if err := k.pay(answerLimit); err != nil {
			t.Fatalf("before the fault: %v", err)
		}
	}
	begin := fault()
	ends := make([]time.Time, len(probers))
	var wg sync.WaitGroup
	for i, k := range probers {
		wg.Go(func() {
			for time.Since(begin) < recoverLimit {
				if err := k.pay(500 * time.Millisecond); err == nil {
					ends[i] = time.Now()
					return
				}
				time.Sleep(5 * time.Millisecond) // one that is refused at once would not let the wallet recover
			}
		})
	}
	wg.Wait()
	var longest time.Duration
	for i, end := range ends {
		if end.IsZero() {
			t.Fatalf("partition %d: no transfer is confirmed within %v", i, recoverLimit)
		}
		longest = max(longest, end.Sub(begin))
	}
	return longest
}

func TestRecoveryTimes(t *testing.T) {
	runs, err := uintOr(recoveryRunsVar, 1)
	must(t, err)
	accounts, err := uintOr(recoveryAccountsVar, 20_000)
	must(t, err)
	commandLimit += time.Duration(accounts) * time.Millisecond // the audit at the end reads them all
	defer func() { commandLimit = upLimit }()
	var table []*recovery
	measure := func(what string, target time.Duration, perYear float64, start func(t *testing.T) (w *wallet, fault func() time.Time)) {
		r := &recovery{What: what, Target: target, PerYear: perYear}
		table = append(table, r)
		t.Run(strings.ReplaceAll(what, " ", "_"), func(t *testing.T) {
			w, fault := start(t)
			probers := w.probers()
			for range runs {
				r.took(outage(t, probers, fault))
			}
			w.reconciled()
			if r.Median > target.Seconds() {
				t.Errorf("%s: median of %d runs %.2f s, the target is %v", what, runs, r.Median, target)
			}
		})
	}
	measure("gateway killed", 3*time.Second, 12, func(t *testing.T) (*wallet, func() time.Time) {
		c := startCluster(t, clusterOptions{})
		c.wallet.gateways = c.wallet.gateways[:1] // its clients know no other
		return c.wallet, func() time.Time {
			begin := time.Now()
			c.gateways[0].kill()
			c.gateways[0].launch()
			return begin
		}
	})
	measure(fmt.Sprintf("primary with a replica killed, %d accounts", accounts), 8*time.Second, 12, func(t *testing.T) (*wallet, func() time.Time) {
		c := startCluster(t, clusterOptions{replicas: 1})
		c.populate(int(accounts))
		primary, replica := c.shards[0], c.replicas[0][0]
		var dead *local.Server
		return c.wallet, func() time.Time {
			if dead != nil { // it comes back, and is the next to take over
				restartServer(t, dead)
			}
			c.linked("s1", replica.Addr)
			begin := time.Now()
			primary.Kill()
			dead, primary, replica = primary, replica, primary
			return begin
		}
	})
	measure(fmt.Sprintf("shard memory lost, %d accounts", accounts), 30*time.Second, 6, func(t *testing.T) (*wallet, func() time.Time) {
		d := startCrowded(t, int(accounts), "--shards", "1")
		return d.wallet, func() time.Time {
			begin := time.Now()
			d.signalRedis(0, syscall.SIGKILL)
			return begin
		}
	})
	measure(fmt.Sprintf("everything at once, %d accounts", accounts), 90*time.Second, 2, func(t *testing.T) (*wallet, func() time.Time) {
		d := startCrowded(t, int(accounts))
		return d.wallet, func() time.Time {
			d.awaitReady() // the ready file of the last start: its servers are the ones to be killed
			begin := time.Now()
			d.killAll()
			d.launch()
			return begin
		}
	})
	report(t, table, runs)
}

// startCrowded starts a wallet with accounts in it.
func startCrowded(t *testing.T, accounts int, flags ...string) *dev {
	d := startDev(t, 8, flags...)
	d.stop()
	d.populate(accounts)
	d.start()
	return d
}

// yearMinutes is what 99.99 % leave in a year (P18).
const yearMinutes = 52.6

// report prints the table, and writes it where asked.
func report(t *testing.T, table []*recovery, runs uint64) {
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | runs | median s | range s | target s | assumed a year | minutes a year |\n|---|---|---|---|---|---|---|\n")
	sum := 0.0
	for _, r := range table {
		if len(r.Times) == 0 {
			continue
		}
		minutes := r.Median * r.PerYear / 60
		sum += minutes
		fmt.Fprintf(&b, "| %s | %d | %.2f | %.2f–%.2f | %.0f | %.0f | %.2f |\n", r.What, len(r.Times), r.Median, r.Times[0], r.Times[len(r.Times)-1], r.Target.Seconds(), r.PerYear, minutes)
	}
	fmt.Fprintf(&b, "\nSum of a year: %.2f minutes of %.1f that 99.99 %% leave.\n", sum, yearMinutes)
	t.Logf("\n%s", b.String())
	if sum > yearMinutes {
		t.Errorf("recoveries sum up to %.1f minutes a year, %.1f are left", sum, yearMinutes)
	}
	path := os.Getenv(recoveryOutVar)
	if path == "" {
		return
	}
	must(t, os.WriteFile(path, []byte(b.String()), 0o644))
	text, err := json.MarshalIndent(map[string]any{"runs": runs, "faults": table}, "", "  ")
	must(t, err)
	must(t, os.WriteFile(path+".json", text, 0o644))
}
