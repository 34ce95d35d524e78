package systemtest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/deploy/trial"
)

// stand is a wallet of one form that faults can be inflicted on.
type stand interface {
	// faults are what it can suffer; each begins and returns how it ends.
	faults() map[fault]func() (heal func())
	// whole starts, thaws and heals everything that is not as it should be.
	whole()
	// of is what clients and oracle see of it.
	of() *wallet
}

// form is a way in which a wallet stands in the laboratory.
type form struct {
	timing
	load  loadOptions
	can   func() []fault                                               // what its stands suffer, sorted
	start func(t testing.TB, slot int, s *schedule, keep string) stand // keep: where its data lies
	slots int                                                          // how many may run at the same time
}

// outcomeOf is how a run ended.
type outcomeOf struct {
	schedule
	failure string
	took    time.Duration
	data    string // kept, when it failed
}

// runSchedule makes one run of the laboratory: load and faults, healing, oracle.
func runSchedule(t testing.TB, f *form, s schedule, slot int, keep string) (o outcomeOf) {
	begin := time.Now()
	o = outcomeOf{schedule: s, data: keep}
	o.failure = trial.Run(t, func(t testing.TB) {
		mustDo(t, "data directory", os.MkdirAll(keep, 0o755))
		t = &inDir{TB: t, dir: keep}
		stand := f.start(t, slot, &s, keep)
		t.Cleanup(stand.whole) // what is frozen cannot be stopped
		options := f.load
		options.mix, options.seed, options.funds = mixes[s.mix], s.seed, s.funds
		w := stand.of()
		l := startLoadOf(t, w, options)
		inflict(t, stand, &s)
		stand.whole()
		healed := time.Now()
		ledger := l.stop()
		w.movesEnd(&s)
		if s.window > 0 {
			w.keysGone()
			w.repeatAll(ledger, repeatsMax)
		}
		w.check(ledger)
		if took := time.Since(healed); took > drainLimit+recoverLimit {
			t.Errorf("it took %v to come to rest", took)
		}
	})
	o.took = time.Since(begin)
	return o
}

// inflict lets the schedule's faults begin and end at their times.
func inflict(t testing.TB, stand stand, s *schedule) {
	t.Helper()
	type step struct {
		at time.Duration
		do func()
	}
	can := stand.faults()
	heals := make([]func(), len(s.faults))
	var steps []step
	for i, f := range s.faults {
		begin := can[f.fault]
		if begin == nil {
			t.Fatalf("nobody can inflict %q", f.fault)
		}
		steps = append(steps, step{f.at, func() { heals[i] = begin() }}, step{f.at + f.lasts, func() { heals[i]() }})
	}
	steps = append(steps, step{s.length, func() {}})
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	begin := time.Now()
	for _, st := range steps {
		_ = poll(recoverLimit, after(st.at-time.Since(begin)))
		st.do()
	}
}

// sortedFaults are a stand's faults, in an order of their own.
func sortedFaults(m map[fault]func() func()) []fault {
	return slices.SortedFunc(maps.Keys(m), func(a, b fault) int { return strings.Compare(a.target+a.kind, b.target+b.kind) })
}

// inDir is a testing.TB whose temporary directories stay: they are a run's data.
type inDir struct {
	testing.TB
	dir string
	mu  sync.Mutex
	n   int
}

// TempDir implements testing.TB.
func (d *inDir) TempDir() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	dir := filepath.Join(d.dir, fmt.Sprint(d.n))
	mustDo(d.TB, "data directory", os.MkdirAll(dir, 0o755))
	return dir
}

// mustDo fails the trial for what its own hands could not do.
func mustDo(t testing.TB, what string, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", what, err))
	}
}
