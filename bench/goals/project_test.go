package goals

import (
	"math"
	"testing"
	"time"

	"walletd/bench"
)

func TestProjectionGolden(t *testing.T) {
	s := Sizes{CPU: bench.CPU{Walletd: 4, Redis: 6, Kafka: 1, Server: 11}, Components: []bench.Component{{Name: "gateway", Share: 0.5, US: 2}}, JournalBytes: 150, KeyBytes: 100,
		AccountBytes: 90, MessageBytes: 130, Cross: 1, Kafka: true}
	w := Wanted{TPS: 1e6, Accounts: 1e8, KeyWindow: time.Hour, Utilisation: 0.6, Copies: 3}
	p := Project(w, s)
	golden(t, "testdata/project.txt", p.Table())
	if p.Shards != 10 || p.Partitions != 40 || math.Abs(p.Cores-(4+6+4)/0.6) > 1e-9 {
		t.Errorf("%d shards, %d partitions, %v cores", p.Shards, p.Partitions, p.Cores)
	}
	s.Kafka, w.TPS = false, 1
	if small := Project(w, s); small.Shards != 1 || small.Partitions != 4 {
		t.Errorf("%d shards, %d partitions for one transfer a second", small.Shards, small.Partitions)
	}
}

func TestWantedNamesWhatIsWrong(t *testing.T) {
	good := Wanted{TPS: 1, Utilisation: 0.5, Copies: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Wanted){func(w *Wanted) { w.TPS = 0 }, func(w *Wanted) { w.TPS = math.NaN() }, func(w *Wanted) { w.Utilisation = 1.1 }, func(w *Wanted) { w.Copies = 0 }, func(w *Wanted) { w.KeyWindow = -1 }} {
		w := good
		if change(&w); w.Validate() == nil {
			t.Errorf("%+v is possible", w)
		}
	}
}
