package projector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shape(seed uint64) history.Config {
	return history.Config{Seed: seed, Partitions: 3, Accounts: 4, Steps: 800, Assets: 2, FrameMax: 10}
}

func openView(t testing.TB, dir string, partitions int) *view.View {
	t.Helper()
	v, err := view.Open(view.Config{Dir: dir, Wallet: "test", Partitions: partitions, CacheBytes: 8 << 20, CacheAccounts: 1000})
	must(t, err)
	return v
}

// running is a projector at work; stop ends it and answers what Run answered.
type running struct {
	*Projector
	view *view.View
	stop func() error
	done chan struct{}
}

func start(t testing.TB, dir string, log journal.Log, logger io.Writer) *running {
	t.Helper()
	v := openView(t, dir, log.Partitions())
	return run(t, Config{Log: log, View: v, Logger: slog.New(slog.NewTextHandler(logger, nil)), CommitBytes: 4 << 10, Interval: time.Microsecond})
}

// run lets a projector work on a view, which it closes in the end.
func run(t testing.TB, c Config) *running {
	t.Helper()
	v := c.View
	c.Assets = journal.DevAssets
	p, err := New(c)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Projector: p, view: v, done: make(chan struct{})}
	var result error
	go func() {
		defer close(r.done)
		result = errors.Join(p.Run(ctx), v.Close())
	}()
	r.stop = func() error {
		cancel()
		<-r.done
		return result
	}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

func (r *running) waitFor(t testing.TB, h *history.History) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for p := range h.Partitions {
		must(t, r.view.WaitFor(ctx, journal.Position{Partition: p, Seq: uint64(len(h.Events[p]))}))
	}
}

// until waits for a condition that nothing tells about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

func (r *running) isBook(t testing.TB, h *history.History) {
	t.Helper()
	for p := range h.Partitions {
		have, at, err := r.view.Digest(p)
		must(t, err)
		if want := h.Books[p].Digest(); have != want {
			t.Fatalf("partition %d at %v: the projection is not the fold", p, at)
		}
	}
}

// A busy partition's commits are far apart, but nobody waits for the next one: who asks for a position hastens it.
func TestAReaderHastensTheCommit(t *testing.T) {
	h := history.New(history.Config{Seed: 9, Partitions: 1, Accounts: 4, Steps: 40_000, Assets: 1, FrameMax: 400, Plain: true})
	v := openView(t, filepath.Join(t.TempDir(), "view"), 1)
	p, err := New(Config{Log: h.Log, View: v, Assets: journal.DevAssets, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), CommitBytes: 1 << 30, CommitEvery: time.Hour})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	waitFor := func() {
		patient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		must(t, v.WaitFor(patient, journal.Position{Seq: uint64(len(h.Events[0]))}))
	}
	waitFor() // a commit of so many events that the next one is due in half a minute
	for range 20 {
		before := len(h.Events[0])
		for len(h.Events[0]) == before {
			h.More(5)
		}
		waitFor()
	}
	cancel()
	must(t, <-ended)
	must(t, v.Close())
}

// A projector that waits for a busy partition's next look ends at once when it is stopped, and begins there again.
func TestStopsWhileItLetsEventsCollect(t *testing.T) {
	h := history.New(history.Config{Seed: 10, Partitions: 1, Accounts: 4, Steps: 40_000, Assets: 1, FrameMax: 400, Plain: true})
	dir := filepath.Join(t.TempDir(), "view")
	for range 2 {
		v := openView(t, dir, 1)
		p, err := New(Config{Log: h.Log, View: v, Assets: journal.DevAssets, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), CommitBytes: 1 << 30, CommitEvery: time.Hour})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		patient, cancel2 := context.WithTimeout(t.Context(), patience)
		must(t, v.WaitFor(patient, journal.Position{Seq: uint64(len(h.Events[0]))}))
		cancel2()
		cancel()
		select {
		case err := <-ended:
			must(t, err)
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		must(t, v.Close())
		h.More(2000)
	}
}

