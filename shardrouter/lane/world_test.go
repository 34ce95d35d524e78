package lane

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

const partitions = 4

// patience bounds every wait of a test.
const patience = 10 * time.Second

// world is lanes over real shards, without a keeper: the test says what is durable.
type world struct {
	testing.TB
	shards []*luascripts.Shard // straight to Redis
	redis  []*local.Server
	static *shardrouter.Static
	lanes  *Lanes
	stage  *rows.Stage
	tag    uint64
	end    context.CancelFunc
	ended  chan struct{}
}

// newWorld starts Redis servers that serve their partitions, empty, in epoch 1, and lanes over them. via, if not nil,
// gives the address that the map shows for a server.
func newWorld(t testing.TB, servers int, via func(addr string) string, change func(*Config)) *world {
	t.Helper()
	w := &world{TB: t, stage: rows.NewStage(partitions), ended: make(chan struct{})}
	var inMap []shardrouter.Shard
	for i := range servers {
		r := local.Redis(t)
		s, err := luascripts.Open(luascripts.Config{Addr: r.Addr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		w.redis, w.shards = append(w.redis, r), append(w.shards, s)
		addr := r.Addr
		if via != nil {
			addr = via(addr)
		}
		inMap = append(inMap, shardrouter.Shard{ID: shardName(i), Primary: addr, Epoch: 1, State: shardrouter.StateServing})
	}
	m, err := shardrouter.NewMap(partitions, inMap...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range servers {
		m = m.WithPartitions(shardName(i), 1, m.PartitionsOf(shardName(i))...)
	}
	if w.static, err = shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m}); err != nil {
		t.Fatal(err)
	}
	for i := range servers {
		w.load(i, 1)
	}
	c := Config{Partitions: partitions, Map: w.static}
	if change != nil {
		change(&c)
	}
	if w.lanes, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.end = sync.OnceFunc(func() { cancel(); <-w.ended })
	go func() {
		defer close(w.ended)
		_ = w.lanes.Run(ctx)
	}()
	t.Cleanup(w.end)
	return w
}

func shardName(i int) string { return fmt.Sprintf("s%d", i+1) }

// load makes a server serve its partitions, empty, in an epoch.
func (w *world) load(server int, epoch uint32) {
	w.Helper()
	var books []*journal.Book
	for _, p := range w.static.Current().PartitionsOf(shardName(server)) {
		b := journal.NewBook(p, partitions)
		b.Epoch = epoch
		books = append(books, b)
	}
	if err := w.shards[server].Load(w.Context(), books...); err != nil {
		w.Fatal(err)
	}
	if err := w.shards[server].Admit(w.Context(), epoch, forever); err != nil {
		w.Fatal(err)
	}
}

// republish shows another epoch of a server's partitions, at its old address or another.
func (w *world) republish(server int, epoch uint32, addr string) {
	w.Helper()
	err := w.static.Publish(w.Context(), func(m *shardrouter.Map) (*shardrouter.Map, error) {
		s := m.Shards[shardName(server)]
		s.Epoch = epoch
		if addr != "" {
			s.Primary = addr
		}
		return m.WithShard(s).WithPartitions(s.ID, epoch, m.PartitionsOf(s.ID)...), nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// durable lets everything that a shard has done be durable, from now on, until the returned function is called.
func (w *world) durable() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, s := range w.shards {
		wg.Go(func() {
			for ctx.Err() == nil {
				if marks := marksOf(ctx, s); len(marks) > 0 {
					w.lanes.Mark(marks)
				}
				pauseFor(ctx, time.Millisecond)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	w.Cleanup(stop)
	return stop
}

func marksOf(ctx context.Context, s *luascripts.Shard) (marks []luascripts.Mark) {
	parts, err := s.Parts(ctx)
	if err != nil {
		return nil
	}
	for p, part := range parts {
		marks = append(marks, luascripts.Mark{Partition: p, Epoch: part.Epoch, Seq: part.Seq})
	}
	return marks
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// sink keeps what it is told, and how often.
type sink struct {
	mu   sync.Mutex
	outs map[uint64][]rows.Outcome
	runs int
	came chan struct{}
}

func newSink() *sink { return &sink{outs: map[uint64][]rows.Outcome{}, came: make(chan struct{}, 1)} }

func (s *sink) Settle(outs []rows.Outcome) {
	s.mu.Lock()
	for _, o := range outs {
		o.Record, o.Carry = append([]byte(nil), o.Record...), append([]byte(nil), o.Carry...)
		s.outs[o.Tag] = append(s.outs[o.Tag], o)
	}
	s.runs++
	s.mu.Unlock()
	signal(s.came)
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.outs)
}

// wait waits until so many rows have been answered, and fails when one was answered twice.
func (s *sink) wait(t testing.TB, n int) map[uint64]rows.Outcome {
	t.Helper()
	deadline := time.After(patience)
	for s.count() < n {
		select {
		case <-s.came:
		case <-deadline:
			t.Fatalf("%d of %d rows answered", s.count(), n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	once := map[uint64]rows.Outcome{}
	for tag, outs := range s.outs {
		if len(outs) != 1 {
			t.Fatalf("row %d was answered %d times: %v", tag, len(outs), outs)
		}
		once[tag] = outs[0]
	}
	return once
}

// account is an account of a partition: named after it, with as many zeros as it takes to hash there.
func account(partition int, name string) journal.Handle {
	for i := 0; ; i++ {
		if h := journal.HandleOf(fmt.Sprintf("%s-%d", name, i)); h.Partition(partitions) == partition {
			return h
		}
	}
}

// send submits one row, for its sink.
func (w *world) send(s *sink, partition int, r journal.Row) uint64 {
	w.tag++
	w.stage.Add(partition, &r, s, w.tag)
	w.lanes.Submit(w.stage)
	return w.tag
}

// ask sends one row and waits for its outcome.
func (w *world) ask(partition int, r journal.Row) rows.Outcome {
	w.Helper()
	s := newSink()
	tag := w.send(s, partition, r)
	return s.wait(w.TB, 1)[tag]
}

// open opens an account, and lets it be durable.
func (w *world) open(partition int, name string, flags journal.Flags) journal.Handle {
	w.Helper()
	h := account(partition, name)
	stop := w.durable()
	defer stop()
	o := w.ask(partition, journal.Row{Op: journal.OpOpen, Account: h, Flags: flags, Text: []byte(`{}`)})
	if o.Status != journal.Opened {
		w.Fatalf("open %s: %v", name, o.Status)
	}
	return h
}

func transfer(from, to journal.Handle, key string, amount journal.Amount) journal.Row {
	return journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(from, key), Account: from, To: to,
		Amount: amount, Key: []byte(key)}
}

// available is what a shard has stored for an account.
func (w *world) available(h journal.Handle) journal.Amount {
	w.Helper()
	for _, s := range w.shards {
		books, err := s.Dump(w.Context(), partitions)
		if err != nil {
			w.Fatal(err)
		}
		if b := books[h.Partition(partitions)]; b != nil {
			if a, ok := b.State.Account(h); ok {
				return a.Available
			}
		}
	}
	w.Fatalf("account %x is nowhere", h)
	return 0
}

// eventually waits for a condition.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			w.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// stats are the figures of all lanes together.
func (w *world) stats() (sum Stats) {
	for _, s := range w.lanes.Stats() {
		sum.Trains, sum.Acts, sum.Faults, sum.Unknown = sum.Trains+s.Trains, sum.Acts+s.Acts, sum.Faults+s.Faults, sum.Unknown+s.Unknown
		sum.Refused, sum.Queued, sum.Held = sum.Refused+s.Refused, sum.Queued+s.Queued, sum.Held+s.Held
	}
	return sum
}

// forever is a lease that does not end.
const forever = 1<<53 - 1
