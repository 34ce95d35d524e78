package systemtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"walletd/gateway/client"
	"walletd/journal"
)

// Shape of a history. Little money, so that much is refused; more reads than writes, so that the search stays short.
const (
	historyClients  = 12
	historyOps      = 1000 // of one client, at most
	historyAccounts = 6
	historyMoney    = 300
	historyPause    = 4 * time.Millisecond // between two operations of a client, on average
	historyPatience = 2 * time.Second      // of one call, mostly
	historyHaste    = 4 * time.Millisecond // of one in eight: it often ends without an answer
)

// forever is the end of an operation that nobody saw end.
const forever = math.MaxInt64

// door is one way into the wallet: a WebSocket session, or REST.
type door interface {
	Balance(ctx context.Context, account string) (client.Balance, error)
	Reserve(ctx context.Context, r client.Reserve) (client.Reservation, error)
	Confirm(ctx context.Context, f client.Confirm) (client.Reservation, error)
	Cancel(ctx context.Context, reservation string) (client.Reservation, error)
	CancelKey(ctx context.Context, from, key string) (client.Reservation, error)
}

func transferBy(ctx context.Context, d door, t client.Transfer) (journal.Position, error) {
	if session, ok := d.(*client.Client); ok {
		r, err := session.Transfer(ctx, t)
		return r.Position, err
	}
	r, err := d.(*client.REST).Transfer(ctx, t)
	return r.Position.Position, err
}

// incoming is a credit of an account, as its payer's client knows it.
type incoming struct {
	id      journal.ID
	amount  int64
	source  int // the payer's partition
	seq     uint64
	channel bool // from another partition
	maybe   bool
	call    int64
	back    int64
}

// historian records what its clients ask and are told, account by account.
type historian struct {
	w        *wallet
	name     string
	hasty    bool
	begin    time.Time
	accounts []string
	doors    []door
	ended    atomic.Int64 // operations that were acknowledged
	stopping chan struct{}
	clients  sync.WaitGroup

	mu           sync.Mutex
	ops          map[string][]porcupine.Operation
	credits      map[string][]incoming
	reservations map[string][]client.Reserve // by payer; a reservation's number is its place
	start        map[string]ownAccount
}

// startHistory opens accounts, two in one partition and the others apart, gives them money, and lets clients work on them,
// who have patience, or not always. The name tells this history's accounts from another's.
func startHistory(t testing.TB, w *wallet, name string, hasty bool) *historian {
	t.Helper()
	h := &historian{w: w, name: name, hasty: hasty, begin: time.Now(), stopping: make(chan struct{}), ops: map[string][]porcupine.Operation{}, credits: map[string][]incoming{},
		reservations: map[string][]client.Reserve{}, start: map[string]ownAccount{}}
	if w.partitions > sources {
		t.Fatalf("%d partitions, histories are checked up to %d", w.partitions, sources)
	}
	taken := map[string]bool{}
	for i := range historyAccounts {
		h.accounts = append(h.accounts, w.inPartition(name+"-", i*2/3%w.partitions, taken))
	}
	w.fund("USD", historyMoney, h.accounts...)
	for _, a := range h.accounts {
		b := w.balance(a)
		h.start[a] = ownAccount{available: int64(b.Available), reserved: int64(b.Reserved), version: b.Version}
	}
	config := w.config()
	config.Retries = -1
	for i := range historyClients {
		var d door
		var err error
		if i%2 == 0 {
			d, err = client.Dial(within(t, answerLimit), config)
		} else {
			d, err = client.NewREST(config)
		}
		if err != nil {
			t.Fatal(err)
		}
		h.doors = append(h.doors, d)
	}
	for i, d := range h.doors { // all are there: clients go through each other's
		a := &historyClient{historian: h, n: i, door: d, dice: dice(t, uint64(1000+i))}
		h.clients.Go(a.run)
	}
	t.Cleanup(h.close)
	return h
}

func (h *historian) close() {
	h.stopOnce()
	for _, d := range h.doors {
		switch d := d.(type) {
		case *client.Client:
			d.Close()
		case *client.REST:
			d.Close()
		}
	}
}

func (h *historian) stopOnce() {
	select {
	case <-h.stopping:
	default:
		close(h.stopping)
	}
	h.clients.Wait()
}

func (h *historian) now() int64 { return int64(time.Since(h.begin)) }