func TestProjectsWhileTheJournalGrows(t *testing.T) {
	h := history.New(shape(1))
	dir := filepath.Join(t.TempDir(), "view")
	for range 3 { // each time a new process
		r := start(t, dir, h.Log, io.Discard)
		for range 20 {
			h.More(20)
		}
		r.waitFor(t, h)
		r.isBook(t, h)
		lag, err := r.Lag(t.Context())
		must(t, err)
		for _, l := range lag {
			until(t, "no lag", func() bool { return r.Behind(l.Partition) == 0 })
		}
		must(t, r.stop())
	}
}

func TestDroppedFramesAreCounted(t *testing.T) {
	h := history.New(shape(2))
	r := start(t, filepath.Join(t.TempDir(), "view"), h.Log, io.Discard)
	r.waitFor(t, h)
	for why, n := range h.Dropped {
		until(t, string(why), func() bool { return r.Dropped()[why] == uint64(n) && n > 0 })
	}
}

func TestDamageStopsItsPartitionLoudly(t *testing.T) {
	h := history.New(shape(3))
	log := h.Log.Clone()
	offset := len(log.Records(1)) * 2 / 3
	var want journal.Cursor
	want.Partition = 1
	for i, record := range log.Records(1)[:offset] {
		_, _, err := want.Next(int64(i), record)
		must(t, err)
	}
	log.Flip(1, int64(offset), journal.FrameHeadSize, 1)
	var said strings.Builder
	r := start(t, filepath.Join(t.TempDir(), "view"), log, &said)
	stopped := func() *Lag {
		lag, err := r.Lag(t.Context())
		must(t, err)
		for p := range h.Partitions {
			if p != 1 && lag[p].Records != 0 {
				return nil // the others are still on their way
			}
		}
		if lag[1].Stopped == "" {
			return nil
		}
		return &lag[1]
	}
	until(t, "stopped", func() bool { return stopped() != nil })
	lag := stopped()
	if !strings.Contains(lag.Stopped, fmt.Sprintf("offset %d", offset)) || lag.Records != int64(len(log.Records(1))-offset) {
		t.Errorf("lag: %+v", lag)
	}
	at, err := r.view.Position(1)
	must(t, err)
	if at.Seq != want.Seq {
		t.Errorf("stopped at %v, the last frame before the damage ends with seq %d", at, want.Seq)
	}
	at.Seq++
	if err := r.view.WaitFor(t.Context(), at); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("who waits is told: %v", err)
	}
	must(t, r.stop())
	if !strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("nothing was said: %s", said.String())
	}
}

func TestOutageOfTheLogIsWaitedOut(t *testing.T) {
	h := history.New(shape(4))
	r := start(t, filepath.Join(t.TempDir(), "view"), h.Log, io.Discard)
	r.waitFor(t, h)
	h.Log.Fail(errors.New("no route to the broker"))
	h.More(200)
	until(t, "behind", func() bool { return r.Behind(0)+r.Behind(1)+r.Behind(2) > 0 })
	h.Log.Fail(nil)
	r.waitFor(t, h)
	r.isBook(t, h)
}

