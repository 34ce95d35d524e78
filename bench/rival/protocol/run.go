package protocol

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
)

// Config says what is measured, and on what.
type Config struct {
	Redis    [shards]string // of empty servers that nobody else uses, host:port
	Log      journal.Log    // of two partitions at least
	Accounts int            // in each shard
	Window   int            // transfers unanswered
	Duration time.Duration  // of each protocol and workload in a round
	Rounds   int
	Seed     uint64
	Progress func(stage string, share float64)

	strange int // tests: one in so many has a payee that nobody knows
	repeat  bool
	prefund int64
}

// Validate tells all that is wrong.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name      string
		n, lo, hi int
	}{{"accounts", c.Accounts, 2, 1_000_000}, {"window", c.Window, 1, 4096}, {"rounds", c.Rounds, 1, 100}} {
		if n.n < n.lo || n.n > n.hi {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", n.name, n.n, n.lo, n.hi))
		}
	}
	if c.Duration <= 0 || c.Duration > time.Minute {
		errs = append(errs, fmt.Errorf("duration: %v, want up to a minute", c.Duration))
	}
	return errors.Join(errs...)
}

// Run measures every protocol on every workload in turns. A protocol that does not conserve money, or leaves something locked or
// reserved, is an error.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	if c.prefund == 0 {
		c.prefund = 1_000_000_000
	}
	out := Report{Accounts: c.Accounts, Window: c.Window, Rounds: c.Rounds}
	measured := map[string][]once{}
	total, at := (c.Rounds)*len(Protocols)*len(Workloads), 0
	for round := range c.Rounds {
		for _, workload := range Workloads {
			for i := range Protocols {
				name := Protocols[(i+round)%len(Protocols)] // who begins changes
				c.Progress(fmt.Sprintf("round %d, %s: %s", round+1, workload, name), float64(at)/float64(total))
				at++
				o, err := c.once(ctx, name, workload, uint64(round))
				if err != nil {
					return out, fmt.Errorf("%s, %s: %w", name, workload, err)
				}
				measured[workload+name] = append(measured[workload+name], o)
			}
		}
	}
	for _, workload := range Workloads {
		for _, name := range Protocols {
			out.Results = append(out.Results, summary(workload, name, measured[workload+name]))
		}
	}
	return out, nil
}

// once is what a run of one protocol has shown, each a transfer where that has a meaning.
type once struct {
	perS, p50, p99, lockP50, lockP99, locked, bytes, flightMS, flight, redis, coordinator float64
}

// once runs one protocol for a while on fresh shards.
func (c *Config) once(ctx context.Context, name, workload string, round uint64) (o once, err error) {
	var all [shards]*shard
	for i, addr := range c.Redis {
		if all[i], err = openShard(ctx, addr); err != nil {
			return o, err
		}
		defer all[i].close()
		if err := c.fill(ctx, all[i], i); err != nil {
			return o, err
		}
	}
	m := newMachine(all, c.Log, newCoordinator(name))
	m.repeat = c.repeat
	m.load = &load{
		accounts: c.Accounts, hot: workload == Hot, amount: 1, window: c.Window, strange: c.strange,
		dice: rand.New(rand.NewPCG(c.Seed, round)), over: make(chan struct{}), moved: make([]int64, shards*c.Accounts),
		latency: newHistogram(), flight: newHistogram(), locked: newHistogram(),
	}
	before, err := usage(ctx, all)
	if err != nil {
		return o, err
	}
	start := time.Now()
	m.load.until = start.Add(c.Duration)
	if err := m.untilOver(ctx); err != nil {
		return o, err
	}
	took := time.Since(start)
	after, err := usage(ctx, all)
	if err != nil {
		return o, err
	}
	if err := c.audit(ctx, m); err != nil {
		return o, err
	}
	return m.load.summary(took, after.redis-before.redis, after.own-before.own), nil
}

func (l *load) summary(took time.Duration, redis, own float64) once {
	n := float64(max(l.yes+l.no, 1))
	ms := func(us int64) float64 { return float64(us) / 1000 }
	us := float64(took.Microseconds())
	return once{
		perS: n / took.Seconds(), p50: ms(l.latency.ValueAtQuantile(50)), p99: ms(l.latency.ValueAtQuantile(99)),
		lockP50: ms(l.locked.ValueAtQuantile(50)), lockP99: ms(l.locked.ValueAtQuantile(99)), locked: float64(l.lockedUS) / us,
		bytes: float64(l.bytes) / n, flightMS: ms(l.flight.ValueAtQuantile(50)), flight: float64(l.flightUS) / us,
		redis: redis / n, coordinator: own / n,
	}
}

// untilOver runs the machine until its load has ended.
func (m *machine) untilOver(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(inner)
	for i := range m.lanes {
		group.Go(func() error { return m.work(inner, i) })
	}
	group.Go(func() error { return m.write(inner) })
	m.mu.Lock()
	m.load.fill(m)
	m.mu.Unlock()
	select {
	case <-m.load.over:
	case <-inner.Done():
	}
	stop()
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// fill opens the accounts, with their money.
func (c *Config) fill(ctx context.Context, s *shard, number int) error {
	var rows []byte
	for i := range c.Accounts {
		a := accountOf(number, i, c.Accounts)
		rows = appendRow(rows, opOpen, [16]byte{}, a.name, c.prefund)
		if len(rows) == rowsMax*rowSize || i == c.Accounts-1 {
			if _, err := s.run(ctx, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return nil
}

// audit holds every account against what the answers have said.
func (c *Config) audit(ctx context.Context, m *machine) error {
	var sum int64
	for number, s := range m.shards {
		all, err := s.accounts(ctx)
		if err != nil {
			return err
		}
		for i := range c.Accounts {
			a := accountOf(number, i, c.Accounts)
			got := all[string(a.name[:])]
			if want := c.prefund + m.load.moved[a.index]; got != (standing{available: want}) {
				return fmt.Errorf("account %d has %+v, its answers say %d", a.index, got, want)
			}
			sum += got.available
		}
		if len(all) != c.Accounts {
			return fmt.Errorf("shard %d has %d accounts, not %d", number, len(all), c.Accounts)
		}
	}
	if want := c.prefund * int64(shards*c.Accounts); sum != want {
		return fmt.Errorf("money is not conserved: %d, and it was %d", sum, want)
	}
	return nil
}

// used is CPU so far, µs.
type used struct{ redis, own float64 }

func usage(ctx context.Context, all [shards]*shard) (u used, err error) {
	for _, s := range all {
		us, err := s.cpu(ctx)
		if err != nil {
			return u, err
		}
		u.redis += us
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return u, fmt.Errorf("CPU of this process: %w", err)
	}
	u.own = float64(own.Utime.Nano()+own.Stime.Nano()) / 1000
	return u, nil
}
