package crowd

import (
	"context"
	"fmt"
	"testing"

	"walletd/journal"
	"walletd/journal/filelog"
)

// The journal says what was meant: every account opened and paid, so many transfers between them, and no money from nowhere.
func TestACrowdIsAJournal(t *testing.T) {
	const accounts, transfers, partitions, amount = 300, 1001, 4, 1000
	log, err := filelog.Open(filelog.Config{Dir: t.TempDir(), Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
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
