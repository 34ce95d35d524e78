package systemtest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/gateway/client"
	"walletd/journal"
)

// What a load is made of, unless its options say otherwise.
const (
	loadSessions     = 4
	loadWorkers      = 24
	loadPerSecond    = 1500 // operations begun; the tests share two cores with the servers
	loadPerPartition = 3    // accounts
	burstSize        = 250  // transfers at once, from one more session
	burstEvery       = 250 * time.Millisecond
	loadFunds        = 1_000_000
	steady           = 60 // transfers in every partition, between two faults
	lastMax          = 64 // what a worker may ask for again
	callLong         = 20 * time.Second
	callShort        = 200 * time.Millisecond // at most: an impatient client, who does not learn what became of it
)

// loadOptions say how much is done, and of what.
type loadOptions struct {
	sessions, workers, perSecond, perPartition, loners, readers int
	burst                                                       int // transfers at once, now and then
	funds                                                       journal.Amount
	mix                                                         mix
	seed                                                        uint64
}

// mix is how often a worker does what, in shares of their sum.
type mix struct{ transfer, hopeless, batch, repeat, reservation, alter, cancelFirst, open int }

var usualMix = mix{55, 10, 7, 8, 14, 3, 3, 0}

func usualLoad() loadOptions {
	return loadOptions{sessions: loadSessions, workers: loadWorkers, perSecond: loadPerSecond, perPartition: loadPerPartition, loners: loners,
		burst: burstSize, funds: loadFunds, mix: usualMix, seed: runSeed}
}

// load is clients that move money all the time, and a ledger of what they were told.
type load struct {
	loadOptions
	w        *wallet
	ledger   *ledger
	accounts []string // USD
	foreign  []string // EUR
	sessions []*client.Client
	rest     *client.REST
	acked    []atomic.Int64 // transfers acknowledged, by the payer's partition
	tokens   chan struct{}
	stopping chan struct{}
	workers  sync.WaitGroup
	once     sync.Once
}

// startLoad opens accounts in every partition and lets workers loose on them. It ends with stop, or with the test.
func startLoad(t testing.TB, w *wallet) *load {
	t.Helper()
	dice(t, 0) // tells the seed of a run that fails
	l := startLoadOf(t, w, usualLoad())
	l.advance(1)
	return l
}

// startLoadOf is startLoad with options; it does not wait until the load moves.
func startLoadOf(t testing.TB, w *wallet, o loadOptions) *load {
	t.Helper()
	l := &load{loadOptions: o, w: w, ledger: new(ledger), rest: w.rest(), acked: make([]atomic.Int64, w.partitions), tokens: make(chan struct{}, 16), stopping: make(chan struct{})}
	taken := map[string]bool{}
	for range o.perPartition {
		for p := range w.partitions {
			l.accounts = append(l.accounts, w.inPartition("acc", p, taken))
		}
	}
	for p := range min(2, w.partitions) {
		l.foreign = append(l.foreign, w.inPartition("eur", p, taken))
	}
	w.fund("USD", o.funds, l.accounts...)
	w.fund("EUR", o.funds, l.foreign...)
	for range o.sessions {
		l.sessions = append(l.sessions, w.dial())
	}
	l.workers.Go(l.pace)
	for n := range o.workers {
		l.workers.Go(l.worker(n, l.sessions[n%len(l.sessions)]).run)
	}
	for n := range o.loners {
		l.startLoner(n, taken)
	}
	l.workers.Go(l.worker(o.workers, w.dial()).runBursts)
	for n := range o.readers {
		l.workers.Go(l.worker(o.workers+1+n, w.dial()).runReads)
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) worker(n int, session *client.Client) *worker {
	return &worker{load: l, n: n, session: session, dice: rand.New(rand.NewPCG(l.seed, uint64(n)))}
}

// pace gives out the operations that may begin.
func (l *load) pace() {
	tick := time.NewTicker(time.Second / time.Duration(l.perSecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stopping:
			return
		}
		select {
		case l.tokens <- struct{}{}:
		default: // nobody is free
		}
	}
}

func (l *load) end() {
	l.once.Do(func() { close(l.stopping) })
	l.workers.Wait()
}

// stop lets what is under way finish and returns the ledger.
func (l *load) stop() *ledger {
	l.w.t.Helper()
	l.end()
	tally := l.ledger.tally()
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		l.w.t.Logf("%6d %s", tally[what], what)
	}
	return l.ledger
}

