package walletd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"walletd/bench"
	"walletd/bench/crowd"
	"walletd/bench/goals"
	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
)

// scaleOptions are the flags of `walletd bench scale`.
type scaleOptions struct {
	axes                          []string
	rounds, bulks                 int
	duration                      time.Duration
	partitionsMax, accounts       int
	accountsMax, events, inFlight int
}

// axes are all that scale knows.
var axes = []string{"partitions", "accounts", "events", "distribution"}

func (a *app) benchScaleCmd() *cobra.Command {
	var o scaleOptions
	cmd := &cobra.Command{
		Use: "scale", Short: "does a transfer's cost stay flat as partitions, accounts, history and skew grow?", Args: args(0, 0),
		Long: `scale starts wallets that differ in one thing: partitions and shards from 1 to 8; accounts from 10,000 to a million; an empty
journal and one with a history; uniform, zipf and hot accounts. All of an axis are measured in every round, each beside the
floor at the same number of accounts a shard. Flat is what grows by at most 10 %.`,
		Example: "  walletd bench scale\n  walletd bench scale --axes accounts --accounts-max 10000000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.scale(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.axes, "axes", axes, "what is to grow")
	f.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median counts; another one warms up")
	f.IntVar(&o.bulks, "floor-bulks", 500, "bulks of the floor in a round")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "of each load in a round")
	f.IntVar(&o.partitionsMax, "partitions-max", 8, "partitions, each on a shard of its own, up to this, by doubling")
	f.IntVar(&o.accounts, "accounts", 10_000, "accounts, where they do not grow, and where they begin to")
	f.IntVar(&o.accountsMax, "accounts-max", 1_000_000, "accounts up to this, ten times as many at each step; 10000000 takes minutes and 8 GB")
	f.IntVar(&o.events, "events", 1_000_000, "transfers in the journal of the wallet with a history")
	f.IntVar(&o.inFlight, "in-flight", 512, "transfers under way, for each shard")
	return cmd
}

func (o *scaleOptions) check() error {
	for _, axis := range o.axes {
		if !slices.Contains(axes, axis) {
			return exit(exitUsage, "--axes %s: one of %v is possible", axis, axes)
		}
	}
	for _, n := range []struct {
		flag      string
		n, lo, hi int
	}{{"rounds", o.rounds, 1, 100}, {"floor-bulks", o.bulks, 1, 1 << 20}, {"partitions-max", o.partitionsMax, 1, 64}, {"accounts", o.accounts, 100, 10_000_000},
		{"accounts-max", o.accountsMax, o.accounts, 10_000_000}, {"events", o.events, 1, 1_000_000_000}, {"in-flight", o.inFlight, 1, 4096}} {
		if n.n < n.lo || n.n > n.hi {
			return exit(exitUsage, "--%s %d: %d to %d are possible", n.flag, n.n, n.lo, n.hi)
		}
	}
	return nil
}

// grown is a variant before its wallet runs.
type grown struct {
	value                string
	shards, accounts     int
	events               int
	crowd                bool // its journal is written beforehand
	distribution         bench.Distribution
	cross                float64
	sameWalletAsTheFirst bool
}

// variants are the values of an axis.
func (o *scaleOptions) variants(axis string) (all []grown) {
	base := grown{shards: 2, accounts: o.accounts, distribution: bench.Uniform, cross: 0.5}
	add := func(change func(g *grown)) {
		g := base
		change(&g)
		all = append(all, g)
	}
	switch axis {
	case "partitions":
		for n := 1; n <= o.partitionsMax; n *= 2 {
			add(func(g *grown) { g.value, g.shards, g.cross = fmt.Sprintf("%d partitions and shards", n), n, 0 })
		}
	case "accounts":
		for n := o.accounts; n <= o.accountsMax; n *= 10 {
			add(func(g *grown) { g.value, g.accounts, g.crowd = fmt.Sprintf("%d accounts", n), n, true })
		}
	case "events":
		add(func(g *grown) { g.value, g.crowd = "no history", true })
		add(func(g *grown) {
			g.value, g.crowd, g.events = fmt.Sprintf("%d transfers journaled", o.events), true, o.events
		})
	case "distribution":
		for i, d := range []bench.Distribution{bench.Uniform, bench.Zipf, bench.Hot} {
			add(func(g *grown) { g.value, g.distribution, g.sameWalletAsTheFirst = string(d), d, i > 0 })
		}
	}
	return all
}

