package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/reconcile"
	"walletd/projector/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shard is a live shard of a history: each reading is of the state behind some event.
type shard struct {
	h      *history.History
	states [][]map[journal.Handle]journal.Account // by partition, behind seq i

	mu     sync.Mutex
	rng    *rand.Rand
	spoil  func(h journal.Handle, a *journal.Account) (wrong bool) // of every account read
	moment func(*reconcile.Moment) error
	reads  int
}

func newShard(h *history.History) *shard {
	s := &shard{h: h, rng: rand.New(rand.NewPCG(3, 4))}
	for p := range h.Partitions {
		now := map[journal.Handle]journal.Account{}
		states := []map[journal.Handle]journal.Account{clone(now)}
		for i := range h.Events[p] {
			for _, c := range h.Changes[p][i] {
				now[c.Account] = c.After
			}
			states = append(states, clone(now))
		}
		s.states = append(s.states, states)
	}
	return s
}

func clone(m map[journal.Handle]journal.Account) map[journal.Handle]journal.Account {
	c := make(map[journal.Handle]journal.Account, len(m))
	for h, a := range m {
		c[h] = a
	}
	return c
}

func (s *shard) Accounts(_ context.Context, p int, handles []journal.Handle) (reconcile.Moment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	seq := len(s.states[p]) - 1
	if s.rng.IntN(2) == 0 {
		seq -= s.rng.IntN(seq / 2)
	}
	m := reconcile.Moment{Shard: "s1", Epoch: s.h.Books[p].Epoch, Seq: uint64(seq)}
	for _, h := range handles {
		a, ok := s.states[p][seq][h]
		if s.spoil != nil && s.spoil(h, &a) {
			ok = a.Version > 0
		}
		m.Accounts, m.Found = append(m.Accounts, a), append(m.Found, ok)
	}
	if s.moment != nil {
		return m, s.moment(&m)
	}
	return m, nil
}

func (s *shard) set(spoil func(journal.Handle, *journal.Account) bool, moment func(*reconcile.Moment) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil, s.moment = spoil, moment
}

// sweeping is a sweeper at work over a projection of a whole history.
type sweeping struct {
	*Sweeper
	t   *testing.T
	h   *history.History
	log bytes.Buffer
	*shard
}

func start(t *testing.T, configure func(*Config)) *sweeping {
	t.Helper()
	h := history.New(history.Config{Seed: 9, Partitions: 3, Accounts: 5, Steps: 900, Assets: 2, FrameMax: 10})
	v, err := view.Open(view.Config{Dir: t.TempDir(), Wallet: "test", Partitions: h.Partitions, CacheBytes: 8 << 20})
	must(t, err)
	for p := range h.Partitions {
		f, err := v.Fold(p)
		must(t, err)
		for i, record := range h.Log.Records(p) {
			_, err := f.Take(int64(i), record)
			must(t, err)
			if i%9 == 0 {
				must(t, f.Commit())
			}
		}
		must(t, errors.Join(f.Commit(), f.Close()))
	}
	s := &sweeping{t: t, h: h, shard: newShard(h)}
	c := Config{View: v, Live: s.shard, Assets: journal.DevAssets, Logger: slog.New(slog.NewTextHandler(&s.log, nil)), PauseMin: time.Millisecond, PauseMax: time.Millisecond,
		Again: time.Millisecond, Patience: 5 * time.Millisecond}
	if configure != nil {
		configure(&c)
	}
	s.Sweeper, err = New(c)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		must(t, v.Close())
	})
	return s
}

// until waits until the report is as wanted.
func (s *sweeping) until(what string, ok func(Report) bool) Report {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		r := s.Report()
		if ok(r) {
			return r
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: never; %+v", what, r)
		}
	}
}

// more waits for some full sweeps from now on.
func (s *sweeping) more(n int) Report {
	s.t.Helper()
	now := s.Report().Sweeps
	return s.until("full sweeps", func(r Report) bool { return r.Sweeps >= now+n })
}

// TestNothingIsWrong: readings of any moment agree with the fold at that moment.
func TestNothingIsWrong(t *testing.T) {
	s := start(t, nil)
	r := s.more(20)
	accounts := int64(0)
	for _, b := range s.h.Books {
		accounts += int64(len(b.State.(*journal.Memory).Accounts))
	}
	if len(r.Differences) > 0 || r.LeftOut > 0 || r.Book == 0 || r.Book > accounts || r.LastFull == nil {
		t.Errorf("%d accounts: %+v", accounts, r)
	}
}

