package goals

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"walletd/bench"
	"walletd/bench/floor"
	"walletd/bench/rounds"
)

// FlatWithin is how much a transfer's cost beside the floor may grow along an axis, and still be flat.
const FlatWithin = 0.10

// Variant is one value on an axis: a wallet and what is done to it.
type Variant struct {
	Value         string       // 4 shards
	Wallet        bench.Config // variants of the same wallet have the same URL
	Load          bench.Load
	FloorAddr     string // of an empty Redis of its own
	FloorAccounts int    // as many as a shard of the wallet has
}

// AxisConfig is an axis, and how long it is measured.
type AxisConfig struct {
	Name     string
	Variants []Variant // the first is what the others are held against
	Rounds   int
	Bulks    int // of the floor, in a round
	Duration time.Duration
	Progress func(stage string, share float64)
}

// Axis is what was measured along one.
type Axis struct {
	Name   string      `json:"name"`
	Lines  []ScaleLine `json:"lines"`
	Flat   bool        `json:"flat"`
	Void   bool        `json:"void"`
	Reason string      `json:"reason,omitempty"`
}

// ScaleLine is one value.
type ScaleLine struct {
	Value  string        `json:"value"`
	Cost   rounds.Spread `json:"server_cpu_us"`
	Floor  rounds.Spread `json:"floor_cpu_us"`
	Ratio  rounds.Spread `json:"ratio"`  // of the same round
	Change float64       `json:"change"` // of the ratio's median, against the first line's
	PerS   rounds.Spread `json:"transfers_per_s"`
}

// point is a variant under measurement.
type point struct {
	Variant
	session      *bench.Session
	bed          *floor.Bed
	cost, floors []float64
	perS         []float64
}

// MeasureAxis measures all variants in every round, with the floor of each.
func MeasureAxis(ctx context.Context, c AxisConfig) (Axis, error) {
	sessions := map[string]*bench.Session{}
	points := make([]*point, len(c.Variants))
	defer func() {
		for _, s := range sessions {
			s.Close()
		}
		for _, p := range points {
			if p != nil && p.bed != nil {
				p.bed.Close()
			}
		}
	}()
	for i, v := range c.Variants {
		v.Wallet.Progress = c.Progress
		points[i] = &point{Variant: v}
		var err error
		if points[i].session = sessions[v.Wallet.URL]; points[i].session == nil {
			if points[i].session, err = bench.Open(ctx, v.Wallet); err != nil {
				return Axis{}, fmt.Errorf("%s: %w", v.Value, err)
			}
			sessions[v.Wallet.URL] = points[i].session
		}
		points[i].bed, err = floor.Open(ctx, floor.Config{Addr: v.FloorAddr, Accounts: v.FloorAccounts, Bulk: 128, Bulks: c.Bulks, Rounds: 1, Seed: 1})
		if err != nil {
			return Axis{}, fmt.Errorf("%s: %w", v.Value, err)
		}
	}
	for round := range c.Rounds + 1 { // the first warms up
		for i, p := range points {
			c.Progress(fmt.Sprintf("%s, round %d of %d", c.Name, round, c.Rounds), float64(i)/float64(len(points)))
			if err := p.measure(ctx, c.Duration, round > 0); err != nil {
				return Axis{}, fmt.Errorf("%s: round %d: %w", p.Value, round, err)
			}
		}
	}
	axis := axisOf(c.Name, points)
	for _, s := range sessions {
		audit, err := s.Audit(ctx)
		if err != nil {
			return Axis{}, fmt.Errorf("verify: %w", err)
		}
		if len(audit.Reasons) > 0 {
			axis.Void, axis.Reason = true, strings.Join(audit.Reasons, "; ")
		}
	}
	return axis, nil
}

func (p *point) measure(ctx context.Context, d time.Duration, counts bool) error {
	cross, same, err := p.bed.Round(ctx)
	if err != nil {
		return err
	}
	l := p.Load
	l.Duration = d
	r, err := p.session.Measure(ctx, l)
	if err != nil {
		return err
	}
	if r.Acknowledged == 0 {
		return fmt.Errorf("nothing was acknowledged: %v", r.Refused)
	}
	if counts {
		p.cost = append(p.cost, r.CPU.Server)
		p.floors = append(p.floors, l.Cross*cross+(1-l.Cross)*same)
		p.perS = append(p.perS, r.TransfersPerS)
	}
	return nil
}

func axisOf(name string, points []*point) Axis {
	a := Axis{Name: name, Flat: true}
	for _, p := range points {
		l := ScaleLine{Value: p.Value, Cost: rounds.Of(p.cost), Floor: rounds.Of(p.floors), Ratio: rounds.Of(over(p.cost, p.floors)), PerS: rounds.Of(p.perS)}
		if len(a.Lines) > 0 {
			l.Change = l.Ratio.Median/a.Lines[0].Ratio.Median - 1
			a.Flat = a.Flat && l.Change <= FlatWithin
		}
		a.Lines = append(a.Lines, l)
	}
	return a
}

// WriteTable writes an axis for people.
func (a *Axis) WriteTable(out io.Writer) {
	flat := fmt.Sprintf("flat within %.0f %%", 100*FlatWithin)
	if !a.Flat {
		flat = "NOT " + flat
	}
	if a.Void {
		flat = "VOID: " + a.Reason
	}
	fmt.Fprintf(out, "%s: %s\n", a.Name, flat)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\tserver CPU-µs\tfloor\tratio\tchange\ttransfers/s\n")
	for _, l := range a.Lines {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%+.0f %%\t%.0f\n", l.Value, l.Cost.Fixed(2), l.Floor.Fixed(2), l.Ratio.Fixed(2), 100*l.Change, l.PerS.Median)
	}
	_ = t.Flush() // its writer's errors are the caller's
}
