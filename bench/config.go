package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"walletd/journal"
)

// Distribution is how payers and payees are drawn.
type Distribution string

// The distributions.
const (
	Uniform Distribution = "uniform" // every account alike
	Zipf    Distribution = "zipf"    // the n-th most busy account about 1/n^1.1 as often as the first
	Hot     Distribution = "hot"     // one account is a side of every transfer
)

// Config is one run. Zero values take the defaults of withDefaults.
type Config struct {
	URL   string // the wallet: http://…
	Admin string // its admin listener: http://…; needed to verify that the journal replays
	Token string

	Accounts     int          // opened for the run: 10,000
	Distribution Distribution // uniform
	Cross        float64      // share of transfers whose payee is in another partition than the payer: 0 … 1
	Partitions   int          // of the wallet; 0: ask its /version

	Connections   int     // 4
	InFlight      int     // transfers under way on each connection: 256
	FrameMessages int     // transfers in one frame at most; 0: all that wait. In the open loop all that are due share a frame
	Rate          float64 // transfers a second, all connections together (open loop); 0: as fast as they are answered

	WarmUp   time.Duration // 2 s; negative: none
	Duration time.Duration // measured: 10 s
	Settle   time.Duration // how long outcomes and credits may take at the end: 30 s

	Amount  journal.Amount // of each transfer, minor units: 1
	Prefund journal.Amount // of each account: a million transfers' worth
	Asset   string         // USD
	Seed    uint64         // same seed, same transfers
	Run     string         // names the run's accounts and keys, up to 16 of A–Z a–z 0–9; empty: made

	Processes Processes
	Progress  func(stage string, share float64) // share 0 … 1; may be nil; called from one goroutine
}

// Processes are those whose CPU is counted, by pid.
type Processes struct {
	Walletd  []int `json:"walletd"`
	Redis    []int `json:"redis"`
	Kafka    []int `json:"kafka"`
	Postgres []int `json:"postgres,omitempty"` // postmasters: their children count, too
}

const (
	accountsMax    = 1_000_000
	connectionsMax = 1024
	runMax         = 16
)

func (c *Config) withDefaults() {
	setDefault(&c.Accounts, 10_000)
	setDefault(&c.Distribution, Uniform)
	setDefault(&c.Connections, 4)
	setDefault(&c.InFlight, 256)
	setDefault(&c.WarmUp, 2*time.Second)
	setDefault(&c.Duration, 10*time.Second)
	setDefault(&c.Settle, 30*time.Second)
	setDefault(&c.Amount, 1)
	setDefault(&c.Asset, "USD")
	if c.Prefund == 0 && c.Amount > 0 && c.Accounts > 0 {
		c.Prefund = min(1_000_000*c.Amount, journal.AmountMax/journal.Amount(c.Accounts))
	}
	c.WarmUp = max(c.WarmUp, 0)
	if c.Run == "" {
		c.Run = newRun()
	}
	if c.Progress == nil {
		c.Progress = func(string, float64) {}
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Validate reports every problem at once, after the defaults.
func (c Config) Validate() error {
	c.withDefaults()
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.URL == "", "no server")
	bad(c.Accounts < 2 || c.Accounts > accountsMax, "accounts: %d, want 2 to %d", c.Accounts, accountsMax)
	bad(c.Distribution != Uniform && c.Distribution != Zipf && c.Distribution != Hot,
		"distribution: %q, want uniform, zipf or hot", c.Distribution)
	bad(!(c.Cross >= 0 && c.Cross <= 1), "cross share: %v, want 0 to 1", c.Cross)
	bad(c.Partitions < 0 || c.Partitions > 1024, "partitions: %d, want 1 to 1024, or 0 to ask the wallet", c.Partitions)
	bad(c.Cross > 0 && c.Partitions == 1, "cross share: %v, but the wallet has one partition", c.Cross)
	bad(c.Partitions == 0 && c.Admin == "", "partitions: not given, and no admin listener to ask")
	bad(c.Connections < 1 || c.Connections > connectionsMax, "connections: %d, want 1 to %d", c.Connections, connectionsMax)
	bad(c.InFlight < 1 || c.InFlight > 1<<16, "in flight: %d, want 1 to 65536", c.InFlight)
	bad(c.FrameMessages < 0, "messages per frame: %d", c.FrameMessages)
	bad(!(c.Rate >= 0 && c.Rate <= 1e8), "rate: %v, want 0 (closed loop) or transfers a second", c.Rate)
	bad(c.Duration < 0 || c.Duration > 24*time.Hour, "duration: %v", c.Duration)
	bad(c.WarmUp > 24*time.Hour, "warm-up: %v", c.WarmUp)
	bad(c.Settle < 0, "settle: %v", c.Settle)
	bad(!c.Amount.Valid(), "amount: %d, want 1 to %d", c.Amount, journal.AmountMax)
	bad(c.Prefund < c.Amount || c.Accounts > 0 && c.Prefund > journal.AmountMax/journal.Amount(c.Accounts),
		"prefund: %d, want at least one amount, and all together at most %d", c.Prefund, journal.AmountMax)
	bad(!plain(c.Run), "run: %q, want at most %d of A–Z a–z 0–9", c.Run, runMax)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("bench config: %w", err)
	}
	return nil
}

func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) <= runMax
}

// ReadReadyFile takes the addresses and processes from the file that `walletd dev --ready-file` writes.
func (c *Config) ReadReadyFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	type process struct {
		PID int `json:"pid"`
	}
	var ready struct {
		HTTP     string    `json:"http"`
		Admin    string    `json:"admin"`
		PID      int       `json:"pid"`
		Redis    []process `json:"redis"`
		Kafka    []process `json:"kafka"`
		Postgres []process `json:"postgres"`
	}
	if err := json.Unmarshal(text, &ready); err != nil {
		return fmt.Errorf("ready file %s: %w", path, err)
	}
	if ready.HTTP == "" || ready.PID <= 0 {
		return fmt.Errorf("ready file %s: names no wallet", path)
	}
	c.URL, c.Admin = ready.HTTP, ready.Admin
	c.Processes = Processes{Walletd: []int{ready.PID}}
	for _, p := range ready.Redis {
		c.Processes.Redis = append(c.Processes.Redis, p.PID)
	}
	for _, p := range ready.Kafka {
		c.Processes.Kafka = append(c.Processes.Kafka, p.PID)
	}
	for _, p := range ready.Postgres {
		c.Processes.Postgres = append(c.Processes.Postgres, p.PID)
	}
	return nil
}
