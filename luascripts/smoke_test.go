package luascripts

import (
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

func TestSmoke(t *testing.T) {
	srv := local.Redis(t)
	s, err := Open(Config{Addr: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	if err := s.CheckSettings(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(ctx, &journal.Book{Partition: 0, Partitions: 1, Epoch: 1, State: journal.NewMemory()}); err != nil {
		t.Fatal(err)
	}
	var tr Train
	tr.Section(0, 1)
	a, b := journal.HandleOf("a"), journal.HandleOf("b")
	add := func(r journal.Row) { tr.Add(r.Append(nil)) }
	add(journal.Row{Op: journal.OpOpen, Account: a, Flags: journal.Issuance, Text: []byte("{}")})
	add(journal.Row{Op: journal.OpOpen, Account: b, Text: []byte("{}")})
	add(journal.Row{Op: journal.OpTransfer, Verdict: 255, ID: journal.IDOf(a, "k"), Account: a, To: b, Amount: 7, Key: []byte("k")})
	add(journal.Row{Op: journal.OpTransfer, Verdict: 255, ID: journal.IDOf(a, "k"), Account: a, To: b, Amount: 7, Key: []byte("k")})
	add(journal.Row{Op: journal.OpRead, Account: b, Details: true})
	tr.Section(1, 1)
	add(journal.Row{Op: journal.OpRead, Account: b, Details: true})
	rep, err := s.Run(ctx, &tr)
	if err != nil {
		t.Fatal(err)
	}
	for rep.NextSection() {
		t.Logf("%+v", rep.Section())
		var o rows.Outcome
		for rep.NextRow(&o) {
			t.Logf("%v %v %v %v %x", o.Op, o.Status, o.Position, o.Replayed, o.Record)
		}
	}
	if rep.Err() != nil {
		t.Fatal(rep.Err())
	}
	es, err := s.ReadOutbox(ctx, 0, 10, 0)
	t.Log(es, err)
	books, err := s.Dump(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	books[0].Dump(testWriter{t})
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }
