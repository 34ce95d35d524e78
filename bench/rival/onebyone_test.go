package rival

import (
	"context"
	"sync"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

func functionAnswersAsTheWallet(t *testing.T, dsn string) {
	o := NewOneByOne(NewFunctions(dsn, 1, true)) // one at a time: in the reference's order
	run(t, o.Run)
	newWorld(t, o).play()
	audited(t, dsn)
}

func TestRedisAnswersAsTheWallet(t *testing.T) {
	s := local.Redis(t)
	o := NewOneByOne(NewRedis(s.Addr, 1))
	run(t, o.Run)
	newWorld(t, o).play()
	if n, wrong, err := AuditRedis(t.Context(), s.Addr); err != nil || wrong != "" || n != 13 {
		t.Errorf("audit of %d accounts: %q, %v", n, wrong, err)
	}
}

func manyFunctionsAtATime(t *testing.T, dsn string) {
	manyAtATime(t, NewFunctions(dsn, 6, true))
	if _, _, wrong, err := Audit(t.Context(), dsn); err != nil || wrong != "" {
		t.Errorf("audit: %q, %v", wrong, err)
	}
}

func TestManyRedisCallsAtATime(t *testing.T) { manyAtATime(t, NewRedis(local.Redis(t).Addr, 6)) }

// manyAtATime: whatever order they find, the money is conserved, and every key has one outcome.
func manyAtATime(t *testing.T, callers []Caller) {
	t.Helper()
	o := NewOneByOne(callers)
	run(t, o.Run)
	w := newWorld(t, o)
	w.begin()
	var batch []journal.Row
	for i := range 300 {
		batch = append(batch, w.random(i/3)) // three with the same key, of which some differ
	}
	first := map[journal.ID]int{}
	for i, out := range w.submit(batch...) {
		switch {
		case out.Status == journal.ShardUnavailable || out.Status == journal.OutcomeUnknown || out.Status == journal.Malformed:
			t.Errorf("row %d: %v", i, out.Status)
		case !out.Replayed && (out.Status == journal.Confirmed || out.Status.Frozen()):
			first[batch[i].ID]++
		}
	}
	for id, n := range first {
		if n != 1 {
			t.Errorf("%x has %d first outcomes", id, n)
		}
	}
	var sum journal.Amount
	for _, name := range append([]string{"issuance"}, w.names...) {
		a, _, err := w.submit(journal.Row{Op: journal.OpRead, Account: journal.HandleOf(name)})[0].Account()
		if err != nil {
			t.Fatal(err)
		}
		sum += a.Available
	}
	if sum != 0 {
		t.Errorf("all accounts together have %d", sum)
	}
}

// slow waits until it may answer.
type slow struct{ may chan struct{} }

func (s slow) Run(_ context.Context, b *Batch) {
	<-s.may
	for i := range b.outs {
		b.outs[i].Status = journal.Confirmed
	}
}
func (s slow) Close() {}
func (s slow) Call(_ context.Context, _ *journal.Row, out *rows.Outcome) {
	<-s.may
	out.Status = journal.Confirmed
}

// Whoever stops answers everybody, and says that it is draining from then on.
func TestEveryRowIsAnsweredWhenARivalStops(t *testing.T) {
	for name, shards := range map[string]func(slow) (rows.Shards, func(context.Context) error){
		"batching": func(s slow) (rows.Shards, func(context.Context) error) { b := NewBatching(s); return b, b.Run },
		"one by one": func(s slow) (rows.Shards, func(context.Context) error) {
			o := NewOneByOne([]Caller{s})
			return o, o.Run
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := slow{make(chan struct{})}
			to, run := shards(s)
			w := newWorld(t, to)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() { _ = run(ctx) })
			for i := range 3 {
				all.Go(func() {
					out := w.submit(transfer("k", "a", "b", journal.Amount(i+1)))[0]
					if out.Status != journal.Confirmed && out.Status != journal.Draining {
						t.Errorf("row %d: %v", i, out.Status)
					}
				})
			}
			s.may <- struct{}{} // the first is under way
			stop()
			close(s.may)
			all.Wait()
			if out := w.submit(transfer("k", "a", "b", 1))[0]; out.Status != journal.Draining {
				t.Errorf("afterwards: %v", out.Status)
			}
		})
	}
}
