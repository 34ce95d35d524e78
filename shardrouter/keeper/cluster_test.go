package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
	"walletd/shardrouter/lane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

// patience bounds every wait of a test.
const patience = 30 * time.Second

// cluster is shards, keepers, lanes and a log in one process.
type cluster struct {
	*testing.T
	partitions int
	redis      []*local.Server
	replicas   [][]*local.Server // by server
	spares     []*local.Server
	static     *shardrouter.Static
	log        journal.Log
	lanes      *lane.Lanes
	shards     rows.Shards // how keepers deliver
	keepers    map[string]*running
	kept       *allKept
	clusterOptions
}

// allKept are all keepers that were ever started: lanes hand over to each that keeps the shard.
type allKept struct {
	mu sync.Mutex
	by []*Keeper
}

func (c *allKept) add(k *Keeper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = append(c.by, k)
}

func (c *allKept) handOver(shard, addr string, epoch uint32, t *luascripts.Train) {
	c.mu.Lock()
	by := slices.Clone(c.by)
	c.mu.Unlock()
	for _, k := range by {
		if k.cfg.Shard == shard {
			k.HandOver(addr, epoch, t)
		}
	}
}

// clusterOptions are what a test wants otherwise.
type clusterOptions struct {
	servers    int
	replicas   int // of each
	spares     int
	redisArgs  []string
	partitions int
	log        journal.Log                                  // nil = a filelog
	via        func(addr string) string                     // the address that the map shows
	around     func(rows.Shards) rows.Shards                // between keepers and lanes
	config     func(*Config)                                // of every keeper
	lanes      func(*lane.Config)                           //
	journalOf  func(name string, l journal.Log) journal.Log // as one keeper sees it
}

// running is a keeper that runs.
type running struct {
	*Keeper
	name    string
	cancel  context.CancelFunc
	stop    func() error // ends it
	stopped func() error // waits until it ends
}

func shardName(i int) string { return fmt.Sprintf("s%d", i+1) }

