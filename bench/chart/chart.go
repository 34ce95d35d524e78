// Package chart draws what a bench has measured as one SVG: throughput over time, latency percentiles, CPU by process, and, of
// goals, CPU per transfer by load and each goal beside its target. It only draws; every number stands in the report, too.
package chart

import (
	"fmt"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"walletd/bench"
	"walletd/bench/goals"
)

// Size of one panel.
const (
	panelWidth  = 16 * vg.Centimeter
	panelHeight = 9 * vg.Centimeter
)

// Transfer draws one run.
func Transfer(w io.Writer, r *bench.Report) error {
	throughput := newPanel("Throughput over time: "+r.Workload, "s", "operations a second")
	latency := newPanel("Latency", "percentile", "ms")
	cpu := newPanel("CPU µs an operation", "", "µs")
	err := throughput.line(r.Workload, overTime(r.Series))
	if err == nil {
		err = latency.quantiles(r.Workload, r.Quantiles)
	}
	if err == nil {
		err = cpu.bars(cpuNames, []float64{r.CPU.Walletd, r.CPU.Redis, r.CPU.Kafka, r.CPU.ZooKeeper, r.CPU.Client})
	}
	if err != nil {
		return fmt.Errorf("draw a run: %w", err)
	}
	return write(w, [][]*panel{{throughput}, {latency}, {cpu}})
}

var cpuNames = []string{"walletd", "redis", "kafka", "zookeeper", "client"}

// Goals draws a wallet beside its goals.
func Goals(w io.Writer, r *goals.Report) error {
	ratios := newPanel("Server CPU a transfer, in multiples of the floor", "", "× floor")
	byLoad := newPanel("CPU µs a transfer by load, across partitions", "% of the maximum", "µs")
	latency := newPanel("Latency, last round", "percentile", "ms")
	throughput := newPanel("Throughput over time, last round", "s", "transfers a second")
	err := ratios.goals(r)
	if err == nil {
		err = byLoad.byLoad(r)
	}
	for _, s := range r.Order() {
		last := r.Last[s]
		if err == nil {
			err = latency.quantiles(s, last.Quantiles)
		}
		if err == nil && last.RatePerS == 0 && last.InFlight > 1 {
			err = throughput.line(s, overTime(last.Series))
		}
	}
	if err != nil {
		return fmt.Errorf("draw goals: %w", err)
	}
	return write(w, [][]*panel{{ratios}, {byLoad}, {latency}, {throughput}})
}

// legendSize is a legend's letters. headroom is the share of a panel's height that a line in its legend takes.
const (
	legendSize = 9
	headroom   = 0.06
)

// panel is one plot of several lines.
type panel struct {
	*plot.Plot
	lines int
}

func newPanel(title, x, y string) *panel {
	p := &panel{Plot: plot.New()}
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = legendSize
	return p
}

func (p *panel) line(name string, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Dashes = plotutil.Color(p.lines), plotutil.Dashes(p.lines/7)
	p.lines++
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

func overTime(series []float64) (points plotter.XYs) {
	for i, v := range series {
		points = append(points, plotter.XY{X: (float64(i) + 0.5) * bench.SeriesStep.Seconds(), Y: v})
	}
	return points
}

// quantiles draws a latency distribution over the nines, so that its tail is not one pixel wide.
func (p *panel) quantiles(name string, all []bench.Quantile) error {
	var points plotter.XYs
	var ticks plot.ConstantTicks
	for _, q := range all {
		if q.Percent >= 100 {
			continue
		}
		x := -math.Log10(1 - q.Percent/100)
		points = append(points, plotter.XY{X: x, Y: q.MS})
		if q.Percent >= 50 { // the others stand too close together
			ticks = append(ticks, plot.Tick{Value: x, Label: strconv.FormatFloat(q.Percent, 'f', -1, 64)})
		}
	}
	if len(ticks) > 0 {
		p.X.Tick.Marker = ticks
	}
	return p.line(name, points)
}

// bars draws a named figure each.
func (p *panel) bars(names []string, values plotter.Values) error {
	b, err := plotter.NewBarChart(values, vg.Centimeter)
	if err != nil {
		return err
	}
	b.Color = plotutil.Color(0)
	b.LineStyle.Width = 0
	p.Add(b)
	p.NominalX(names...)
	return nil
}

// goals draws what was measured beside its target.
func (p *panel) goals(r *goals.Report) error {
	var names []string
	var measured, target plotter.Values
	for _, g := range r.Goals {
		if g.Met != nil {
			names, measured, target = append(names, g.Name), append(measured, g.Measured.Median), append(target, g.Target)
		}
	}
	if len(names) == 0 {
		return nil
	}
	for i, of := range []struct {
		name   string
		values plotter.Values
	}{{"measured", measured}, {"target", target}} {
		const width = 0.6 * vg.Centimeter
		b, err := plotter.NewBarChart(of.values, width)
		if err != nil {
			return err
		}
		b.Color, b.LineStyle.Width, b.Offset = plotutil.Color(i), 0, width*vg.Length(2*i-1)/2
		p.lines++
		p.Add(b)
		p.Legend.Add(of.name, b)
	}
	p.NominalX(names...)
	return nil
}

// byLoad draws what the processes cost at partial loads and at the maximum.
func (p *panel) byLoad(r *goals.Report) error {
	loads := r.ByLoad()
	for i, of := range []func(goals.Line) float64{
		func(l goals.Line) float64 { return l.Server.Median }, func(l goals.Line) float64 { return l.Walletd.Median },
		func(l goals.Line) float64 { return l.Redis.Median }, func(l goals.Line) float64 { return l.Kafka.Median },
	} {
		var points plotter.XYs
		for _, l := range loads {
			points = append(points, plotter.XY{X: 100 * l.Share, Y: of(l)})
		}
		if err := p.line([]string{"all servers", "walletd", "redis", "kafka"}[i], points); err != nil {
			return err
		}
	}
	return nil
}

// write draws the panels one above the other.
func write(w io.Writer, panels [][]*panel) error {
	rows := len(panels)
	c := vgsvg.New(panelWidth, panelHeight*vg.Length(rows))
	plots := make([][]*plot.Plot, rows)
	for i := range panels {
		for _, p := range panels[i] {
			p.Y.Max *= 1 + headroom*float64(p.lines) // nothing is drawn under the legend
			plots[i] = append(plots[i], p.Plot)
		}
	}
	tiles := draw.Tiles{Rows: rows, Cols: 1, PadTop: vg.Millimeter * 3, PadBottom: vg.Millimeter * 3, PadLeft: vg.Millimeter * 3, PadRight: vg.Millimeter * 6, PadY: vg.Millimeter * 8}
	for i, row := range plot.Align(plots, tiles, draw.New(c)) {
		plots[i][0].Draw(row[0])
	}
	if _, err := c.WriteTo(w); err != nil {
		return fmt.Errorf("write SVG: %w", err)
	}
	return nil
}