func (a *app) scale(ctx context.Context, o scaleOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	var measured []goals.Axis
	for _, name := range o.axes {
		axis, err := a.scaleAxis(ctx, name, &o)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		measured = append(measured, axis)
		if a.output != "json" {
			axis.WriteTable(a.out)
			fmt.Fprintln(a.out)
		}
	}
	if a.output == "json" {
		if err := json.NewEncoder(a.out).Encode(measured); err != nil {
			return err
		}
	}
	for _, axis := range measured {
		if axis.Void {
			return exit(exitDifferent, "%s is void: %s", axis.Name, axis.Reason)
		}
	}
	return nil
}

// scaleAxis starts the wallets of an axis and measures.
func (a *app) scaleAxis(ctx context.Context, name string, o *scaleOptions) (axis goals.Axis, err error) {
	variants := o.variants(name)
	var wallets []ownWallet
	walletOf := make([]int, len(variants))
	for i, g := range variants {
		if !g.sameWalletAsTheFirst {
			wallets = append(wallets, g.wallet())
		}
		walletOf[i] = len(wallets) - 1
	}
	bar := a.bar("bench")
	defer bar.done()
	bar.stage(name+": start the wallets", 0)
	err = a.withOwnWallets(ctx, wallets, func(ctx context.Context, dir string, ready []string) error {
		c := goals.AxisConfig{Name: name, Rounds: o.rounds, Bulks: o.bulks, Duration: o.duration, Progress: bar.stage}
		for i, g := range variants {
			redis, err := local.StartRedis(ctx, local.RedisConfig{Dir: filepath.Join(dir, "floor"+strconv.Itoa(i))})
			if err != nil {
				return exit(exitFailed, "the floor's Redis: %w", err)
			}
			defer redis.Stop()
			v, err := g.variant(ready[walletOf[i]], o.inFlight)
			if err != nil {
				return err
			}
			v.Wallet.Token, v.FloorAddr = a.token, redis.Addr
			c.Variants = append(c.Variants, v)
		}
		axis, err = goals.MeasureAxis(ctx, c)
		return err
	})
	return axis, err
}

// historySpan is how long the history of a wallet took that has one: a tenth of its keys are in the window then.
const historySpan = 30 * 24 * time.Hour

// crowdRun names the accounts of journals that are written beforehand.
const crowdRun = "crowd"

func (g *grown) partitions() int { return max(g.shards, 4*min(g.shards-1, 2)) } // one a shard, or 8 on two

// wallet is how it is started.
func (g *grown) wallet() ownWallet {
	w := ownWallet{flags: []string{"--shards", strconv.Itoa(g.shards), "--partitions", strconv.Itoa(g.partitions())}}
	if g.crowd {
		w.prepare = g.prepare
	}
	return w
}

// prepare writes the journal.
func (g *grown) prepare(ctx context.Context, data string) error {
	dir, err := openDataDir(data, dirMeta{Partitions: g.partitions()}, g.shards)
	if err != nil {
		return err
	}
	log, err := filelog.Open(filelog.Config{Dir: dir.journalDir(), Partitions: dir.Partitions})
	if err != nil {
		return exit(exitFailed, "%w", err)
	}
	err = crowd.Write(ctx, crowd.Config{Log: log, Accounts: g.accounts, Name: func(i int) string { return bench.AccountName(crowdRun, g.accounts, i) },
		Amount: journal.Amount(1_000_000), Transfers: g.events, Seed: 1, Span: historySpan, Window: keyWindowDefault})
	if closeErr := log.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (g *grown) variant(ready string, inFlight int) (goals.Variant, error) {
	v := goals.Variant{Value: g.value, FloorAccounts: max(g.accounts/g.shards, 1),
		Wallet: bench.Config{Accounts: g.accounts, Connections: g.shards, InFlight: inFlight, Seed: 1},
		Load:   bench.Load{Distribution: g.distribution, Cross: g.cross, Connections: g.shards, InFlight: inFlight, Seed: 1}}
	if g.crowd {
		v.Wallet.Run = crowdRun
		for p := range g.partitions() {
			v.Wallet.Issuers = append(v.Wallet.Issuers, crowd.Purse(p, g.partitions()))
		}
	}
	return v, v.Wallet.ReadReadyFile(ready)
}

// withOwnWallets starts several, one inside the other.
func (a *app) withOwnWallets(ctx context.Context, wallets []ownWallet, fn func(ctx context.Context, dir string, ready []string) error) error {
	var ready []string
	var next func(ctx context.Context, i int, dir string) error
	next = func(ctx context.Context, i int, dir string) error {
		if i == len(wallets) {
			return fn(ctx, dir, ready)
		}
		return a.withOwnWallet(ctx, wallets[i], func(ctx context.Context, dir, file string) error {
			ready = append(ready, file)
			return next(ctx, i+1, dir)
		})
	}
	return next(ctx, 0, "")
}