// TestADifferenceIsFoundAndNamed, and forgotten when it is gone.
func TestADifferenceIsFoundAndNamed(t *testing.T) {
	s := start(t, nil)
	victim, most := journal.Handle{}, uint64(0)
	for h, a := range s.h.Books[1].State.(*journal.Memory).Accounts {
		if a.Version > most {
			victim, most = h, a.Version
		}
	}
	for name, row := range map[string]struct {
		spoil func(a *journal.Account)
		what  string
	}{
		"by hand":   {func(a *journal.Account) { a.Available += 1_000_000_007 }, "no act"},
		"flags":     {func(a *journal.Account) { a.OverdraftLimit += 5 }, "something else"},
		"not there": {func(a *journal.Account) { *a = journal.Account{} }, "missing"},
	} {
		s.set(func(h journal.Handle, a *journal.Account) bool {
			if h != victim {
				return false
			}
			row.spoil(a)
			return true
		}, nil)
		r := s.until(name, func(r Report) bool {
			return len(r.Differences) == 1 && strings.Contains(r.Differences[0].Why.What, row.what)
		})
		d := r.Differences[0]
		if d.Account != s.h.Names[victim] || d.Partition != 1 || d.Shard != "s1" || d.Asset == "" || (name == "by hand") != (d.Why.Available == 1_000_000_007) {
			t.Errorf("%s: %+v", name, d)
		}
		if got := gauge(t, s, "wallet_reconcile_differences"); got != 1 {
			t.Errorf("%s: the metric is %v", name, got)
		}
	}
	s.set(nil, nil)
	s.until("it is gone", func(r Report) bool { return len(r.Differences) == 0 })
	if got := gauge(t, s, "wallet_reconcile_differences"); got != 0 {
		t.Errorf("the metric is %v", got)
	}
}

// TestNoFalseAlarm: what differs once, what was read from a deposed shard, from one that is ahead, or from nobody, is no difference.
func TestNoFalseAlarm(t *testing.T) {
	for name, moment := range map[string]func(s *sweeping, n int, m *reconcile.Moment) error{
		"once": func(_ *sweeping, n int, m *reconcile.Moment) error {
			if n%3 == 0 {
				m.Accounts[0].Available++
			}
			return nil
		},
		"deposed": func(_ *sweeping, n int, m *reconcile.Moment) error {
			if n%2 == 0 {
				m.Epoch, m.Accounts[0].Available = 0, 7
			}
			return nil
		},
		"ahead": func(_ *sweeping, n int, m *reconcile.Moment) error {
			if n%2 == 0 {
				m.Seq, m.Accounts[0].Available = m.Seq+1<<30, 7
			}
			return nil
		},
		"nobody": func(_ *sweeping, n int, _ *reconcile.Moment) error {
			if n%2 == 0 {
				return reconcile.ErrNotServed
			}
			return nil
		},
		"another owner each time": func(_ *sweeping, n int, m *reconcile.Moment) error {
			m.Shard = fmt.Sprint("s", n)
			if n%4 != 0 {
				m.Accounts[0].Available++
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			n := 0
			s.set(nil, func(m *reconcile.Moment) error { n++; return moment(s, n, m) })
			if name == "another owner each time" {
				s.until("left out", func(r Report) bool { return r.LeftOut > 20 })
			} else {
				s.more(10)
			}
			if r := s.Report(); len(r.Differences) > 0 || (r.LeftOut == 0) != (name == "once") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestASweepThatLeavesSomethingOutIsNotFull: its age grows, which is what an alarm looks at.
func TestASweepThatLeavesSomethingOutIsNotFull(t *testing.T) {
	s := start(t, nil)
	s.more(1)
	s.set(nil, func(m *reconcile.Moment) error { return reconcile.ErrNotServed })
	before := s.Report()
	r := s.until("left out", func(r Report) bool { return r.LeftOut > before.LeftOut+20 })
	if r.Sweeps > before.Sweeps+1 || gauge(t, s, "wallet_reconcile_sweep_age_seconds") <= 0 || !strings.Contains(r.LastLeftOut, "no shard serves") {
		t.Errorf("%+v", r)
	}
}

func gauge(t *testing.T, s *sweeping, name string) (sum float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	must(t, registry.Register(s.Sweeper))
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
