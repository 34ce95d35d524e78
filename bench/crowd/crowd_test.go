package crowd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/filelog"
)

// The journal says what was meant: every account opened and paid, so many transfers between them, and no money from nowhere.
func TestACrowdIsAJournal(t *testing.T) {
	const accounts, transfers, partitions, amount = 300, 1001, 4, 1000
	log := newLog(t, partitions)
	c := Config{Log: log, Accounts: accounts, Name: func(i int) string { return fmt.Sprint("member", i) }, Amount: amount, Transfers: transfers, Seed: 7}
	if err := Write(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var held journal.Amount
	events := 0
	for p := range partitions {
		book, n := read(t, log, p)
		events += n
		state := book.State.(*journal.Memory)
		sums := map[journal.Asset]int64{}
		state.Sums(sums)
		for asset, sum := range sums {
			if sum != 0 {
				t.Errorf("partition %d, asset %v: the sum is %d", p, asset, sum)
			}
		}
		for i := range accounts {
			if a, ok := state.Account(journal.HandleOf(c.Name(i))); ok {
				held += a.Available
			}
		}
	}
	if held != accounts*amount || events != 2*accounts+partitions+transfers {
		t.Errorf("the accounts hold %d after %d events", held, events)
	}
	if err := Write(t.Context(), Config{Log: log}); err == nil {
		t.Error("nobody was written")
	}
}

func newLog(t *testing.T, partitions int) *filelog.Log {
	t.Helper()
	log, err := filelog.Open(filelog.Config{Dir: t.TempDir(), Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func read(t *testing.T, log journal.Log, p int) (*journal.Book, int) {
	t.Helper()
	book, cursor, events := journal.NewBook(p, log.Partitions()), journal.Cursor{Partition: p}, 0
	_, err := log.Read(context.Background(), p, 0, func(offset int64, record []byte) error {
		f, verdict, err := cursor.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error { events++; return book.Apply(e, nobody{}) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return book, events
}

// TestKeysAreForgotten: what a history leaves in the books is a window of keys, and the ids of the others.
func TestKeysAreForgotten(t *testing.T) {
	const transfers, accounts = 20_000, 100
	log := newLog(t, 2)
	c := Config{Log: log, Accounts: accounts, Name: func(i int) string { return fmt.Sprint("member", i) }, Amount: 1_000_000, Transfers: transfers,
		Span: 240 * time.Hour, Window: 24 * time.Hour}
	if err := Write(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	keys := 0
	for p := range 2 {
		book, _ := read(t, log, p)
		keys += len(book.State.(*journal.Memory).Keys)
		if age := time.Since(time.UnixMilli(book.TimeMS)); age > time.Hour || age < 0 { // a block has one time; it ends with a slice of the window
			t.Errorf("partition %d ends %v ago", p, age)
		}
	}
	if keys < transfers/10 || keys > transfers/8 {
		t.Errorf("%d keys are left of %d", keys, transfers)
	}
}
