package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHonestWalletGivesAValidRun(t *testing.T) {
	for _, rate := range []float64{0, 2000} {
		t.Run(fmt.Sprint("rate ", rate), func(t *testing.T) {
			w := newFakeWallet(t)
			cfg := w.config()
			cfg.Rate = rate
			cfg.WarmUp = 50 * time.Millisecond
			cfg.Processes.Walletd = []int{os.Getpid()}
			stages := map[string]bool{}
			cfg.Progress = func(stage string, _ float64) { stages[stage] = true }
			r, err := Transfer(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Void || !r.Conserved || !r.Replayed || r.Reason != "" {
				t.Errorf("void: %+v", r)
			}
			if r.Acknowledged > int64(w.moved) || r.Transfers == 0 || r.Transfers > r.Acknowledged {
				t.Errorf("%d acknowledged, %d of them measured, %d moved", r.Acknowledged, r.Transfers, w.moved)
			}
			if r.Partitions != 8 || r.CrossShare < 0.48 || r.CrossShare > 0.52 {
				t.Errorf("%d partitions, cross share %v", r.Partitions, r.CrossShare)
			}
			if r.LatencyMS.P50 <= 0 || r.LatencyMS.Max < r.LatencyMS.P999 || r.LatencyMS.P999 < r.LatencyMS.P50 {
				t.Errorf("latency %+v", r.LatencyMS)
			}
			if !r.ClientIsServer || r.CPU.Client != 0 || r.CPU.Server != r.CPU.Walletd {
				t.Errorf("CPU %+v in a process that is both", r.CPU)
			}
			if rate > 0 && (r.TransfersPerS < 0.5*rate || r.TransfersPerS > 1.2*rate) {
				t.Errorf("%v a second, want %v", r.TransfersPerS, rate)
			}
			if !stages["measure"] || !stages["verify"] {
				t.Errorf("stages told: %v", stages)
			}
		})
	}
}

// Every way to cheat makes the run void, and says why.
func TestDishonestWalletMakesTheRunVoid(t *testing.T) {
	at := func(n int, cheat func(*fakeWallet, *fakeTransfer) string) func(*fakeWallet, int, *fakeTransfer) string {
		return func(w *fakeWallet, i int, m *fakeTransfer) string {
			if i == n {
				return cheat(w, m)
			}
			return w.move(m)
		}
	}
	for _, row := range []struct {
		name      string
		transfer  func(*fakeWallet, int, *fakeTransfer) string
		change    func(*fakeWallet)
		conserved bool
		replayed  bool
		reason    string
	}{
		{"loses a credit", at(7, func(w *fakeWallet, m *fakeTransfer) string { w.credit(m.From, -m.Amount); return confirmed(m) }), nil, false, true, "not conserved"},
		{"credits twice", at(7, func(w *fakeWallet, m *fakeTransfer) string { w.credit(m.To, m.Amount); return w.move(m) }), nil, false, true, "not conserved"},
		{"moves twice", at(7, func(w *fakeWallet, m *fakeTransfer) string { w.move(m); return w.move(m) }), nil, true, true, "exactly once"},
		{"acknowledges and does nothing", at(7, func(_ *fakeWallet, m *fakeTransfer) string { return confirmed(m) }), nil, true, true, "exactly once"},
		{"pays another", at(7, func(w *fakeWallet, m *fakeTransfer) string {
			for id := range w.accounts {
				if id != m.To && id != m.From && !strings.HasSuffix(id, "issuance") {
					w.move(&fakeTransfer{From: m.From, To: id, Amount: m.Amount})
					break
				}
			}
			return confirmed(m)
		}), nil, true, true, "exactly once"},
		{"refuses and moves all the same", at(7, func(w *fakeWallet, m *fakeTransfer) string {
			w.move(m)
			return `"error":{"code":"account_frozen","retryable":false}`
		}), nil, true, true, "exactly once"},
		{"answers another status", at(7, func(_ *fakeWallet, m *fakeTransfer) string {
			return strings.Replace(confirmed(m), "confirmed", "refused", 1)
		}), nil, true, true, "neither acknowledgement nor refusal"},
		{"names another payer's transfer", at(7, func(w *fakeWallet, m *fakeTransfer) string {
			other := *m
			other.From = "somebody"
			w.move(m)
			return confirmed(&other)
		}), nil, true, true, "another payer"},
		{"answers what is no transfer", at(7, func(_ *fakeWallet, m *fakeTransfer) string { return `"ok":{}` }), nil, true, true, "neither acknowledgement nor refusal"},
		{"replays to another state", nil, func(w *fakeWallet) { w.reconciled = `{"ok":false,"first":"0.1.7"}` }, true, false, "0.1.7"},
		{"does not replay", nil, func(w *fakeWallet) { w.reconciled = `nonsense` }, true, false, "not replayed"},
		{"mints between the accounts and issuance", nil, func(w *fakeWallet) {
			w.transfer = func(w *fakeWallet, n int, m *fakeTransfer) string {
				if n == 7 {
					w.accounts["bench-test-issuance"].money += 5
				}
				return w.move(m)
			}
		}, false, true, "issuance together"},
		{"refuses everything", func(*fakeWallet, int, *fakeTransfer) string {
			return `"error":{"code":"insufficient_funds","retryable":false}`
		}, nil, true, true, "no transfer was acknowledged"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newFakeWallet(t)
			w.transfer = row.transfer
			if row.change != nil {
				row.change(w)
			}
			r, err := Transfer(t.Context(), w.config())
			if err != nil {
				t.Fatal(err)
			}
			if !r.Void || r.Conserved != row.conserved || r.Replayed != row.replayed {
				t.Errorf("void %v, conserved %v, replayed %v: %v", r.Void, r.Conserved, r.Replayed, r.Reason)
			}
			if got := r.Reason; !strings.Contains(got, row.reason) {
				t.Errorf("reasons %q, want %q among them", got, row.reason)
			}
		})
	}
}

// What each workload demands besides is looked at, too.
func TestWorkloadsAreHeldToWhatTheyDemand(t *testing.T) {
	pay := func(w *fakeWallet) {
		w.transfer = func(w *fakeWallet, _ int, m *fakeTransfer) string { return w.move(m) }
	}
	for _, row := range []struct {
		name     string
		workload Workload
		batch    int
		change   func(*fakeWallet)
		reason   string // "" for a valid run
	}{
		{"batches are answered item by item", Transfers, 5, nil, ""},
		{"refusals are demanded", Refusals, 0, nil, ""},
		{"also in batches", Refusals, 5, nil, ""},
		{"more than there is is paid", Refusals, 0, pay, "more was paid than there is"},
		{"also in a batch", Refusals, 5, pay, "more was paid than there is"},
		{"repeats get the first outcome", Repeats, 0, nil, ""},
		{"also in batches", Repeats, 5, nil, ""},
		{"a repeat moves again", Repeats, 0, func(w *fakeWallet) {
			w.again = func(w *fakeWallet, m *fakeTransfer) string { return w.move(m) }
		}, "exactly once"},
		{"a repeat is answered otherwise", Repeats, 0, func(w *fakeWallet) {
			w.again = func(_ *fakeWallet, m *fakeTransfer) string {
				return strings.Replace(confirmed(m), "0.1.9", "0.1.10", 1)
			}
		}, "a repeat was answered"},
		{"a repeat is answered otherwise in a batch", Repeats, 5, func(w *fakeWallet) {
			w.again = func(_ *fakeWallet, m *fakeTransfer) string {
				return strings.Replace(confirmed(m), "0.1.9", "0.1.10", 1)
			}
		}, "a repeat was answered"},
		{"a Try and its Confirm", Reservations, 0, nil, ""},
		{"a Confirm that moves nothing", Reservations, 0, func(w *fakeWallet) {
			w.confirm = func(_ *fakeWallet, m *fakeTransfer) string { return confirmed(m) }
		}, "exactly once"},
		{"balances are read", Reads, 0, nil, ""},
		{"cash is paid in and out", SmallBank, 0, nil, ""},
		{"cash vanishes", SmallBank, 0, func(w *fakeWallet) {
			w.transfer = func(w *fakeWallet, n int, m *fakeTransfer) string {
				if n == 20 {
					w.credit(m.From, -m.Amount)
					return confirmed(m)
				}
				return w.move(m)
			}
		}, "conserved"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newFakeWallet(t)
			if row.change != nil {
				row.change(w)
			}
			cfg := w.config()
			cfg.Workload, cfg.Batch, cfg.Accounts, cfg.Prefund = row.workload, row.batch, 128, 1_000_000
			r, err := Transfer(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if row.reason == "" && r.Void || !strings.Contains(r.Reason, row.reason) || r.Transfers == 0 {
				t.Errorf("void %v: %s; want %q; %v", r.Void, r.Reason, row.reason, r.Operations)
			}
		})
	}
}

func TestRefusalsAreCountedByCode(t *testing.T) {
	w := newFakeWallet(t)
	w.transfer = func(w *fakeWallet, n int, m *fakeTransfer) string {
		switch n % 4 {
		case 0:
			return `"error":{"code":"overloaded","retryable":true}`
		case 1:
			return `"error":{"code":"insufficient_funds","retryable":false,"needed":1}`
		}
		return w.move(m)
	}
	r, err := Transfer(t.Context(), w.config())
	if err != nil || r.Void {
		t.Fatalf("%v %v", err, r.Reason)
	}
	if n := int64(w.moved); r.Refused["overloaded"] != n/4 || r.Acknowledged+r.Refused["overloaded"]+r.Refused["insufficient_funds"] != n {
		t.Errorf("refused %v of %d, %d acknowledged", r.Refused, n, r.Acknowledged)
	}
}

