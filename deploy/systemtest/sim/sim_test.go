package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/shardrouter"
)

// TestMain leaves Go one processor and no collector while a run lasts: what runs first must not depend on the machine.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	os.Exit(m.Run())
}

// result is what a run came to.
type result struct {
	seed      uint64
	steps     int
	sum       uint64
	failure   error
	tail      []string
	stats     string
	disturbed int
}

// run runs a seed.
func run(t *testing.T, seed uint64, whole bool) (r result) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed)
		w.all, w.looked = whole, wall()
		w.play()
		figures := w.figures()
		w.stop()
		r = result{seed, w.steps, w.sum, w.failure, w.tail, figures, w.disturbed}
	})
	runtime.GC()
	return r
}

func (r result) String() string {
	return fmt.Sprintf("seed %d fails at step %d: %v\nagain: make sim SEED=%d\n%s", r.seed, r.steps, r.failure, r.seed, strings.Join(r.tail, "\n"))
}

// play lets the wallet live through its weather, heals it, and judges it at rest.
func (w *world) play() {
	for w.steps < w.rough && w.failure == nil {
		w.step()
	}
	w.heal()
	healed, looked := time.Now(), 0
	for w.failure == nil {
		w.step()
		if w.steps-looked > 50 {
			looked = w.steps
			why := w.restless()
			if why == "" {
				w.judge()
				return
			}
			if time.Since(healed) > healWithin || w.steps > stepsMax {
				w.fail("not at rest after %v: %s", time.Since(healed), why)
			}
		}
	}
}

func (w *world) figures() string {
	events := uint64(0)
	for _, of := range w.audit.of {
		events += of.book.Seq
	}
	offered, refused, repeats := uint64(0), uint64(0), uint64(0) // in the last reigns
	for _, p := range w.processes {
		if p.keeper != nil {
			s := p.keeper.Stats().Relay
			offered, refused, repeats = offered+s.Offered, refused+s.Refused, repeats+s.Repeats
		}
	}
	return fmt.Sprintf("%d steps, %d orders, %d events, %d entries handed over, %d refused, %d came twice, %d moves, %d slices dropped, %d keys asked for, %d snapshots used, %v", w.steps, len(w.orders), events, offered, refused, repeats, w.moved, w.dropped, w.asked, w.begun, time.Since(w.began).Round(time.Millisecond))
}

func newWorld(seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	w := &world{seed: seed, rng: rng, weather: weatherOf(rng), began: time.Now(), wake: make(chan struct{}, 1), rough: 500 + rng.IntN(2500)}
	w.storm, w.turn = *w.weather, turnOf(rng)
	w.sliceMS = w.turn.window.Milliseconds() / 8
	w.audit, w.log = newAudit(w), &ledger{world: w}
	var shards []shardrouter.Shard
	for i := range max(1+rng.IntN(2), w.turn.shards) {
		s := w.newRedis(fmt.Sprintf("s%d", i))
		w.shards = append(w.shards, s)
		of := shardrouter.Shard{ID: s.shard, Primary: s.addr}
		if rng.IntN(2) == 0 {
			of.Replicas = append(of.Replicas, w.newRedis(fmt.Sprintf("r%d", i)).addr)
		}
		shards = append(shards, of)
	}
	m, err := shardrouter.NewMap(partitions, shards...)
	if err != nil {
		panic(err)
	}
	if rng.IntN(3) == 0 {
		m = m.WithSpares(w.newRedis("spare").addr)
	}
	static, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
	if err != nil {
		panic(err)
	}
	w.zoo = &zookeeper{world: w, static: static, queues: map[string][]*candidate{}}
	for p := range partitions {
		w.fund(p)
	}
	w.processes = make([]*process, 2+2*len(w.shards)+w.turn.projectors())
	w.disk, w.shelf = vfs.NewCrashableMem(), newShelf(w)
	for i := range w.processes {
		var keeps *redis
		if i >= 2 && i < 2+2*len(w.shards) {
			keeps = w.shards[i%2%len(w.shards)]
		}
		w.start(i, 1, keeps)
	}
	for i := range pick(rng, 3, 8, 20) {
		c := &client{world: w, n: i}
		w.clients = append(w.clients, c)
		c.again(time.Duration(rng.IntN(300)) * time.Millisecond)
	}
	w.live()
	return w
}

// turn is what takes part in a seed: all at once in each would cost more than it shows.
type turn struct {
	shards    int           // at least so many
	moves     bool          // partitions move between them
	window    time.Duration // for which keys stay; an hour is for ever
	projects  bool          // there is a projector
	snapshots bool          // keepers begin at snapshots
	gateways  bool          // clients ask processes that keep nothing
	keepers   bool          // clients ask keepers' processes: what their lanes' trains leave is handed over
	mistaken  bool          // keepers believe that nobody else listens, so that they expect nobody else's trains
}

