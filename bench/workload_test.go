package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"walletd/journal"
)

func workloadOf(t *testing.T, change func(*Config)) (*workload, *Config) {
	t.Helper()
	cfg := Config{URL: "http://x", Partitions: 8, Accounts: 1000, Run: "test"}
	if change != nil {
		change(&cfg)
	}
	cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	w, err := newWorkload(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w, &cfg
}

// The share is exact wherever one looks: every first n pairs have n × share cross transfers, give or take one.
func TestCrossShareIsExact(t *testing.T) {
	for _, distribution := range []Distribution{Uniform, Zipf, Hot} {
		for _, share := range []float64{0, 0.01, 1.0 / 3, 0.5, 0.999, 1} {
			t.Run(fmt.Sprint(distribution, share), func(t *testing.T) {
				w, _ := workloadOf(t, func(c *Config) { c.Distribution, c.Cross = distribution, share })
				cross := 0
				for i, p := range w.pairs {
					if p.from == p.to {
						t.Fatalf("pair %d pays itself", i)
					}
					if w.isCross(p) {
						cross++
					}
					if d := float64(cross) - float64(i+1)*share; math.Abs(d) > 1 {
						t.Fatalf("%d of the first %d are cross, want %v", cross, i+1, float64(i+1)*share)
					}
				}
			})
		}
	}
}

// counts is how often each account pays or is paid, most busy first where sorted by the caller.
func counts(w *workload) []int {
	n := make([]int, len(w.accounts))
	for _, p := range w.pairs {
		n[p.from]++
		n[p.to]++
	}
	return n
}

func TestDistributions(t *testing.T) {
	const sides = 2 * pairsCount
	t.Run("uniform", func(t *testing.T) {
		w, _ := workloadOf(t, func(c *Config) { c.Cross = 0.5 })
		mean := float64(sides) / 1000
		for i, n := range counts(w) {
			if math.Abs(float64(n)-mean) > 0.4*mean {
				t.Errorf("account %d is in %d transfers, the mean is %.0f", i, n, mean)
			}
		}
	})
	t.Run("zipf", func(t *testing.T) {
		w, _ := workloadOf(t, func(c *Config) { c.Distribution, c.Cross = Zipf, 0.9 })
		n := counts(w)
		slices.Sort(n)
		top, first := 0, n[len(n)-1]
		for _, n := range n[len(n)-100:] {
			top += n
		}
		if share := float64(first) / sides; share < 0.08 || share > 0.3 {
			t.Errorf("the most busy account is in %.2f of the sides", share)
		}
		if share := float64(top) / sides; share < 0.5 || share > 0.85 {
			t.Errorf("the most busy tenth is in %.2f of the sides", share)
		}
	})
	t.Run("hot", func(t *testing.T) {
		w, _ := workloadOf(t, func(c *Config) { c.Distribution, c.Cross = Hot, 0.5 })
		pays, isPaid := 0, 0
		hot := w.pairs[0].from
		if w.pairs[1].from != hot && w.pairs[1].to != hot {
			hot = w.pairs[0].to
		}
		for _, p := range w.pairs {
			switch hot {
			case p.from:
				pays++
			case p.to:
				isPaid++
			}
		}
		if pays+isPaid != pairsCount || math.Abs(float64(pays-isPaid)) > 0.02*pairsCount {
			t.Errorf("the hot account pays %d and is paid %d of %d", pays, isPaid, pairsCount)
		}
	})
}

func TestSameSeedSameTransfers(t *testing.T) {
	a, _ := workloadOf(t, func(c *Config) { c.Seed = 7 })
	b, _ := workloadOf(t, func(c *Config) { c.Seed = 7 })
	other, _ := workloadOf(t, func(c *Config) { c.Seed = 8 })
	if !reflect.DeepEqual(a.pairs, b.pairs) || reflect.DeepEqual(a.pairs, other.pairs) {
		t.Error("the seed does not decide the transfers")
	}
}

// Commands put together from pieces are what they are meant to be, each with a key of its own.
func TestPoster(t *testing.T) {
	w, cfg := workloadOf(t, func(c *Config) { c.Amount, c.Asset = 1250, "EUR" })
	p := newPoster(w, "test-r3", pairsCount-2)
	keys := map[string]bool{}
	for i := range 4 {
		command, which := p.next()
		if want := (pairsCount - 2 + i) % pairsCount; which != want {
			t.Errorf("command %d is of pair %d, want %d", i, which, want)
		}
		var m struct {
			Transfer struct {
				Key, From, To, Asset string
				Amount               journal.Amount
			}
		}
		if err := json.Unmarshal([]byte("{"+string(command)+"}"), &m); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		pair := w.pairs[which]
		if m.Transfer.From != w.accounts[pair.from].id || m.Transfer.To != w.accounts[pair.to].id || m.Transfer.Amount != cfg.Amount || m.Transfer.Asset != "EUR" {
			t.Errorf("got %s", command)
		}
		keys[m.Transfer.Key] = true
	}
	if len(keys) != 4 {
		t.Errorf("keys %v", keys)
	}
	if n := testing.AllocsPerRun(1000, func() { p.next() }); n != 0 {
		t.Errorf("%v allocations a command", n)
	}
}

func TestWorkloadsThatAreNotPossible(t *testing.T) {
	cfg := Config{URL: "http://x", Partitions: 1024, Accounts: 2, Run: "test"}
	cfg.withDefaults()
	if _, err := newWorkload(&cfg); err == nil {
		t.Error("two accounts in different partitions pay each other within one")
	}
	cfg.Partitions, cfg.Cross = 1, 1
	if _, err := newWorkload(&cfg); err == nil {
		t.Error("transfers across partitions in a wallet with one")
	}
}

func BenchmarkPoster(b *testing.B) {
	cfg := Config{URL: "http://x", Partitions: 8, Accounts: 10000, Run: "test"}
	cfg.withDefaults()
	w, err := newWorkload(&cfg)
	if err != nil {
		b.Fatal(err)
	}
	p := newPoster(w, "test-r3", 0)
	b.ReportAllocs()
	for b.Loop() {
		p.next()
	}
}