// advance waits until so many more transfers were acknowledged in every partition (by payer) than when it was called.
func (l *load) advance(n int64) {
	l.w.t.Helper()
	begin, since := time.Now(), make([]int64, len(l.acked))
	for p := range since {
		since[p] = l.acked[p].Load()
	}
	await(l.w.t, recoverLimit, "the load goes on", func() error {
		for p, before := range since {
			if done := l.acked[p].Load() - before; done < n {
				return fmt.Errorf("%d of %d transfers in partition %d since %v", done, n, p, time.Since(begin).Round(time.Millisecond))
			}
		}
		return nil
	})
	l.w.t.Logf("%d more transfers in each partition after %v", n, time.Since(begin).Round(time.Millisecond))
}

// worker makes one request after the other.
type worker struct {
	*load
	n       int
	session *client.Client
	dice    *rand.Rand
	count   int
	last    []*request // transfers that were acknowledged: half of them of any age, half young
	acks    int
}

func (k *worker) run() {
	for {
		select {
		case <-k.stopping:
			return
		case <-k.tokens:
			k.operate()
		}
	}
}

// runBursts sends many transfers at once, now and then, so that a fault meets full trains.
func (k *worker) runBursts() {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.burst()
		case <-k.stopping:
			return
		}
	}
}

func (k *worker) burst() {
	requests, outcomes := make([]*request, k.loadOptions.burst), make([]client.Outcome, k.loadOptions.burst)
	var under sync.WaitGroup
	for i := range requests {
		r := k.newTransfer()
		requests[i] = r
		k.ledger.add(r)
		under.Add(1)
		err := k.session.Go(asTransfer(r), func(result client.Result, err error) {
			outcomes[i] = client.Outcome{Result: result, Err: err}
			under.Done()
		})
		if err != nil {
			outcomes[i].Err = err
			under.Done()
		}
	}
	under.Wait()
	for i, r := range requests {
		k.ended(r, outcomes[i].Result.Status, outcomes[i].Result.Position, outcomes[i].Err)
	}
}

func (k *worker) operate() {
	m := &k.mix
	what := []struct {
		share int
		do    func()
	}{
		{m.transfer, func() { k.transfer(k.newTransfer()) }},
		{m.hopeless, func() { k.transfer(k.hopeless()) }},
		{m.batch, k.batch}, {m.repeat, k.repeat}, {m.reservation, k.reservation}, {m.alter, k.alter}, {m.cancelFirst, k.cancelFirst}, {m.open, k.open},
	}
	sum := 0
	for _, w := range what {
		sum += w.share
	}
	d := k.dice.IntN(sum)
	for _, w := range what {
		if d -= w.share; d < 0 {
			w.do()
			return
		}
	}
}

// key is a new one; the worker's number makes it unique.
func (k *worker) key(what string) string {
	k.count++
	return fmt.Sprintf("%s/%d/%d", what, k.n, k.count)
}

func (k *worker) pick() string { return k.accounts[k.dice.IntN(len(k.accounts))] }

// call is the context of one request: mostly patient, sometimes not.
func (k *worker) call() (context.Context, context.CancelFunc) {
	limit := callLong
	if k.dice.IntN(4) == 0 {
		limit = time.Duration(1 + k.dice.Int64N(int64(callShort)))
	}
	return context.WithTimeout(context.Background(), limit)
}

