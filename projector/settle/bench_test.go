package settle

import (
	"strings"
	"testing"

	"walletd/projector/internal/history"
)

// BenchmarkMillion is a file of a million lines against a wallet of as many transfers: goal 30 s.
func BenchmarkMillion(b *testing.B) {
	h := history.New(history.Config{Seed: 3, Partitions: 8, Accounts: 2000, Steps: 1_450_000, Assets: 1, FrameMax: 200, Plain: true})
	m := byName
	m.Unit, m.Date = "minor", "date"
	file, all := own(b, h, Config{Mapping: m, MatchOn: OnID})
	b.ResetTimer()
	for range b.N {
		r := run(b, Config{File: strings.NewReader(file), Log: h.Log, Mapping: m, MatchOn: OnID})
		if r.Counts.Matched != len(all.Movements) {
			b.Fatalf("%+v", r.Counts)
		}
	}
	b.ReportMetric(float64(len(all.Movements)), "lines")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/file")
}