func TestProjectionOfAnotherJournalIsRefused(t *testing.T) {
	h := history.New(shape(5))
	dir := filepath.Join(t.TempDir(), "view")
	r := start(t, dir, h.Log, io.Discard)
	r.waitFor(t, h)
	must(t, r.stop())
	other := h.Log.Clone()
	other.Flip(2, 0, journal.FrameHeadSize, 1) // its first record is another one
	for name, log := range map[string]*history.Log{"other": other, "empty": history.NewLog(h.Partitions)} {
		r := start(t, dir, log, io.Discard)
		<-r.done
		if err := r.stop(); !errors.Is(err, view.ErrForeign) || !strings.Contains(err.Error(), "delete") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShorterJournalStopsThePartition(t *testing.T) {
	h := history.New(shape(6))
	dir := filepath.Join(t.TempDir(), "view")
	r := start(t, dir, h.Log, io.Discard)
	r.waitFor(t, h)
	until(t, "at the end", func() bool { return r.Behind(0) == 0 })
	must(t, r.stop())
	log := h.Log.Clone()
	log.SetRecords(0, log.Records(0)[:len(log.Records(0))-3])
	r = start(t, dir, log, io.Discard)
	until(t, "stopped", func() bool {
		lag, err := r.Lag(t.Context())
		must(t, err)
		return strings.Contains(lag[0].Stopped, "ends at offset")
	})
}

func TestOnTheFileLog(t *testing.T) {
	h := history.New(shape(7))
	dir := t.TempDir()
	log, err := filelog.Open(filelog.Config{Dir: filepath.Join(dir, "journal"), Partitions: h.Partitions, SegmentBytes: 64 << 10})
	must(t, err)
	defer func() { must(t, log.Close()) }()
	for third := range 3 {
		r := start(t, filepath.Join(dir, "view"), log, io.Discard)
		for p := range h.Partitions {
			records := h.Log.Records(p)
			for _, record := range records[len(records)*third/3 : len(records)*(third+1)/3] {
				_, err := log.Append(t.Context(), []journal.Record{{Partition: p, Bytes: record}})
				must(t, err)
			}
		}
		until(t, "caught up", func() bool {
			lag, err := r.Lag(t.Context())
			must(t, err)
			return lag[0].Records+lag[1].Records+lag[2].Records == 0
		})
		if third == 2 {
			r.waitFor(t, h)
			r.isBook(t, h)
		}
		must(t, r.stop())
	}
}

// metric reads the sum of a metric's samples.
func metric(t testing.TB, p *Projector, name string) float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	must(t, reg.Register(p))
	families, err := reg.Gather()
	must(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestMetricsTellWhetherMoneyIsConserved(t *testing.T) {
	h := history.New(shape(8))
	h.DeliverAll()
	r := start(t, filepath.Join(t.TempDir(), "view"), h.Log, io.Discard)
	r.waitFor(t, h)
	events := 0
	for p := range h.Events {
		events += len(h.Events[p])
	}
	until(t, "all events counted", func() bool { return metric(t, r.Projector, "wallet_projection_events_total") == float64(events) })
	for _, name := range []string{"wallet_conservation_error_minor_units", "wallet_channels_off", "wallet_channel_in_flight_minor_units", "wallet_projection_stopped"} {
		if v := metric(t, r.Projector, name); v != 0 {
			t.Errorf("%s: %v", name, v)
		}
	}

	forged := h.Log.Clone()
	lost := history.LoseLeg(t, h, forged)
	r = start(t, filepath.Join(t.TempDir(), "view"), forged, io.Discard)
	until(t, "the loss is seen", func() bool {
		return metric(t, r.Projector, "wallet_conservation_error_minor_units") == -float64(lost.Amount)
	})
	if v := metric(t, r.Projector, "wallet_channels_off"); v != 1 {
		t.Errorf("channels off: %v", v)
	}
}

func TestConfigTellsEveryProblem(t *testing.T) {
	v := openView(t, filepath.Join(t.TempDir(), "view"), 2)
	defer func() { must(t, v.Close()) }()
	_, err := New(Config{Log: history.NewLog(3), View: v, Partitions: []int{0, 0, 7}, CommitBytes: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("%v", err)
	}
}

// The seconds are the smaller of two bounds: an idle hour before the newest record is no lag of an hour.
func TestLagInSeconds(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, c := range []struct {
		name string
		part *part
		want time.Duration
	}{
		{"at the end", &part{offset: 7, end: 7, timeMS: ago(time.Hour).UnixMilli(), current: ago(time.Minute)}, 0},
		{"a record after an idle hour", &part{offset: 7, end: 8, timeMS: ago(time.Hour).UnixMilli(), current: ago(time.Second)}, time.Second},
		{"catching up", &part{offset: 7, end: 900, timeMS: ago(3 * time.Second).UnixMilli(), current: ago(time.Hour)}, 3 * time.Second},
		{"from nothing", &part{offset: 0, end: 9, current: ago(2 * time.Second)}, 2 * time.Second},
		{"lets events collect", &part{offset: 7, end: 7, timeMS: ago(3 * time.Second).UnixMilli(), current: ago(time.Second), due: time.Now().Add(time.Minute)}, time.Second},
		{"stopped", &part{offset: 7, end: 7, timeMS: ago(time.Minute).UnixMilli(), current: ago(time.Minute), stopped: journal.ErrDamaged}, time.Minute},
	} {
		if have := c.part.lag().Seconds; have < c.want.Seconds() || have > c.want.Seconds()+0.5 {
			t.Errorf("%s: %v s, want %v", c.name, have, c.want)
		}
	}
}