// asks reports whether clients ask a process.
func (t *turn) asks(p *process) bool {
	if p.keeps == nil {
		return t.gateways
	}
	return t.keepers
}

func (t *turn) projectors() int {
	if t.projects {
		return 1
	}
	return 0
}

func turnOf(rng *rand.Rand) turn {
	t := turn{window: time.Hour}
	if rng.IntN(2) == 0 {
		t.moves, t.shards = true, 2
	}
	if rng.IntN(4) == 0 {
		t.projects = true
	}
	t.snapshots = rng.IntN(4) == 0
	t.gateways, t.keepers = rng.IntN(3) > 0, true
	if t.gateways {
		t.keepers = rng.IntN(2) == 0
	}
	t.mistaken = rng.IntN(2) == 0
	if rng.IntN(4) == 0 { // who forgets keys has somebody to ask
		t.projects, t.window = true, pick(rng, 400*time.Millisecond, time.Second, 2500*time.Millisecond)
	}
	return t
}

// live begins what goes on by itself until all heals.
func (w *world) live() {
	if w.turn.moves {
		w.often(600*time.Millisecond, "operator", w.direct)
	}
	if w.turn.snapshots {
		w.often(2*time.Second, "snapshot", func() {
			if w.rng.IntN(4) == 0 {
				w.shelf.spoil()
			} else {
				w.shelf.take()
			}
		})
	}
}

// often does something again and again until all heals.
func (w *world) often(every time.Duration, label string, do func()) {
	w.at(time.Duration(w.rng.Int64N(int64(every))), label, func() {
		if !w.healing {
			do()
			w.often(every, label, do)
		}
	})
}

// newRedis makes an empty Redis with a clock of its own.
func (w *world) newRedis(name string) *redis {
	r := &redis{world: w, shard: name, addr: fmt.Sprintf("10.0.0.%d:6379", len(w.redises)), data: nothing(), admits: map[uint32]bool{}, begun: map[uint32]bool{},
		skew: time.Duration(w.rng.IntN(100)-50) * time.Millisecond}
	w.redises = append(w.redises, r)
	return r
}

// fund begins a partition's journal: its accounts are open and have money.
func (w *world) fund(p int) {
	const epoch, each = 1, 1000
	f := journal.NewEpochFrame(p, epoch, w.began.UnixMilli(), "founder")
	w.log.append(journal.Record{Partition: p, Bytes: f.Seal(nil)})
	mint := accountOf(fmt.Sprintf("mint-%d", p), p)
	var events []byte
	count := 0
	add := func(r *journal.Row, s journal.Status) {
		events = append(r.Append(events), byte(s))
		count++
	}
	add(&journal.Row{Op: journal.OpOpen, Account: mint, Asset: asset, Flags: journal.Issuance, Text: []byte("{}")}, journal.Opened)
	for _, a := range accounts {
		if a.Partition(partitions) != p {
			continue
		}
		add(&journal.Row{Op: journal.OpOpen, Account: a, Asset: asset, Text: []byte("{}")}, journal.Opened)
		key := strconv.Itoa(count)
		add(&journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(mint, key), Account: mint, To: a, Amount: each, Asset: asset, Key: []byte(key)}, journal.Confirmed)
	}
	first := journal.Frame{Kind: journal.FrameEvents, Partition: p, Epoch: epoch, FirstSeq: 1, Count: count, Prev: w.audit.of[p].cursor.Chain,
		Payload: journal.Block{TimeMS: w.began.UnixMilli(), Epoch: epoch, Count: count, Events: events}.Append(nil)}
	w.log.append(journal.Record{Partition: p, Bytes: first.Seal(nil)})
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// TestSeeds runs the campaign, or one seed with its whole trace.
func TestSeeds(t *testing.T) {
	if seed := number("WALLETD_SIM_SEED", 0); seed != 0 {
		r := run(t, uint64(seed), true)
		t.Log(strings.Join(r.tail, "\n"))
		if r.failure != nil {
			t.Fatal(r.failure)
		}
		return
	}
	from, n, steps, began := number("WALLETD_SIM_FROM", 1), number("WALLETD_SIM_SEEDS", 1000/share), 0, time.Now()
	for seed := from; seed < from+n; seed++ {
		r := run(t, uint64(seed), false)
		if steps += r.steps; r.failure != nil {
			t.Fatal(r)
		}
		if done := seed - from + 1; n <= 100 || done%1000 == 0 {
			t.Logf("seed %d, %d of %d: %s", seed, done, n, r.stats)
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds, %d steps in %v: %.0f steps/s", n, steps, took, float64(steps)/took.Seconds())
}
