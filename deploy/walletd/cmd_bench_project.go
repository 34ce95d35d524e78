package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"walletd/bench"
	"walletd/bench/goals"
	"walletd/journal"
	"walletd/journal/filelog"
)

// projectOptions are the flags of `walletd bench project`.
type projectOptions struct {
	goals.Wanted
	kafka    bool
	cross    float64
	duration time.Duration
	accounts int
}

func (a *app) benchProjectCmd() *cobra.Command {
	var o projectOptions
	cmd := &cobra.Command{
		Use: "project", Short: "what a load would need, extrapolated from what a transfer costs on this machine", Args: args(0, 0),
		Long: `project measures a wallet of its own at its maximum: CPU of each process and component, bytes journaled, memory of an account and of a
key. It multiplies them by what is asked for, and says where each figure comes from. It is an extrapolation, no measurement.`,
		Example: "  walletd bench project --tps 1000000 --kafka\n  walletd bench project --tps 50000 --cross 0.2 --key-window 24h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.project(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.TPS, "tps", 1_000_000, "transfers a second")
	f.Float64Var(&o.cross, "cross", 1, "share of them across partitions")
	f.Float64Var(&o.Wanted.Accounts, "accounts", 100_000_000, "accounts there would be")
	f.DurationVar(&o.KeyWindow, "key-window", keyWindowDefault, "how long shards would remember keys")
	f.Float64Var(&o.Utilisation, "utilisation", 0.6, "how busy a core, and a shard's thread, may be")
	f.Float64Var(&o.Copies, "copies", 3, "copies of the journal")
	f.BoolVar(&o.kafka, "kafka", false, "measure on a cluster with one Kafka broker")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "measured time; as long again warms up")
	f.IntVar(&o.accounts, "measured-accounts", 10_000, "accounts of the wallet that is measured")
	return cmd
}

func (a *app) project(ctx context.Context, o projectOptions) error {
	if err := o.Validate(); err != nil {
		return exit(exitUsage, "%w", err)
	}
	c := bench.Config{URL: "http://own", Admin: "http://own", Token: a.token, Accounts: o.accounts, Cross: o.cross, Duration: o.duration, Profile: true, Seed: 1}
	if err := c.Validate(); err != nil {
		return exit(exitUsage, "%w", err)
	}
	var sizes goals.Sizes
	var audit bench.Audit
	err := a.withOwnWallet(ctx, ownWallet{cluster: o.kafka}, func(ctx context.Context, dir, ready string) (err error) {
		if err := c.ReadReadyFile(ready); err != nil {
			return err
		}
		bar := a.bar("bench")
		defer bar.done()
		c.Progress = bar.stage
		sizes, audit, err = measureSizes(ctx, c, func(ctx context.Context) (journal.Log, func() error, error) {
			return ownJournal(ctx, filepath.Join(dir, "data"), ready)
		})
		sizes.Kafka = o.kafka
		return err
	})
	if err != nil {
		return err
	}
	if len(audit.Reasons) > 0 {
		return exit(exitDifferent, "the measurement is void: %v", audit.Reasons)
	}
	p := goals.Project(o.Wanted, sizes)
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(p)
	}
	fmt.Fprint(a.out, p.Table())
	return nil
}

// measureSizes measures a wallet that nobody else uses.
func measureSizes(ctx context.Context, c bench.Config, open func(context.Context) (journal.Log, func() error, error)) (s goals.Sizes, a bench.Audit, err error) {
	empty, err := bench.RedisMemory(ctx, c.Shards)
	if err != nil {
		return s, a, err
	}
	session, err := bench.Open(ctx, c)
	if err != nil {
		return s, a, err
	}
	defer session.Close()
	opened, err := bench.RedisMemory(ctx, c.Shards)
	if err != nil {
		return s, a, err
	}
	load := bench.Load{Cross: c.Cross, Duration: c.Duration, Seed: c.Seed}
	if _, err := session.Measure(ctx, load); err != nil {
		return s, a, err
	}
	var memory, bytes [2]float64
	var r bench.Report
	for i := range 2 {
		if memory[i], err = bench.RedisMemory(ctx, c.Shards); err != nil {
			return s, a, err
		}
		if bytes[i], err = journaledBytes(ctx, open); err != nil {
			return s, a, err
		}
		if i == 0 {
			load.Profile = true
			if r, err = session.Measure(ctx, load); err != nil {
				return s, a, err
			}
		}
	}
	if r.Acknowledged == 0 {
		return s, a, fmt.Errorf("nothing was acknowledged: %v", r.Refused)
	}
	n := float64(r.Acknowledged)
	s = goals.Sizes{CPU: r.CPU, Components: r.Components, JournalBytes: (bytes[1] - bytes[0]) / n, KeyBytes: max((memory[1]-memory[0])/n, 0), MessageBytes: r.MessageBytes, Cross: c.Cross}
	s.AccountBytes = max((opened-empty)/float64(c.Accounts)-s.KeyBytes, 0) // each has a key, too: its funding's
	a, err = session.Audit(ctx)
	return s, a, err
}

// journaledBytes is the sum of all records.
func journaledBytes(ctx context.Context, open func(context.Context) (journal.Log, func() error, error)) (sum float64, err error) {
	log, done, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = done() }() // it was only read
	for p := range log.Partitions() {
		_, err := log.Read(ctx, p, 0, func(_ int64, record []byte) error {
			sum += float64(len(record))
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("read the journal: %w", err)
		}
	}
	return sum, nil
}

// ownJournal opens the journal of a wallet that a bench has started, for reading beside it.
func ownJournal(ctx context.Context, data, ready string) (journal.Log, func() error, error) {
	b, err := os.ReadFile(ready)
	if err != nil {
		return nil, nil, fmt.Errorf("ready file: %w", err)
	}
	var info readyInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, nil, fmt.Errorf("ready file: %w", err)
	}
	if len(info.Kafka) > 0 {
		log, err := openKafka(ctx, Config{Kafka: []string{info.Kafka[0].Addr}, Topic: "wallet.journal", Partitions: 8, Replicas: 1, Dev: true}, false)
		if err != nil {
			return nil, nil, err
		}
		return log, log.Close, nil
	}
	log, err := filelog.OpenReadOnly(filepath.Join(data, "journal"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the journal: %w", err)
	}
	return log, log.Close, nil
}
