package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/filelog"
)

// throng writes into a wallet's journal, while nobody else does, what n accounts have left that were opened and got one
// transfer each: the Book decides every row, so it is a journal that a wallet could have written.
type throng struct {
	log        journal.Log
	partitions int
	frame      int // events
}

// crowdFrame is the number of events in a frame: about half a frame's bytes.
const crowdFrame = 2048

// name is the i-th account.
func crowdName(i int) string { return "crowd" + strconv.Itoa(i) }

// populate adds n accounts to a dev wallet that is not running.
func (d *dev) populate(n int) {
	d.t.Helper()
	log, err := filelog.Open(filelog.Config{Dir: filepath.Join(d.data, "journal")})
	if err != nil {
		d.t.Fatal(err)
	}
	populate(d.t, log, d.partitions, n)
	if err := log.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// populate adds n accounts to a cluster, whose keepers stand still meanwhile.
func (c *cluster) populate(n int) {
	c.t.Helper()
	for _, k := range c.keepers {
		k.kill()
	}
	log, closeLog, err := c.openLog()
	if err != nil {
		c.t.Fatal(err)
	}
	populate(c.t, log, c.partitions, n)
	if err := closeLog(); err != nil {
		c.t.Fatal(err)
	}
	for _, k := range c.keepers {
		k.restart()
	}

}

func populate(t testing.TB, log journal.Log, partitions, n int) {
	t.Helper()
	begin := time.Now()
	of := make([][]int, partitions)
	for i := range n {
		p := journal.HandleOf(crowdName(i)).Partition(partitions)
		of[p] = append(of[p], i)
	}
	var wg sync.WaitGroup
	errs := make([]error, partitions)
	for p := range partitions {
		wg.Go(func() { errs[p] = throng{log, partitions, crowdFrame}.write(p, of[p]) })
	}
	wg.Wait()
	for p, err := range errs {
		if err != nil {
			t.Fatalf("populate partition %d: %v", p, err)
		}
	}
	t.Logf("%d accounts were put into the journal in %v", n, time.Since(begin).Round(time.Millisecond))
}

// write opens the accounts in partition p and pays each from an issuance account there.
func (c throng) write(p int, accounts []int) error {
	book := journal.NewBook(p, c.partitions)
	cursor := journal.Cursor{Partition: p}
	_, err := c.log.Read(context.Background(), p, 0, func(offset int64, record []byte) error {
		f, verdict, err := cursor.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error { return book.Apply(e, nothing{}) })
	})
	if err != nil {
		return err
	}
	w := crowdWriter{throng: c, book: book, cursor: cursor}
	epoch := journal.NewEpochFrame(p, cursor.Epoch+1, time.Now().UnixMilli(), "crowd")
	if err := w.put(epoch.Seal(nil)); err != nil {
		return err
	}
	purse := c.purse(p)
	if err := w.act(opening(purse, journal.Issuance)); err != nil {
		return err
	}
	from := journal.HandleOf(purse)
	for _, i := range accounts {
		name := crowdName(i)
		row := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: from, To: journal.HandleOf(name), Amount: 1_000_000, Key: []byte(name), ToText: []byte(name)}
		row.ID = journal.IDOf(from, row.Key)
		if err := w.act(opening(name, 0)); err != nil {
			return err
		}
		if err := w.act(row); err != nil {
			return err
		}
	}
	return w.cut()
}

// purse is the issuance account of a partition.
func (c throng) purse(p int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("purse%d", i); journal.HandleOf(name).Partition(c.partitions) == p {
			return name
		}
	}
}

func opening(name string, flags journal.Flags) journal.Row {
	text, _ := json.Marshal(journal.AccountDetails{ID: name, Asset: "USD"})
	return journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(name), Flags: flags, Text: text}
}

type crowdWriter struct {
	throng
	book   *journal.Book
	cursor journal.Cursor
	block  journal.Block
	first  uint64
}

func (w *crowdWriter) act(row journal.Row) error {
	packed := row.Append(nil)
	if w.block.Count == 0 {
		w.block.TimeMS, w.block.Epoch, w.first = max(w.book.TimeMS, time.Now().UnixMilli()), w.cursor.Epoch, w.book.Seq+1
	}
	o, err := w.book.Decide(packed, w.block.TimeMS)
	if err != nil || !o.Journaled {
		return fmt.Errorf("%v: %v, %w", row.Op, o.Status, err)
	}
	e := journal.Event{Position: journal.Position{Partition: w.book.Partition, Epoch: w.block.Epoch, Seq: w.book.Seq + 1}, TimeMS: w.block.TimeMS, Status: o.Status, Packed: packed}
	if err := w.book.Apply(&e, nothing{}); err != nil {
		return err
	}
	w.block.Events = append(append(w.block.Events, packed...), byte(o.Status))
	if w.block.Count++; w.block.Count >= w.frame {
		return w.cut()
	}
	return nil
}

// cut writes what was decided as one frame.
func (w *crowdWriter) cut() error {
	if w.block.Count == 0 {
		return nil
	}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: w.book.Partition, Epoch: w.cursor.Epoch, FirstSeq: w.first, Count: w.block.Count, Prev: w.cursor.Chain, Payload: w.block.Append(nil)}
	w.block.Events, w.block.Count = w.block.Events[:0], 0
	return w.put(f.Seal(nil))
}

func (w *crowdWriter) put(record []byte) error {
	offsets, err := w.log.Append(context.Background(), []journal.Record{{Partition: w.book.Partition, Bytes: slices.Clone(record)}})
	if err != nil {
		return err
	}
	_, _, err = w.cursor.Next(offsets[0], record)
	return err
}

// nothing hears effects.
type nothing struct{}

func (nothing) Changed(*journal.Event, journal.Change) {}
func (nothing) Leg(*journal.Event, journal.Leg)        {}