func (k *worker) newTransfer() *request {
	r := &request{act: actTransfer, key: k.key("t"), from: k.pick(), to: k.pick(), amount: journal.Amount(1 + k.dice.IntN(500)), asset: "USD"}
	for r.to == r.from {
		r.to = k.pick()
	}
	if k.dice.IntN(4) == 0 {
		r.reference = "order " + r.key
	}
	return r
}

// hopeless is a transfer that must be refused.
func (k *worker) hopeless() *request {
	r := k.newTransfer()
	switch k.dice.IntN(4) {
	case 0:
		r.amount = journal.AmountMax
	case 1:
		r.to = "nobody"
	case 2:
		r.to = k.foreign[k.dice.IntN(len(k.foreign))]
	case 3:
		r.to = r.from
	}
	return r
}

func asTransfer(r *request) client.Transfer {
	return client.Transfer{Key: r.key, From: r.from, To: r.to, Amount: r.amount, Asset: r.asset, Reference: r.reference}
}

// transfer makes the request, by session or by REST, and notes its end.
func (k *worker) transfer(r *request) {
	k.ledger.add(r)
	ctx, cancel := k.call()
	defer cancel()
	if k.dice.IntN(5) == 0 {
		info, err := k.rest.Transfer(ctx, asTransfer(r))
		k.ended(r, info.Status, info.Position.Position, err)
		return
	}
	result, err := k.session.Transfer(ctx, asTransfer(r))
	k.ended(r, result.Status, result.Position, err)
}

// ended notes how a transfer ended.
func (k *worker) ended(r *request, status string, at journal.Position, err error) {
	k.ledger.mu.Lock()
	r.told(status, at, err)
	k.ledger.mu.Unlock()
	if r.outcome != acknowledged {
		return
	}
	k.ledger.notAhead(k.w, r, at)
	k.ledger.changed(r.from, at)
	k.acked[k.w.partitionOf(r.from)].Add(1)
	k.acks++
	switch i := k.dice.IntN(k.acks); {
	case len(k.last) < lastMax:
		k.last = append(k.last, r)
	case i < lastMax/2:
		k.last[i] = r
	default:
		k.last[lastMax/2+i%(lastMax/2)] = r
	}
}

func (k *worker) batch() {
	var requests []*request
	var transfers []client.Transfer
	for range 2 + k.dice.IntN(6) {
		r := k.newTransfer()
		if k.dice.IntN(8) == 0 {
			r = k.hopeless()
		}
		k.ledger.add(r)
		requests, transfers = append(requests, r), append(transfers, asTransfer(r))
	}
	ctx, cancel := k.call()
	defer cancel()
	outcomes, err := k.session.Batch(ctx, transfers)
	for i, r := range requests {
		if outcomes == nil { // nothing was sent
			k.ended(r, "", journal.Position{}, err)
			continue
		}
		k.ended(r, outcomes[i].Result.Status, outcomes[i].Result.Position, outcomes[i].Err)
	}
}

// repeat asks again for something that was acknowledged: the first answer, or, with another content, the key rule.
func (k *worker) repeat() {
	if len(k.last) == 0 {
		return
	}
	r := k.last[k.dice.IntN(len(k.last))]
	x := asTransfer(r)
	other := k.dice.IntN(3) == 0
	if other {
		x.Amount++
	}
	ctx, cancel := k.call()
	defer cancel()
	result, err := k.sessions[k.dice.IntN(len(k.sessions))].Transfer(ctx, x) // another connection, another gateway
	var again request
	again.told(result.Status, result.Position, err)
	switch {
	case again.outcome == unknown || client.Code(err) != "" && retryable(err) || again.outcome == refused && client.Code(err) == "":
	case other && again.code != "key_reused_with_different_amount":
		k.ledger.fault("another amount under the key of %v answered %v, %v", r, result, err)
	case !other && (again.outcome != acknowledged || again.position != r.position || again.status != r.status):
		k.ledger.fault("a repeat of %v (%s at %v) answered %v, %v", r, r.status, r.position, result, err)
	}
}
