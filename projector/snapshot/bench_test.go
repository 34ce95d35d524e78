package snapshot

import (
	"bytes"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// BenchmarkMillion is a partition of a million accounts, each opened and paid to three times, the keys of the last 100,000
// transfers in the window, 20,000 transfers behind the snapshot: a fold from the first record against loading and the tail; and
// what writing and checking the file cost. The metrics are seconds of CPU: go test ./projector/snapshot -run xxx -bench Million -benchtime 1x
func BenchmarkMillion(b *testing.B) {
	const accounts, window, tail = 1_000_000, 100_000, 20_000
	log := history.NewLog(1)
	c := crowd{b: b, w: history.NewWriter(log, 0), book: journal.NewBook(0, 1)}
	c.w.Epoch(1, "bench")
	c.open(0, journal.Issuance)
	for i := 1; i <= accounts; i++ {
		c.open(i, 0)
	}
	for i := range 3 * accounts {
		c.pay(0, 1+i%accounts)
		if i%window == window-1 {
			c.act(journal.Row{Op: journal.OpEvict, CutoffMS: now(c.book.Seq - window)})
		}
	}
	c.w.Cut()
	cut, err := log.End(b.Context(), 0)
	must(b, err)
	for i := range tail {
		c.pay(0, 1+i)
	}
	c.w.Cut()
	want := c.book.Digest()
	at, err := Fold(b.Context(), FoldConfig{Log: log, Partition: 0, Until: cut})
	must(b, err)
	src := FromFolds([]*Folded{at})
	header, err := src.Header(b.Context(), 0)
	must(b, err)
	var file bytes.Buffer
	run := func(what string, do func(b *testing.B)) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				began := cpuTime(b)
				do(b)
				b.ReportMetric((cpuTime(b) - began).Seconds(), "CPU-s")
			}
		})
	}
	run("write", func(b *testing.B) {
		file.Reset()
		_, err := writeFile(b.Context(), &file, &header, func(into Records) error { return src.Each(0, into) })
		must(b, err)
		b.ReportMetric(float64(file.Len())/1e6, "MB")
	})
	run("check", func(b *testing.B) {
		r, err := NewReader(bytes.NewReader(file.Bytes()), "x")
		must(b, err)
		_, err = r.Each(nothing{})
		must(b, err)
	})
	var zero, snap *Folded
	run("fold_from_zero", func(b *testing.B) {
		zero, err = Fold(b.Context(), FoldConfig{Log: log, Partition: 0})
		must(b, err)
	})
	run("snapshot_and_tail", func(b *testing.B) {
		l, err := Load(bytes.NewReader(file.Bytes()), "x")
		must(b, err)
		snap, err = Fold(b.Context(), FoldConfig{Log: log, Partition: 0, From: l})
		must(b, err)
	})
	if zero.Book.Digest() != want || snap.Book.Digest() != want {
		b.Fatal("another state")
	}
}

type crowd struct {
	b    *testing.B
	w    *history.Writer
	book *journal.Book
	keys int
}

func (c *crowd) handle(i int) journal.Handle { return journal.HandleOf(fmt.Sprint("account", i)) }

func (c *crowd) open(i int, flags journal.Flags) {
	c.act(journal.Row{Op: journal.OpOpen, Account: c.handle(i), Flags: flags, Text: fmt.Appendf(nil, `{"id":"account%d","asset":"USD"}`, i)})
}

func (c *crowd) pay(from, to int) {
	c.keys++
	payer, key := c.handle(from), fmt.Sprint("key", c.keys)
	c.act(journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(payer, key), Account: payer, To: c.handle(to), Amount: 1, Key: []byte(key)})
}

// now is a clock that goes on with the events.
func now(seq uint64) int64 { return 1_700_000_000_000 + int64(seq/100) }

func (c *crowd) act(r journal.Row) {
	packed := r.Append(nil)
	at := now(c.book.Seq)
	o, err := c.book.Decide(packed, at)
	must(c.b, err)
	if o.Status == journal.KeyOld { // the filter takes a key for an older one: a gateway would ask, we take the next
		return
	}
	if !o.Journaled {
		c.b.Fatal(o.Status)
	}
	e := journal.Event{Position: journal.Position{Epoch: 1, Seq: c.book.Seq + 1}, TimeMS: at, Status: o.Status, Packed: packed}
	must(c.b, c.book.Apply(&e, nil))
	if c.w.Add(e); c.w.Pending() == 500 {
		c.w.Cut()
	}
}

// cpuTime is what this process has used so far: on a shared machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFold folds a wallet under load in memory, as a keeper that rebuilds does: CPU an event, by the number of accounts.
func BenchmarkFold(b *testing.B) {
	for _, accounts := range []int{10_000, 1_000_000} {
		h := history.NewBusy(history.BusyConfig{Partitions: 8, Accounts: accounts, Transfers: 1_000_000, CrossIn8: 4, FrameBytes: 64 << 10})
		b.Run(fmt.Sprint(accounts), func(b *testing.B) {
			var used time.Duration
			var before, after runtime.MemStats
			allocs, events := uint64(0), 0
			for b.Loop() {
				for p := range h.Partitions {
					l, err := Fold(b.Context(), FoldConfig{Log: h.Log, Partition: p, Until: int64(h.Opened[p])})
					must(b, err)
					begun := &Loaded{Header: Header{Cursor: l.Cursor, Last: l.Last, Genesis: l.Genesis}, Book: l.Book}
					runtime.ReadMemStats(&before)
					cpu := cpuTime(b)
					_, err = Fold(b.Context(), FoldConfig{Log: h.Log, Partition: p, From: begun})
					must(b, err)
					used += cpuTime(b) - cpu
					runtime.ReadMemStats(&after)
					allocs += after.Mallocs - before.Mallocs
				}
				events += h.Events
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(events), "CPU-ns/event")
			b.ReportMetric(float64(allocs)/float64(events), "allocs/event")
		})
	}
}
