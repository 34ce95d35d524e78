package rival

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

// world is a rival and the reference beside it.
type world struct {
	t      *testing.T
	shards rows.Shards
	book   *journal.Book
	dice   *rand.Rand
	names  []string
	nowMS  int64
}

func newWorld(t *testing.T, shards rows.Shards) *world {
	w := &world{t: t, shards: shards, book: journal.NewBook(0, 1), dice: rand.New(rand.NewPCG(7, 7)), nowMS: 1_700_000_000_000}
	for i := range 12 {
		w.names = append(w.names, fmt.Sprint("account", i))
	}
	return w
}

// Changed and Leg implement journal's listener.
func (w *world) Changed(*journal.Event, journal.Change) {}
func (w *world) Leg(*journal.Event, journal.Leg)        {}

// runs the shards until the test ends.
func run(t *testing.T, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := fn(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended by itself: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); ended.Wait() })
}

// sink gathers outcomes by tag.
type sink struct {
	mu   sync.Mutex
	outs []rows.Outcome
	left int
	done chan struct{}
}

func (s *sink) Settle(outs []rows.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range outs {
		o.Record = slices.Clone(o.Record)
		s.outs[o.Tag] = o
		if s.left--; s.left == 0 {
			close(s.done)
		}
	}
}

// submit hands over the rows in one stage and waits for their outcomes.
func (w *world) submit(batch ...journal.Row) []rows.Outcome {
	w.t.Helper()
	s := &sink{outs: make([]rows.Outcome, len(batch)), left: len(batch), done: make(chan struct{})}
	st := rows.NewStage(1)
	for i := range batch {
		st.Add(0, &batch[i], s, uint64(i))
	}
	w.shards.Submit(st)
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		w.t.Fatalf("%d of %d rows were never answered", s.left, len(batch))
	}
	return s.outs
}

// reference answers what the Book says of a row, and applies it.
func (w *world) reference(r *journal.Row) journal.Outcome {
	w.t.Helper()
	packed := r.Append(nil)
	w.nowMS++
	o, err := w.book.Decide(packed, w.nowMS)
	if err != nil {
		w.t.Fatal(err)
	}
	if o.Journaled {
		e := journal.Event{Position: journal.Position{Epoch: 1, Seq: w.book.Seq + 1}, TimeMS: w.nowMS, Status: o.Status, Packed: packed}
		if err := w.book.Apply(&e, w); err != nil {
			w.t.Fatal(err)
		}
	}
	return o
}

func (w *world) open(asset journal.Asset, flags journal.Flags, limit journal.Amount, name string) journal.Row {
	return journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(name), Asset: asset, Flags: flags, OverdraftLimit: limit,
		Text: fmt.Appendf(nil, `{"id":%q}`, name)}
}

func transfer(key, from, to string, amount journal.Amount) journal.Row {
	payer := journal.HandleOf(from)
	return journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(payer, key), Account: payer, To: journal.HandleOf(to),
		Amount: amount, Asset: 1, Key: []byte(key), ToText: []byte(to)}
}

// begin opens the accounts: one may go negative, one has an overdraft, one another asset.
func (w *world) begin() {
	w.t.Helper()
	opens := []journal.Row{w.open(1, journal.Issuance, 0, "issuance")}
	for i, name := range w.names {
		limit := journal.Amount(0)
		if i == 1 {
			limit = 50
		}
		asset := journal.Asset(1)
		if i == 2 {
			asset = 2
		}
		opens = append(opens, w.open(asset, 0, limit, name))
	}
	outs := w.submit(opens...)
	again := opens[1] // there already
	opens, outs = append(opens, again), append(outs, w.submit(again)...)
	for i, o := range outs {
		if want := w.reference(&opens[i]); o.Status != want.Status {
			w.t.Fatalf("open %d: %v, want %v", i, o.Status, want.Status)
		}
	}
	var funds []journal.Row
	for i, name := range w.names {
		funds = append(funds, transfer(fmt.Sprint("fund", i), "issuance", name, 100))
	}
	w.agree(funds)
}