// advance waits until so many more operations were acknowledged.
func (h *historian) advance(n int64) {
	h.w.t.Helper()
	since := h.ended.Load()
	await(h.w.t, recoverLimit, "the clients go on", func() error {
		if done := h.ended.Load() - since; done < n {
			return fmt.Errorf("%d of %d operations", done, n)
		}
		return nil
	})
}

// finish stops the clients, waits until no money is on its way, reads every account once more, and answers the histories.
func (h *historian) finish() map[string][]porcupine.Operation {
	h.w.t.Helper()
	h.stopOnce()
	await(h.w.t, drainLimit, "all money has arrived", func() error {
		sum := journal.Amount(0)
		for _, a := range h.accounts {
			b := h.w.balance(a)
			sum += b.Available + b.Reserved
		}
		if sum != historyMoney*historyAccounts {
			return fmt.Errorf("%d of %d", sum, historyMoney*historyAccounts)
		}
		return nil
	})
	drained := h.now()
	for _, a := range h.accounts {
		h.read(historyClients, h.w.rest(), a)
	}
	truth := h.w.replay()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.accounts {
		h.lookUp(truth, a, drained)
		h.ops[a] = append(h.ops[a], placed(h.credits[a], drained)...)
	}
	return h.ops
}

// placed are an account's credits as operations. One from elsewhere happens at some time after its payer asked; those of one
// source in the order of their decisions.
func placed(all []incoming, drained int64) []porcupine.Operation {
	slices.SortFunc(all, func(a, b incoming) int {
		if a.seq != b.seq {
			return int(int64(a.seq) - int64(b.seq))
		}
		return int(a.call - b.call)
	})
	var ops []porcupine.Operation
	var known [sources]int
	for _, c := range all {
		s := step{verb: credits, amount: c.amount, source: c.source, place: -1}
		op := porcupine.Operation{ClientId: historyClients + 1 + c.source, Call: c.call, Return: c.back}
		switch {
		case c.maybe:
			op.Return = forever
		case c.channel:
			s.place = known[c.source]
			known[c.source]++
			op.Return = drained
		}
		op.Input, op.Output = s, said{maybe: c.maybe}
		ops = append(ops, op)
	}
	return ops
}

// check holds every account's history against the sequential account.
func (h *historian) check() map[string][]porcupine.Operation {
	h.w.t.Helper()
	all := h.finish()
	for _, a := range h.accounts {
		maybe := 0
		for _, op := range all[a] {
			if op.Output.(said).maybe {
				maybe++
			}
		}
		begin := time.Now()
		if err := linearizable(h.start[a], all[a]); err != nil {
			h.w.t.Errorf("account %s: %v", a, err)
		}
		h.w.t.Logf("account %s: %d operations, %d of them unknown, looked at in %v", a, len(all[a]), maybe, time.Since(begin).Round(time.Millisecond))
	}
	return all
}

// read records one strong read.
func (h *historian) read(n int, d door, account string) {
	ctx, cancel := context.WithTimeout(context.Background(), historyPatience)
	defer cancel()
	call := h.now()
	b, err := d.Balance(ctx, account)
	if err != nil {
		return // it has told nobody anything
	}
	h.add(account, porcupine.Operation{ClientId: n, Input: step{verb: reads}, Call: call, Return: h.now(),
		Output: said{available: int64(b.Available), reserved: int64(b.Reserved), version: b.Version}})
}

func (h *historian) add(account string, op porcupine.Operation) {
	h.ended.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[account] = append(h.ops[account], op)
}

// historyClient asks one thing after the other.
type historyClient struct {
	*historian
	n     int
	door  door
	dice  *rand.Rand
	count int
}

func (c *historyClient) run() {
	for range historyOps {
		select {
		case <-c.stopping:
			return
		case <-time.After(time.Duration(c.dice.Int64N(int64(2 * historyPause)))):
		}
		switch d := c.dice.IntN(20); {
		case d < 11:
			c.read(c.n, c.door, c.pick())
		case d < 16:
			c.transfer()
		case d < 18:
			c.reserve()
		default:
			c.resolve()
		}
	}
}

// call is the context of one request: mostly patient, sometimes not.
func (c *historyClient) call() (context.Context, context.CancelFunc) {
	limit := historyPatience
	if c.hasty && c.dice.IntN(8) == 0 {
		limit = time.Duration(1 + c.dice.Int64N(int64(historyHaste)))
	}
	return context.WithTimeout(context.Background(), limit)
}

