package luascripts

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

type before struct {
	name string
	do   func()
}

func (b before) DialHook(n redis.DialHook) redis.DialHook { return n }
func (b before) ProcessHook(n redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == b.name {
			b.do()
		}
		return n(ctx, cmd)
	}
}
func (b before) ProcessPipelineHook(n redis.ProcessPipelineHook) redis.ProcessPipelineHook { return n }

// A train of the old epoch runs between the two commands of a Wipe: its key records stay.
func TestNoTrainRunsInTheMiddleOfAWipe(t *testing.T) {
	addr := local.Redis(t).Addr
	s, gateway := openShard(t, addr), openShard(t, addr)
	ctx := t.Context()
	a, b := journal.HandleOf("a"), journal.HandleOf("b")
	book := journal.NewBook(0, 1)
	book.Epoch, book.Seq = 1, 2
	book.State.SetAccount(a, journal.Account{Available: 100, Version: 1})
	book.State.SetAccount(b, journal.Account{Version: 1})
	must(t, s.Load(ctx, book))
	run := func(epoch uint32) journal.Status {
		var tr Train
		tr.Section(0, epoch)
		tr.Add((&journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(a, "k"), Account: a, To: b, Amount: 7, Key: []byte("k")}).Append(nil))
		r, err := gateway.Run(ctx, &tr)
		must(t, err)
		r.NextSection()
		return first(t, &r)
	}
	s.client.AddHook(before{"unlink", func() { run(1) }})
	wiped(t, s)
	book.Epoch = 2
	must(t, s.Load(ctx, book)) // the log does not know the transfer
	got := run(2)
	d, err := s.Dump(ctx, 1)
	must(t, err)
	acc, _ := d[0].State.Account(b)
	if acc.Available != 7 {
		t.Errorf("the shard answers %v for a transfer that never moved", got)
	}
}

func first(t *testing.T, r *Reply) journal.Status {
	t.Helper()
	var o rows.Outcome
	if !r.NextRow(&o) {
		t.Fatal("no outcome")
	}
	return o.Status
}