// agree submits rows at once, and holds every outcome against the reference, which decides them in the same order.
func (w *world) agree(batch []journal.Row) {
	w.t.Helper()
	for i, got := range w.submit(batch...) {
		want := w.reference(&batch[i])
		if got.Status != want.Status || got.Detail != want.Detail || got.Replayed != want.Replayed {
			w.t.Fatalf("row %d of %d, %v of %d: %v, detail %d, replayed %t; want %v, %d, %t", i, len(batch), batch[i].Op, batch[i].Amount,
				got.Status, got.Detail, got.Replayed, want.Status, want.Detail, want.Replayed)
		}
	}
}

// random is a transfer that may be refused for anything that the rivals know.
func (w *world) random(n int) journal.Row {
	from, to := w.names[w.dice.IntN(len(w.names))], w.names[w.dice.IntN(len(w.names))]
	switch w.dice.IntN(40) {
	case 0:
		from = "nobody"
	case 1:
		to = "nobody"
	}
	r := transfer(fmt.Sprint("key", n), from, to, journal.Amount(1+w.dice.IntN(60)))
	if w.dice.IntN(30) == 0 {
		r.Asset = 2
	}
	if w.dice.IntN(10) == 0 {
		r.Reference = []byte("reference")
	}
	return r
}

// balances reads every account and holds it against the reference.
func (w *world) balances() {
	w.t.Helper()
	var reads []journal.Row
	names := append([]string{"issuance"}, w.names...)
	for _, name := range names {
		reads = append(reads, journal.Row{Op: journal.OpRead, Account: journal.HandleOf(name), Details: true})
	}
	var sum journal.Amount
	for i, o := range w.submit(reads...) {
		a, text, err := o.Account()
		if o.Status != journal.OK || err != nil {
			w.t.Fatalf("read %s: %v, %v", names[i], o.Status, err)
		}
		want, _ := w.book.State.Account(reads[i].Account)
		want.StatusSeq = 0 // rivals have none
		if a != want {
			w.t.Errorf("%s: %+v, want %+v", names[i], a, want)
		}
		if _, json, err := journal.SplitDetails(text); err != nil || string(json) != fmt.Sprintf(`{"id":%q}`, names[i]) {
			w.t.Errorf("%s: details %q, %v", names[i], json, err)
		}
		sum += a.Available
	}
	if sum != 0 {
		w.t.Errorf("all accounts together have %d, want 0", sum)
	}
}

// play is what every rival must get right: funds in order, refusals, first answers to repeats, and the money.
func (w *world) play() {
	w.t.Helper()
	w.begin()
	var all []journal.Row
	for range 12 {
		var batch []journal.Row
		for range 1 + w.dice.IntN(40) {
			r := w.random(len(all))
			if len(all) > 0 && w.dice.IntN(8) == 0 { // a repeat, sometimes with other content
				r = all[w.dice.IntN(len(all))]
				switch w.dice.IntN(6) {
				case 0:
					r.Amount++
				case 1:
					r.To = journal.HandleOf(w.names[w.dice.IntN(len(w.names))])
				case 2:
					r.Reference = []byte("another")
				}
			}
			all, batch = append(all, r), append(batch, r)
		}
		w.agree(batch)
	}
	// Batches in which everything can be accepted.
	for i := range 5 {
		var batch []journal.Row
		for j := range 30 {
			batch = append(batch, transfer(fmt.Sprintf("plain%d.%d", i, j), "issuance", w.names[3+j%9], 1))
		}
		w.agree(batch)
		w.agree(batch) // all repeats
	}
	w.balances()
	if o := w.submit(journal.Row{Op: journal.OpReserve, Account: journal.HandleOf("account1"), Amount: 1, Asset: 1})[0]; o.Status != journal.Malformed {
		w.t.Errorf("a reservation: %v", o.Status)
	}
	if o := w.submit(journal.Row{Op: journal.OpRead, Account: journal.HandleOf("nobody")})[0]; o.Status != journal.AccountNotFound {
		w.t.Errorf("a read of nobody: %v", o.Status)
	}
}
