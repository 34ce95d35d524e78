package goals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/bench"
	"walletd/bench/floor"
)

// What transfers may cost all servers, as multiples of the floor, and how long they may take (docs/decisions/0017-fast.md).
const (
	CrossTarget      = 2.5
	CrossBatchTarget = 2.2
	SameTarget       = 2.2
	SameBatchTarget  = 1.9

	HalfP50Target   = 5.0 // ms, at half of the maximum, open loop
	HalfP99Target   = 10.0
	LoneSameTarget  = 1.2 // ms, p50 on an idle system
	LoneCrossTarget = 1.8
	LoneKafkaTarget = 3.5 // either, where the journal is in Kafka
)

// partialTargets are what a transfer may cost at a share of the maximum load, as multiples of what it costs at the maximum.
var partialTargets = map[float64]float64{0.5: 1.5, 0.25: 2}

// Config says how long it is measured, and where.
type Config struct {
	Wallet   bench.Config // the wallet; its load says how many connections and messages in flight there are for singles
	Floor    floor.Config // an empty Redis of its own
	Rounds   int          // besides the first, which warms up
	Duration time.Duration
	Batch    int // transfers a message, where there are several
	Journal  string
	Progress func(stage string, share float64)
}

// Validate tells all that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Rounds < 1 || c.Rounds > 100 {
		errs = append(errs, fmt.Errorf("rounds: %d, want 1 to 100", c.Rounds))
	}
	if c.Duration < 50*time.Millisecond || c.Duration > time.Hour {
		errs = append(errs, fmt.Errorf("duration: %v of each load, want 50 ms to 1 h", c.Duration))
	}
	if c.Batch < 2 || c.Batch > 1000 {
		errs = append(errs, fmt.Errorf("batch: %d, want 2 to 1000", c.Batch))
	}
	return errors.Join(append(errs, c.Floor.Validate(), c.Wallet.Validate())...)
}

// step is one load of a round.
type step struct {
	name string
	load bench.Load
	rate float64 // of the round's maximum; 0: as fast as answered
}

// Names of the steps.
const (
	crossSingles = "cross, one by one"
	crossBatches = "cross, in messages"
	sameSingles  = "same, one by one"
	sameBatches  = "same, in messages"
	loneSame     = "lone transfer, same"
	loneCross    = "lone transfer, cross"
)

// partial are the shares of the maximum at which it is measured, too.
var partial = []float64{0.10, 0.25, 0.50}

func partialName(share float64) string {
	return fmt.Sprintf("cross, %.0f %% of the maximum", 100*share)
}

func (c *Config) steps() []step {
	w := &c.Wallet
	load := func(cross float64) bench.Load {
		return bench.Load{Workload: bench.Transfers, Distribution: w.Distribution, Cross: cross, Connections: w.Connections, InFlight: w.InFlight,
			Duration: c.Duration, Seed: w.Seed}
	}
	batches := func(cross float64) bench.Load {
		l := load(cross)
		// A quarter more transfers in flight than one by one, so that the size of the messages is not what bounds the trains.
		l.Batch, l.InFlight = c.Batch, min(max(w.InFlight*5/4/c.Batch, 2), w.InFlight)
		return l
	}
	lone := func(cross float64) bench.Load {
		l := load(cross)
		l.Connections, l.InFlight = 1, 1
		return l
	}
	steps := []step{
		{crossSingles, load(1), 0}, {crossBatches, batches(1), 0}, {sameSingles, load(0), 0}, {sameBatches, batches(0), 0},
	}
	for _, share := range partial {
		steps = append(steps, step{partialName(share), load(1), share})
	}
	return append(steps, step{loneSame, lone(0), 0}, step{loneCross, lone(1), 0})
}

// measured is everything that the rounds have shown, one figure a round.
type measured struct {
	floorCross, floorSame []float64
	reports               map[string][]bench.Report
	profiled              bench.Report // cross, one by one
}

// Run measures round by round, then audits. An error says that it could not be measured.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, fmt.Errorf("bench goals: %w", err)
	}
	bed, err := floor.Open(ctx, c.Floor)
	if err != nil {
		return Report{}, err
	}
	defer bed.Close()
	c.Wallet.Progress = func(stage string, share float64) { c.Progress(stage, share) }
	session, err := bench.Open(ctx, c.Wallet)
	if err != nil {
		return Report{}, err
	}
	defer session.Close()
	m := measured{reports: map[string][]bench.Report{}}
	for round := range c.Rounds + 1 {
		if err := c.round(ctx, round, bed, session, &m); err != nil {
			return Report{}, fmt.Errorf("round %d: %w", round, err)
		}
	}
	if err := c.profile(ctx, session, &m); err != nil {
		return Report{}, err
	}
	audit, err := session.Audit(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	return c.report(&m, audit), nil
}

func (c *Config) round(ctx context.Context, round int, bed *floor.Bed, session *bench.Session, m *measured) error {
	cross, same, err := bed.Round(ctx)
	if err != nil {
		return err
	}
	most := 0.0
	steps := c.steps()
	for i, s := range steps {
		if s.rate > 0 && steps[i-1].rate == 0 { // the floor again, behind what is as fast as it can be: the mean of both counts
			crossAgain, sameAgain, err := bed.Round(ctx)
			if err != nil {
				return err
			}
			cross, same = (cross+crossAgain)/2, (same+sameAgain)/2
		}
		if s.rate > 0 {
			s.load.Rate = s.rate * most
		}
		c.Progress(fmt.Sprintf("round %d of %d", round, c.Rounds), float64(i)/float64(len(steps)))
		r, err := session.Measure(ctx, s.load)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if r.Acknowledged == 0 {
			return fmt.Errorf("%s: nothing was acknowledged within %v: %v", s.name, s.load.Duration, r.Refused)
		}
		if s.name == crossSingles {
			most = r.TransfersPerS
		}
		if round > 0 {
			m.reports[s.name] = append(m.reports[s.name], r)
		}
	}
	if round > 0 {
		m.floorCross, m.floorSame = append(m.floorCross, cross), append(m.floorSame, same)
	}
	return nil
}

// profile asks once more what transfers across partitions cost, component by component: being asked costs something, too, so it is
// not done in the rounds.
func (c *Config) profile(ctx context.Context, session *bench.Session, m *measured) (err error) {
	l := c.steps()[0].load
	l.Profile, l.Duration = true, max(l.Duration, time.Second)
	if m.profiled, err = session.Measure(ctx, l); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// figures are one of each round.
func (m *measured) figures(step string, of func(*bench.Report) float64) []float64 {
	var all []float64
	for i := range m.reports[step] {
		all = append(all, of(&m.reports[step][i]))
	}
	return all
}
