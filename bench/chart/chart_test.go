package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"walletd/bench"
	"walletd/bench/goals"
	"walletd/bench/rounds"
)

// drawn reads an SVG to its end and answers its texts.
func drawn(t *testing.T, svg []byte) string {
	t.Helper()
	var texts []string
	lines := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts = append(texts, string(token))
		case xml.StartElement:
			if token.Name.Local == "path" {
				lines++
			}
		}
	}
	if lines < 10 {
		t.Errorf("%d paths", lines)
	}
	return strings.Join(texts, "\n")
}

func report(name string) bench.Report {
	return bench.Report{Workload: name, Series: []float64{0, 50_000, 60_000, 55_000}, InFlight: 256,
		Quantiles: []bench.Quantile{{Percent: 0, MS: 1}, {Percent: 50, MS: 2}, {Percent: 99.9, MS: 9}, {Percent: 100, MS: 11}},
		CPU:       bench.CPU{Walletd: 9, Redis: 8, Client: 2, Server: 17}}
}

func TestTransferIsDrawn(t *testing.T) {
	r := report("transfers uniform")
	var b bytes.Buffer
	if err := Transfer(&b, &r); err != nil {
		t.Fatal(err)
	}
	text := drawn(t, b.Bytes())
	for _, want := range []string{"Throughput over time: transfers uniform", "Latency", "99.9", "walletd", "redis"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not drawn", want)
		}
	}
}

func TestGoalsAreDrawn(t *testing.T) {
	met := true
	r := goals.Report{
		Goals: []goals.Goal{{Name: "cross, one by one", Unit: "× floor", Target: 2.5, Measured: rounds.Spread{Median: 2}, Met: &met}, {Name: "lone", Unit: "ms", Measured: rounds.Spread{Median: 1}}},
		Loads: []goals.Line{{Name: "cross, one by one", Share: 1, Server: rounds.Spread{Median: 5}}, {Name: "cross, 50 % of the maximum", Share: 0.5, Server: rounds.Spread{Median: 7}}},
		Last:  map[string]bench.Report{"cross, one by one": report("a"), "cross, 50 % of the maximum": report("b")},
	}
	var b bytes.Buffer
	if err := Goals(&b, &r); err != nil {
		t.Fatal(err)
	}
	text := drawn(t, b.Bytes())
	for _, want := range []string{"multiples of the floor", "target", "cross, one by one", "cross, 50 % of the maximum", "all servers"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not drawn", want)
		}
	}
	if strings.Contains(text, "lone") {
		t.Error("a figure without a target stands among the goals")
	}
}

// Whatever was not measured leaves a panel empty, and is no error.
func TestEmptyReports(t *testing.T) {
	var b bytes.Buffer
	if err := Transfer(&b, &bench.Report{}); err != nil {
		t.Error(err)
	}
	if err := Goals(&b, &goals.Report{}); err != nil {
		t.Error(err)
	}
}
