// Package crowd writes into a wallet's journal, while nobody else does, what any number of accounts have left that were opened,
// got a transfer each, and paid each other. journal.Book decides every row, so it is a journal that a wallet could have written,
// in seconds instead of hours; a wallet that is started on it rebuilds everything from it.
package crowd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"walletd/journal"
)

// Config says who, and how much has happened.
type Config struct {
	Log       journal.Log
	Accounts  int
	Name      func(i int) string
	Asset     string // USD
	Amount    journal.Amount
	Transfers int // among the accounts, each within a partition, of one minor unit
	Seed      uint64
	Span      time.Duration       // over which it has happened, until now; 0: all of it now
	Window    time.Duration       // of keys: what is older is evicted, a 24th at a time, as a shard does (decision 11); 0: nothing is
	Progress  func(share float64) // may be nil; called from several goroutines
}

// frameEvents is the number of events in a frame: about half a frame's bytes.
const frameEvents = 2048

// Purse is the issuance account of a partition.
func Purse(partition, of int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("purse%d", i); journal.HandleOf(name).Partition(of) == partition {
			return name
		}
	}
}

// Write writes all of it, partition by partition side by side. What a partition's journal has already is read first.
func Write(ctx context.Context, c Config) error {
	if c.Log == nil || c.Name == nil || c.Accounts < 1 || c.Transfers < 0 || !c.Amount.Valid() {
		return errors.New("crowd: log, name, accounts and amount are needed")
	}
	if c.Progress == nil {
		c.Progress = func(float64) {}
	}
	if c.Asset == "" {
		c.Asset = "USD"
	}
	partitions := c.Log.Partitions()
	of := make([][]int, partitions)
	for i := range c.Accounts {
		p := journal.HandleOf(c.Name(i)).Partition(partitions)
		of[p] = append(of[p], i)
	}
	group, ctx := errgroup.WithContext(ctx)
	for p := range partitions {
		group.Go(func() error {
			if err := c.write(ctx, p, of[p]); err != nil {
				return fmt.Errorf("crowd: partition %d: %w", p, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// write opens the accounts in partition p and pays each from the purse there; then they pay each other.
func (c *Config) write(ctx context.Context, p int, accounts []int) error {
	w, err := c.begin(ctx, p)
	if err != nil {
		return err
	}
	purse := Purse(p, c.Log.Partitions())
	if err := w.act(w.opening(purse, journal.Issuance)); err != nil {
		return err
	}
	for n, i := range accounts {
		name := c.Name(i)
		if err := w.act(w.opening(name, 0)); err != nil {
			return err
		}
		if err := w.act(transfer(purse, name, name, c.Amount)); err != nil {
			return err
		}
		if n%frameEvents == 0 {
			c.Progress(float64(n) / float64(len(accounts)))
		}
	}
	if err := w.history(accounts); err != nil {
		return err
	}
	return w.cut()
}

// history lets them pay each other.
func (w *writer) history(accounts []int) error {
	partitions := w.Log.Partitions()
	n := w.Transfers / partitions
	if w.book.Partition < w.Transfers%partitions {
		n++
	}
	if len(accounts) < 2 {
		return nil
	}
	dice := rand.New(rand.NewPCG(w.Seed, uint64(w.book.Partition)))
	begin := w.nowMS
	for k := range n {
		if err := w.age(begin + w.Span.Milliseconds()*int64(k+1)/int64(n)); err != nil {
			return err
		}
		from := dice.IntN(len(accounts))
		to := (from + 1 + dice.IntN(len(accounts)-1)) % len(accounts)
		if err := w.act(transfer(w.Name(accounts[from]), w.Name(accounts[to]), "h"+strconv.Itoa(k), 1)); err != nil {
			return err
		}
	}
	return nil
}

// age lets it become nowMS, and forgets the keys that are too old then.
func (w *writer) age(nowMS int64) error {
	w.nowMS = nowMS
	slice := max(w.Window.Milliseconds()/24, 1)
	cutoff := (nowMS - w.Window.Milliseconds()) / slice * slice
	if w.Window == 0 || cutoff < w.began+slice || cutoff <= w.book.EvictedMS {
		return nil
	}
	if err := w.cut(); err != nil { // the block before has an earlier time
		return err
	}
	return w.act(journal.Row{Op: journal.OpEvict, CutoffMS: cutoff})
}

func transfer(from, to, key string, amount journal.Amount) journal.Row {
	payer := journal.HandleOf(from)
	row := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: payer, To: journal.HandleOf(to), Amount: amount, Key: []byte(key), ToText: []byte(to)}
	row.ID = journal.IDOf(payer, key)
	return row
}

// writer appends to one partition.
type writer struct {
	*Config
	ctx    context.Context // of the whole Write
	book   *journal.Book
	cursor journal.Cursor
	block  journal.Block
	first  uint64
	began  int64 // ms since 1970
	nowMS  int64
}

// begin reads what is there and starts an epoch.
func (c *Config) begin(ctx context.Context, p int) (*writer, error) {
	w := &writer{Config: c, ctx: ctx, book: journal.NewBook(p, c.Log.Partitions()), cursor: journal.Cursor{Partition: p}}
	_, err := c.Log.Read(ctx, p, 0, func(offset int64, record []byte) error {
		f, verdict, err := w.cursor.Next(offset, record)
		if err != nil || verdict != journal.Accepted {
			return err
		}
		return f.EachEvent(func(e *journal.Event) error { return w.book.Apply(e, nobody{}) })
	})
	if err != nil {
		return nil, err
	}
	w.began = max(w.book.TimeMS, time.Now().Add(-c.Span).UnixMilli())
	w.nowMS = w.began
	epoch := journal.NewEpochFrame(p, w.cursor.Epoch+1, w.began, "crowd")
	return w, w.put(epoch.Seal(nil))
}

func (w *writer) opening(name string, flags journal.Flags) journal.Row {
	text, _ := json.Marshal(journal.AccountDetails{ID: name, Asset: w.Asset}) // texts have a JSON form
	return journal.Row{Op: journal.OpOpen, Account: journal.HandleOf(name), Flags: flags, Text: text}
}

// act lets the book decide. Where an id may have been evicted the projection would be asked; it has none of these.
func (w *writer) act(row journal.Row) error {
	packed := row.Append(nil)
	if w.block.Count == 0 {
		w.block.TimeMS, w.block.Epoch, w.first = max(w.book.TimeMS, w.nowMS), w.cursor.Epoch, w.book.Seq+1
	}
	o, err := w.book.Decide(packed, w.block.TimeMS)
	if err == nil && o.Status == journal.KeyOld {
		row.ClearedMS = w.book.EvictedMS
		packed = row.Append(nil)
		o, err = w.book.Decide(packed, w.block.TimeMS)
	}
	if err != nil || !o.Journaled || !o.Status.Accepted() {
		return fmt.Errorf("%v: %v, %w", row.Op, o.Status, err)
	}
	e := journal.Event{Position: journal.Position{Partition: w.book.Partition, Epoch: w.block.Epoch, Seq: w.book.Seq + 1}, TimeMS: w.block.TimeMS, Status: o.Status, Packed: packed}
	if err := w.book.Apply(&e, nobody{}); err != nil {
		return err
	}
	w.block.Events = append(append(w.block.Events, packed...), byte(o.Status))
	if w.block.Count++; w.block.Count >= frameEvents {
		return w.cut()
	}
	return nil
}

// cut writes what was decided as one frame.
func (w *writer) cut() error {
	if w.block.Count == 0 {
		return nil
	}
	f := journal.Frame{Kind: journal.FrameEvents, Partition: w.book.Partition, Epoch: w.cursor.Epoch, FirstSeq: w.first, Count: w.block.Count, Prev: w.cursor.Chain, Payload: w.block.Append(nil)}
	w.block.Events, w.block.Count = w.block.Events[:0], 0
	return w.put(f.Seal(nil))
}

func (w *writer) put(record []byte) error {
	offsets, err := w.Log.Append(w.ctx, []journal.Record{{Partition: w.book.Partition, Bytes: slices.Clone(record)}})
	if err != nil {
		return err
	}
	_, _, err = w.cursor.Next(offsets[0], record)
	return err
}

// nobody hears effects.
type nobody struct{}

func (nobody) Changed(*journal.Event, journal.Change) {}
func (nobody) Leg(*journal.Event, journal.Leg)        {}
