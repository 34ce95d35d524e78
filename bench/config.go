package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"walletd/journal"
)

// Workload is what is done.
type Workload string

// The workloads. An operation of each is what is counted, timed and divided by.
const (
	Transfers    Workload = "transfers"    // every operation is a transfer
	Reservations Workload = "reservations" // every operation is a Try and, when it is answered, its Confirm
	Refusals     Workload = "refusals"     // a fifth of the transfers asks for more than there is
	Repeats      Workload = "repeats"      // a hundredth repeats an acknowledged transfer's key
	SmallBank    Workload = "smallbank"    // SmallBank's six transactions
	Reads        Workload = "reads"        // 95 of 100 read a balance
)

// Workloads are all of them.
var Workloads = []Workload{Transfers, Reservations, Refusals, Repeats, SmallBank, Reads}

// Distribution is how payers and payees are drawn.
type Distribution string

// The distributions.
const (
	Uniform Distribution = "uniform" // every account alike
	Zipf    Distribution = "zipf"    // the n-th most busy account 1/n^0.99 as often as the first
	Hot     Distribution = "hot"     // one account is a side of every second transfer
)

// Load is what is done to a wallet for a while. Zero values take the defaults of withDefaults.
type Load struct {
	Workload     Workload      // transfers
	Distribution Distribution  // uniform
	Cross        float64       // share of transfers whose payee is in another partition than the payer: 0 … 1
	Batch        int           // transfers in one message; 0: each has its own
	Connections  int           // 4
	InFlight     int           // messages under way on each connection: 256
	Rate         float64       // operations a second, all connections together (open loop); 0: as fast as they are answered
	Duration     time.Duration // measured: 10 s
	Seed         uint64        // same seed, same transfers
	Profile      bool          // ask walletd what its CPU is used for meanwhile
}

// Config is one run. Zero values take the defaults of withDefaults.
type Config struct {
	URL   string // the wallet: http://…
	Admin string // its admin listener: http://…; needed to verify that the journal replays
	Token string

	Accounts   int // opened for the run: 10,000
	Partitions int // of the wallet; 0: ask its /version

	// Issuers, where they are named, say that the accounts (AccountName) are open already and have money, all of it from them.
	Issuers []string

	// The load, as in Load.
	Workload     Workload
	Distribution Distribution
	Cross        float64
	Batch        int
	Connections  int
	InFlight     int
	Rate         float64
	Duration     time.Duration
	Seed         uint64

	FrameMessages int // messages in one frame at most; 0: all that wait. In the open loop all that are due share a frame

	WarmUp time.Duration // the same load before, not measured: 2 s; negative: none
	Settle time.Duration // how long outcomes and credits may take at the end: 30 s

	Amount  journal.Amount // of each transfer, minor units: 1
	Prefund journal.Amount // of each account: a million transfers' worth
	Asset   string         // USD
	Run     string         // names the run's accounts and keys, up to 16 of A–Z a–z 0–9; empty: made

	script int // operations that are drawn: scriptLen

	Processes Processes
	Shards    []string                          // addresses of the Redis servers, whose commands are counted
	Profile   bool                              // ask walletd what its CPU is used for
	Progress  func(stage string, share float64) // share 0 … 1; may be nil; called from one goroutine
}

// load is the configuration's own.
func (c *Config) load() Load {
	return Load{c.Workload, c.Distribution, c.Cross, c.Batch, c.Connections, c.InFlight, c.Rate, c.Duration, c.Seed, c.Profile}
}

// Processes are those whose CPU is counted, by pid.
type Processes struct {
	Walletd   []int `json:"walletd"`
	Redis     []int `json:"redis"`
	Kafka     []int `json:"kafka"`
	ZooKeeper []int `json:"zookeeper,omitempty"`
	Postgres  []int `json:"postgres,omitempty"` // postmasters: their children count, too
}

const (
	accountsMax    = 10_000_000
	connectionsMax = 1024
	runMax         = 16
)

func (c *Config) withDefaults() {
	setDefault(&c.Accounts, 10_000)
	l := c.load()
	l.withDefaults()
	c.Workload, c.Distribution, c.Connections, c.InFlight, c.Duration = l.Workload, l.Distribution, l.Connections, l.InFlight, l.Duration
	setDefault(&c.WarmUp, 2*time.Second)
	setDefault(&c.script, scriptLen)
	setDefault(&c.Settle, 30*time.Second)
	setDefault(&c.Amount, 1)
	setDefault(&c.Asset, "USD")
	if c.Prefund == 0 && c.Amount > 0 && c.Accounts > 0 {
		c.Prefund = min(1_000_000*c.Amount, journal.AmountMax/2/journal.Amount(c.Accounts))
	}
	c.WarmUp = max(c.WarmUp, 0)
	if c.Run == "" {
		c.Run = newRun()
	}
	if c.Progress == nil {
		c.Progress = func(string, float64) {}
	}
}