func newCluster(t *testing.T, o clusterOptions) *cluster {
	t.Helper()
	c := &cluster{T: t, partitions: o.partitions, keepers: map[string]*running{}, kept: &allKept{}, clusterOptions: o, log: o.log}
	var inMap []shardrouter.Shard
	for i := range o.servers {
		r := local.Redis(t, o.redisArgs...)
		c.redis = append(c.redis, r)
		addr := r.Addr
		if o.via != nil {
			addr = o.via(addr)
		}
		in := shardrouter.Shard{ID: shardName(i), Primary: addr}
		c.replicas = append(c.replicas, nil)
		for range o.replicas {
			replica := local.Redis(t, o.redisArgs...)
			c.replicas[i] = append(c.replicas[i], replica)
			in.Replicas = append(in.Replicas, replica.Addr)
		}
		inMap = append(inMap, in)
	}
	m, err := shardrouter.NewMap(o.partitions, inMap...)
	if err != nil {
		t.Fatal(err)
	}
	for range o.spares {
		spare := local.Redis(t, o.redisArgs...)
		c.spares = append(c.spares, spare)
		m = m.WithSpares(append(m.Spares, spare.Addr)...)
	}
	if c.static, err = shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m}); err != nil {
		t.Fatal(err)
	}
	if c.log == nil {
		l, err := filelog.Open(filelog.Config{Dir: t.TempDir(), Partitions: o.partitions, SegmentBytes: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c.log = l
	}
	lc := lane.Config{Partitions: o.partitions, Map: c.static, HandOver: c.kept.handOver}
	if o.lanes != nil {
		o.lanes(&lc)
	}
	if c.lanes, err = lane.New(lc); err != nil {
		t.Fatal(err)
	}
	c.shards = c.lanes
	if o.around != nil {
		c.shards = o.around(c.lanes)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.lanes.Run(ctx) }()
	t.Cleanup(func() { c.stopKeepers(); cancel(); <-done })
	return c
}

// logger writes what a keeper says, when the environment asks for it.
func logger(name string) *slog.Logger {
	if os.Getenv("KEEPER_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("keeper", name)
}

// keep starts a keeper of a shard.
func (c *cluster) keep(shard int, name string) *running {
	c.Helper()
	cfg := Config{Shard: shardName(shard), Name: name, Partitions: c.partitions, Map: c.static, Store: c.static, Election: c.static,
		Moves: c.static, Journal: c.log, Shards: c.shards, Marks: c.lanes.Mark, Log: logger(name)}
	if c.journalOf != nil {
		cfg.Journal = c.journalOf(name, c.log)
	}
	if c.config != nil {
		c.config(&cfg)
	}
	k, err := New(cfg)
	if err != nil {
		c.Fatal(err)
	}
	c.kept.add(k)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stopped := sync.OnceValue(func() error { return <-done })
	r := &running{Keeper: k, name: name, cancel: cancel, stop: func() error { cancel(); return stopped() }, stopped: stopped}
	c.keepers[name] = r
	return r
}

// keepAll starts a keeper for every shard and waits until all serve.
func (c *cluster) keepAll() {
	c.Helper()
	for i := range c.redis {
		c.keep(i, "k-"+shardName(i))
	}
	c.eventually("all shards are served", func() bool {
		for _, k := range c.keepers {
			if k.Stats().State != Serving {
				return false
			}
		}
		return true
	})
}

func (c *cluster) stopKeepers() {
	for _, k := range c.keepers {
		k.cancel() // all at once
	}
	for name, k := range c.keepers {
		if err := k.stop(); err != nil && !errors.Is(err, context.Canceled) {
			c.Errorf("keeper %s: %v", name, err)
		}
		delete(c.keepers, name)
	}
}

func (c *cluster) eventually(what string, ok func() bool) {
	c.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			c.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// shard is a client straight to a Redis, whose trains run in the epoch of the map.
func (c *cluster) shard(i int) *luascripts.Shard {
	c.Helper()
	in := c.static.Current().Shards[shardName(i)]
	addr := in.Primary
	if c.via != nil {
		addr = c.redis[i].Addr
	}
	s, err := luascripts.Open(luascripts.Config{Addr: addr, Epoch: in.Epoch})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = s.Close() })
	return s
}

func (c *cluster) redisCLI(server int, args ...string) {
	c.Helper()
	c.redisSays(server, args...)
}

// redisSays is what a server answers.
func (c *cluster) redisSays(server int, args ...string) []byte {
	c.Helper()
	host, port, _ := strings.Cut(c.redis[server].Addr, ":")
	out, err := exec.CommandContext(c.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		c.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return out
}

// asker sends one row at a time and waits for its outcome.
type asker struct {
	c       *cluster
	through rows.Shards // nil: the cluster's lanes
	stage   *rows.Stage
	out     chan rows.Outcome
}

func (c *cluster) asker() *asker {
	return &asker{c: c, stage: rows.NewStage(c.partitions), out: make(chan rows.Outcome, 1)}
}

// Settle implements rows.Sink.
func (a *asker) Settle(outs []rows.Outcome) {
	for _, o := range outs {
		o.Record, o.Carry = append([]byte(nil), o.Record...), append([]byte(nil), o.Carry...)
		select {
		case a.out <- o:
		default:
			panic("a row was answered twice")
		}
	}
}

func (a *asker) ask(partition int, r journal.Row) rows.Outcome {
	a.stage.Add(partition, &r, a, 0)
	shards := a.through
	if shards == nil {
		shards = a.c.lanes
	}
	shards.Submit(a.stage)
	select {
	case o := <-a.out:
		return o
	case <-time.After(patience):
		panic(fmt.Sprintf("no answer to %v", r.Op))
	}
}

// sure asks again, with the same key, until the answer is one.
func (a *asker) sure(partition int, r journal.Row) rows.Outcome {
	deadline := time.Now().Add(patience)
	for {
		o := a.ask(partition, r)
		if !o.Status.Retryable() && o.Status != journal.OutcomeUnknown {
			return o
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("%v: %v until the end", r.Op, o.Status))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// account is an account of a partition.
func (c *cluster) account(partition int, name string) journal.Handle {
	for i := 0; ; i++ {
		if h := journal.HandleOf(fmt.Sprintf("%s-%d-%d", name, partition, i)); h.Partition(c.partitions) == partition {
			return h
		}
	}
}

func (a *asker) open(h journal.Handle, flags journal.Flags) {
	o := a.sure(h.Partition(a.c.partitions), journal.Row{Op: journal.OpOpen, Account: h, Flags: flags, Text: []byte(`{"id":"x"}`)})
	if o.Status != journal.Opened && o.Status != journal.AccountExists {
		panic(fmt.Sprintf("open: %v", o.Status))
	}
}

// move makes a transfer as a gateway does: check, then pay, or transfer where both live in one partition. Once tells not
// to ask again.
func (a *asker) move(from, to journal.Handle, key string, amount journal.Amount, ask func(int, journal.Row) rows.Outcome) journal.Status {
	n := a.c.partitions
	r := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(from, key), Account: from, To: to, Amount: amount, Key: []byte(key)}
	if p, q := from.Partition(n), to.Partition(n); p != q {
		check := ask(q, journal.Row{Op: journal.OpCheck, Account: to, Amount: amount})
		if check.Status.Retryable() || check.Status == journal.OutcomeUnknown {
			return check.Status
		}
		r.Op, r.Verdict = journal.OpPay, uint8(check.Status)
	}
	return ask(from.Partition(n), r).Status
}

// capture confirms a reservation.
func (a *asker) capture(id journal.ID, to journal.Handle, key string, amount journal.Amount, final bool) journal.Status {
	n := a.c.partitions
	r := journal.Row{Op: journal.OpConfirm, Verdict: journal.VerdictLocal, ID: journal.ConfirmIDOf(id, key), Reservation: id, To: to, Amount: amount, Final: final, Key: []byte(key)}
	if p, q := id.Partition(n), to.Partition(n); p != q {
		r.Verdict = uint8(a.sure(q, journal.Row{Op: journal.OpCheck, Account: to, Amount: max(amount, 1)}).Status)
	}
	return a.sure(id.Partition(n), r).Status
}