func (c *historyClient) pick() string { return c.accounts[c.dice.IntN(len(c.accounts))] }

func (c *historyClient) key() string {
	c.count++
	return fmt.Sprintf("%s/%d/%d", c.name, c.n, c.count)
}

// pair are a payer and another one.
func (c *historyClient) pair() (from, to string) {
	from = c.pick()
	for to = c.pick(); to == from; to = c.pick() {
	}
	return from, to
}

// record notes how the payer's part of an operation ended, and what the payee may expect from it.
func (c *historyClient) record(from, to string, s step, call int64, at journal.Position, err error) {
	op := porcupine.Operation{ClientId: c.n, Input: s, Call: call, Return: c.now()}
	in := incoming{id: s.id, amount: s.amount, source: c.w.partitionOf(from), seq: at.Seq, call: call, back: op.Return}
	var r request
	var no *client.RefusedError
	switch r.told("", at, err); {
	case r.outcome == unknown:
		op.Output, op.Return, in.maybe = said{maybe: true}, forever, true
	case r.outcome == acknowledged:
		op.Output = said{}
	case errors.As(err, &no) && !no.Retryable:
		op.Output, to = said{code: no.Code, needed: int64(no.Needed)}, ""
	default:
		return // not sent, or not now: nothing has happened
	}
	c.add(from, op)
	if to == "" {
		return
	}
	in.channel = in.source != c.w.partitionOf(to)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credits[to] = append(c.credits[to], in)
}

func (c *historyClient) transfer() {
	from, to := c.pair()
	key := c.key()
	s := step{verb: debits, amount: 1 + c.dice.Int64N(historyMoney/4), id: client.TransferID(from, key)}
	ctx, cancel := c.call()
	defer cancel()
	began := c.now()
	at, err := transferBy(ctx, c.door, client.Transfer{Key: key, From: from, To: to, Amount: journal.Amount(s.amount), Asset: "USD"})
	c.record(from, to, s, began, at, err)
}

// reserve asks for a reservation; now and then somebody cancels it by its key meanwhile.
func (c *historyClient) reserve() {
	from, to := c.pair()
	r := client.Reserve{Key: c.key(), From: from, To: to, Amount: journal.Amount(1 + c.dice.IntN(historyMoney/4)), Asset: "USD"}
	c.mu.Lock()
	number := len(c.reservations[from])
	c.reservations[from] = append(c.reservations[from], r)
	c.mu.Unlock()
	var both sync.WaitGroup
	if c.dice.IntN(4) == 0 {
		other := c.doors[c.dice.IntN(len(c.doors))]
		both.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), historyPatience)
			defer cancel()
			began := c.now()
			_, err := other.CancelKey(ctx, from, r.Key)
			c.record(from, "", step{verb: cancels, reservation: number, byKey: true}, began, journal.Position{}, err)
		})
	}
	ctx, cancel := c.call()
	defer cancel()
	began := c.now()
	_, err := c.door.Reserve(ctx, r)
	c.record(from, "", step{verb: reserves, amount: int64(r.Amount), reservation: number, id: client.TransferID(from, r.Key)}, began, journal.Position{}, err)
	both.Wait()
}

// resolve confirms or cancels one of the latest reservations, perhaps while another client does, or its reserve is under way.
func (c *historyClient) resolve() {
	from := c.pick()
	c.mu.Lock()
	number := len(c.reservations[from]) - 1 - c.dice.IntN(4)
	var r client.Reserve
	if number >= 0 {
		r = c.reservations[from][number]
	}
	c.mu.Unlock()
	if number < 0 {
		return
	}
	reservation, key := client.TransferID(from, r.Key), c.key()
	id := reservation.Text(journal.ReservationPrefix)
	ctx, cancel := c.call()
	defer cancel()
	began := c.now()
	if c.dice.IntN(2) == 0 {
		_, err := c.door.Cancel(ctx, id)
		c.record(from, "", step{verb: cancels, reservation: number}, began, journal.Position{}, err)
		return
	}
	s := step{verb: confirms, amount: 1 + c.dice.Int64N(int64(r.Amount)), reservation: number, keepOpen: c.dice.IntN(3) == 0, id: journal.ConfirmIDOf(reservation, key)}
	v, err := c.door.Confirm(ctx, client.Confirm{Reservation: id, Key: key, Amount: journal.Amount(s.amount), KeepOpen: s.keepOpen})
	c.record(from, r.To, s, began, v.Position.Position, err)
}