func (l *Load) withDefaults() {
	setDefault(&l.Workload, Transfers)
	setDefault(&l.Distribution, Uniform)
	setDefault(&l.Connections, 4)
	setDefault(&l.InFlight, 256)
	setDefault(&l.Duration, 10*time.Second)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// problems collects what is wrong.
type problems []error

func (p *problems) add(wrong bool, format string, args ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// Validate reports every problem at once, after the defaults.
func (c Config) Validate() error {
	c.withDefaults()
	var bad problems
	bad.add(c.URL == "", "no server")
	bad.add(c.Accounts < 2 || c.Accounts > accountsMax, "accounts: %d, want 2 to %d", c.Accounts, accountsMax)
	bad.add(c.Partitions < 0 || c.Partitions > 1024, "partitions: %d, want 1 to 1024, or 0 to ask the wallet", c.Partitions)
	bad.add(c.Partitions == 0 && c.Admin == "", "partitions: not given, and no admin listener to ask")
	bad.add(c.FrameMessages < 0, "messages per frame: %d", c.FrameMessages)
	bad.add(c.WarmUp > 24*time.Hour, "warm-up: %v", c.WarmUp)
	bad.add(c.Settle < 0, "settle: %v", c.Settle)
	bad.add(!c.Amount.Valid(), "amount: %d, want 1 to %d", c.Amount, journal.AmountMax)
	bad.add(c.Prefund < c.Amount || c.Accounts > 0 && c.Prefund > journal.AmountMax/journal.Amount(c.Accounts),
		"prefund: %d, want at least one amount, and all together at most %d", c.Prefund, journal.AmountMax)
	bad.add(!plain(c.Run), "run: %q, want at most %d of A–Z a–z 0–9", c.Run, runMax)
	bad.add(len(c.Issuers) > 0 && c.Workload == SmallBank, "issuers: accounts that are open already have no tellers, as SmallBank needs them")
	bad = append(bad, c.problems(c.load())...)
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("bench config: %w", err)
	}
	return nil
}

// problems are those of a load on this run's wallet.
func (c *Config) problems(l Load) (bad problems) {
	l.withDefaults()
	bad.add(!slices.Contains(Workloads, l.Workload), "workload: %q, want one of %v", l.Workload, Workloads)
	bad.add(l.Distribution != Uniform && l.Distribution != Zipf && l.Distribution != Hot,
		"distribution: %q, want uniform, zipf or hot", l.Distribution)
	bad.add(!(l.Cross >= 0 && l.Cross <= 1), "cross share: %v, want 0 to 1", l.Cross)
	bad.add(l.Cross > 0 && c.Partitions == 1, "cross share: %v, but the wallet has one partition", l.Cross)
	bad.add(l.Connections < 1 || l.Connections > connectionsMax, "connections: %d, want 1 to %d", l.Connections, connectionsMax)
	bad.add(l.InFlight < 1 || l.InFlight > 1<<16, "in flight: %d, want 1 to 65536", l.InFlight)
	bad.add(l.Batch < 0 || l.Batch > batchMax, "batch: %d, want 1 to %d transfers a message, or 0", l.Batch, batchMax)
	bad.add(l.Batch > 0 && !l.Workload.batches(), "batch: %d, but %s are not sent in batches", l.Batch, l.Workload)
	bad.add(!(l.Rate >= 0 && l.Rate <= 1e8), "rate: %v, want 0 (closed loop) or operations a second", l.Rate)
	bad.add(l.Duration < 0 || l.Duration > 24*time.Hour, "duration: %v", l.Duration)
	bad.add(l.Workload == SmallBank && c.Accounts < smallBankMin, "accounts: %d, want at least %d for SmallBank's customers", c.Accounts, smallBankMin)
	bad.add(l.Workload == Refusals && c.Prefund > journal.AmountMax/2/journal.Amount(max(c.Accounts, 1)),
		"prefund: %d: so much that nobody could ask for more", c.Prefund)
	return bad
}

const (
	batchMax     = 1000
	smallBankMin = 100
)

// batches reports whether a workload is of transfers alone.
func (w Workload) batches() bool { return w == Transfers || w == Refusals || w == Repeats }

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
		PID  int    `json:"pid"`
		Addr string `json:"addr"`
	}
	var ready struct {
		HTTP  string    `json:"http"`
		Admin string    `json:"admin"`
		PID   int       `json:"pid"`
		Redis []process `json:"redis"`
		Kafka []process `json:"kafka"`

		ZooKeeper []process `json:"zookeeper"`
		Postgres  []process `json:"postgres"`
	}
	if err := json.Unmarshal(text, &ready); err != nil {
		return fmt.Errorf("ready file %s: %w", path, err)
	}
	if ready.HTTP == "" || ready.PID <= 0 {
		return fmt.Errorf("ready file %s: names no wallet", path)
	}
	c.URL, c.Admin = ready.HTTP, ready.Admin
	c.Processes = Processes{Walletd: []int{ready.PID}}
	c.Shards = nil
	for _, p := range ready.Redis {
		c.Processes.Redis = append(c.Processes.Redis, p.PID)
		if p.Addr != "" {
			c.Shards = append(c.Shards, p.Addr)
		}
	}
	for _, p := range ready.Kafka {
		c.Processes.Kafka = append(c.Processes.Kafka, p.PID)
	}
	for _, p := range ready.ZooKeeper {
		c.Processes.ZooKeeper = append(c.Processes.ZooKeeper, p.PID)
	}
	for _, p := range ready.Postgres {
		c.Processes.Postgres = append(c.Processes.Postgres, p.PID)
	}
	return nil
}