// The wallet stands still for 300 ms: with a fixed rate, all that was meant to leave meanwhile has waited, and the tail
// shows it. A closed loop would have seen one slow reply a slot.
func TestOpenLoopShowsAStall(t *testing.T) {
	const stall = 300 * time.Millisecond
	w := newFakeWallet(t)
	w.stall = func(n int) time.Duration {
		if n == 200 {
			return stall
		}
		return 0
	}
	cfg := w.config()
	cfg.Rate, cfg.Duration, cfg.InFlight = 1000, time.Second, 8
	r, err := Transfer(t.Context(), cfg)
	if err != nil || r.Void {
		t.Fatalf("%v %v", err, r.Reason)
	}
	// About 300 of 1,000 were meant to leave during the stall; they waited 0 to 300 ms.
	if r.LatencyMS.P999 < 250 || r.LatencyMS.Max < 295 || r.LatencyMS.P99 < 200 {
		t.Errorf("latency %+v hides a stall of %v", r.LatencyMS, stall)
	}
	if r.LatencyMS.P50 > 150 {
		t.Errorf("p50 %v ms: the stall took 30 %% of the time only", r.LatencyMS.P50)
	}
}

// A wallet that is too slow for the rate: what never left is counted, and has waited.
func TestOpenLoopCountsWhatNeverLeft(t *testing.T) {
	w := newFakeWallet(t)
	w.stall = func(int) time.Duration { return 2 * time.Millisecond }
	cfg := w.config()
	cfg.Rate, cfg.Duration, cfg.InFlight = 5000, 300*time.Millisecond, 4
	r, err := Transfer(t.Context(), cfg)
	if err != nil || r.Void {
		t.Fatalf("%v %v", err, r.Reason)
	}
	if r.Unsent < 1000 || r.LatencyMS.P50 < 80 {
		t.Errorf("%d unsent, p50 %v ms, at a tenth of the wanted rate", r.Unsent, r.LatencyMS.P50)
	}
}

func TestRunsThatCannotBeMade(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*fakeWallet, *Config)
		want   string
	}{
		{"nobody there", func(_ *fakeWallet, c *Config) { c.URL = "http://127.0.0.1:1"; c.Partitions = 8 }, "prepare"},
		{"partitions not told", func(w *fakeWallet, _ *Config) { w.version = `{}` }, "partitions"},
		{"one partition, cross wanted", func(w *fakeWallet, _ *Config) { w.version = `{"partitions":1}` }, "one partition"},
		{"funding does not arrive", func(w *fakeWallet, c *Config) {
			c.Prefund = 1000
			w.accounts["thief"] = nil
			w.version = `{"partitions":8}`
			c.Accounts = 2
			c.Cross = 0
		}, "no two accounts"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newFakeWallet(t)
			cfg := w.config()
			row.change(w, &cfg)
			if _, err := Transfer(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	t.Run("told to stop", func(t *testing.T) {
		w := newFakeWallet(t)
		cfg := w.config()
		cfg.Duration = time.Hour
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped")
		cfg.Progress = func(stage string, _ float64) {
			if stage == "measure" {
				cancel(stopped)
			}
		}
		if _, err := Transfer(ctx, cfg); !errors.Is(err, stopped) {
			t.Errorf("got %v, want to be stopped", err)
		}
	})
}

func TestConfigTellsEveryProblemAtOnce(t *testing.T) {
	err := Config{Accounts: 1, Workload: "golf", Batch: 2000, Distribution: "gauss", Cross: 1.5, Partitions: 2000, Connections: -1, InFlight: 1 << 17, FrameMessages: -1,
		Rate: -1, Duration: -1, Amount: -1, Run: "no spaces"}.Validate()
	for _, want := range []string{"server", "accounts", "workload", "batch", "distribution", "cross", "partitions", "connections", "in flight", "frame", "rate", "duration", "amount", "run"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	if err := (Config{URL: "http://x", Partitions: 8}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestReadyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ready.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"http":"http://h:1","ws":"ws://h:1/v1/ws","admin":"http://h:2","pid":17,"redis":[{"shard":"s1","addr":"h:3","pid":18},{"shard":"s2","addr":"h:4","pid":19}],"data":"d"}`)
	cfg := Config{URL: "http://default", Accounts: 7}
	if err := cfg.ReadReadyFile(path); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %v %v %v", cfg.URL, cfg.Admin, cfg.Processes, cfg.Accounts); got != "http://h:1 http://h:2 {[17] [18 19] [] [] []} 7" {
		t.Errorf("got %s", got)
	}
	if err := cfg.ReadReadyFile(path + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
	for _, text := range []string{`{`, `{}`} {
		write(text)
		if err := cfg.ReadReadyFile(path); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}
