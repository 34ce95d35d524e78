package luascripts

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// What an act costs its Redis, in CPU time of the server process a row, by the number of rows in a train. Accounts: 20,000.
//
//	go test ./luascripts -run '^$' -bench . -benchtime 100000x

const benchAccounts = 20000

var benchHandles = func() []journal.Handle {
	h := make([]journal.Handle, benchAccounts)
	for i := range h {
		h[i] = journal.HandleOf("bench-" + strconv.Itoa(i))
	}
	return h
}()

func BenchmarkTransfer(b *testing.B) {
	benchRows(b, journal.Confirmed, func(r *journal.Row, i int) { benchMove(r, journal.OpTransfer, journal.VerdictLocal, i) })
}

func BenchmarkPay(b *testing.B) {
	benchRows(b, journal.Confirmed, func(r *journal.Row, i int) { benchMove(r, journal.OpPay, uint8(journal.OK), i) })
}

func BenchmarkCheck(b *testing.B) {
	benchRows(b, journal.OK, func(r *journal.Row, i int) {
		*r = journal.Row{Op: journal.OpCheck, Account: benchHandles[i*7919%benchAccounts], Amount: 5}
	})
}

// benchMove: one payer in 16 is hot, the others spread over all accounts.
func benchMove(r *journal.Row, op journal.Op, verdict uint8, i int) {
	payer, payee := i*7919%benchAccounts, i*104729%benchAccounts
	if payer == payee {
		payee = (payee + 1) % benchAccounts
	}
	*r = journal.Row{Op: op, Verdict: verdict, Account: benchHandles[payer], To: benchHandles[payee], Amount: 1,
		Key: r.Key[:0], ToText: []byte("bench-account"), Reference: r.Reference}
	r.Key = strconv.AppendInt(r.Key, int64(i), 10)
	copy(r.ID[:], r.Account[:4])
	binary.BigEndian.PutUint64(r.ID[4:], uint64(i)*0x9e3779b97f4a7c15)
}

var benchSizes = []int{16, 64, 256, 1024}

func benchRows(b *testing.B, want journal.Status, fill func(*journal.Row, int)) {
	benchRowsOn(b, benchShard, want, fill)
}

func benchRowsOn(b *testing.B, shard func(*testing.B) *Shard, want journal.Status, fill func(*journal.Row, int)) {
	for _, size := range benchSizes {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := shard(b)
			var t Train
			var r journal.Row
			var packed []byte
			next := 0
			run := func(n int) {
				t.Reset()
				t.Section(0, 1)
				for range n {
					next++
					fill(&r, next)
					packed = r.Append(packed[:0])
					t.Add(packed)
				}
				benchTrain(b, s, &t, want)
			}
			run(size)
			meter := startMeter(b, s)
			for left := b.N; left > 0; left -= size {
				run(min(size, left))
			}
			meter.report(b.N)
		})
	}
}

// Deliver: legs are acts; 16 a row, as from a channel at partial load.
func BenchmarkDeliver(b *testing.B) {
	const group = 16
	for _, size := range benchSizes {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := benchShard(b)
			var t Train
			next, at := 0, uint64(0)
			run := func(n int) {
				t.Reset()
				t.Section(0, 1)
				for left := n; left > 0; left -= group {
					r := journal.Row{Op: journal.OpDeliver, Source: 1, From: at, UpTo: at + group}
					at += group
					for range min(group, left) {
						next++
						r.AddLeg(journal.Leg{Of: journal.OpPay, Payee: benchHandles[next*7919%benchAccounts], Amount: 1})
					}
					t.Add(r.Append(nil))
				}
				benchTrain(b, s, &t, journal.Delivered)
			}
			run(size)
			meter := startMeter(b, s)
			for left := b.N; left > 0; left -= size {
				run(min(size, left))
			}
			meter.report(b.N)
		})
	}
}

func benchShard(b *testing.B) *Shard {
	s, book := openShard(b, local.Redis(b).Addr), benchBook()
	if err := s.Load(b.Context(), book); err != nil {
		b.Fatal(err)
	}
	return s
}

func benchBook() *journal.Book {
	book := journal.NewBook(0, 1)
	book.Epoch = 1
	for _, h := range benchHandles {
		book.State.SetAccount(h, journal.Account{Available: 1e12, Version: 1, StatusSeq: 1})
	}
	return book
}

func benchTrain(b *testing.B, s *Shard, t *Train, want journal.Status) {
	reply, err := s.Run(b.Context(), t)
	if err != nil {
		b.Fatal(err)
	}
	var o rows.Outcome
	for reply.NextSection() {
		for reply.NextRow(&o) {
			if o.Status != want {
				b.Fatalf("%v: %v, want %v", o.Op, o.Status, want)
			}
		}
	}
	if reply.Err() != nil {
		b.Fatal(reply.Err())
	}
}

// meter reads the server's CPU time from the kernel, which counts nanoseconds, and the time within scripts from Redis.
type meter struct {
	b     *testing.B
	s     *Shard
	pid   string
	cpu   uint64
	inner uint64
	calls uint64
}

func startMeter(b *testing.B, s *Shard) *meter {
	m := &meter{b: b, s: s, pid: field(b, s, "server", "process_id:")}
	m.cpu, m.inner, m.calls = m.read()
	b.ReportAllocs()
	b.ResetTimer()
	return m
}

func (m *meter) report(rows int) {
	m.b.StopTimer()
	cpu, inner, calls := m.read()
	m.b.ReportMetric(float64(cpu-m.cpu)/1e3/float64(rows), "redis-cpu-µs/row")
	m.b.ReportMetric(float64(inner-m.inner)/float64(rows), "script-µs/row")
	m.b.ReportMetric(float64(calls-m.calls), "trains")
}

func (m *meter) read() (cpu, inner, calls uint64) {
	raw, err := os.ReadFile("/proc/" + m.pid + "/schedstat")
	if err != nil {
		m.b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(raw), &cpu); err != nil {
		m.b.Fatal(err)
	}
	stats := field(m.b, m.s, "commandstats", "cmdstat_fcall:")
	if _, err := fmt.Sscanf(stats, "calls=%d,usec=%d", &calls, &inner); err != nil {
		m.b.Fatal(err)
	}
	return cpu, inner, calls
}

func field(b testing.TB, s *Shard, section, name string) string {
	info, err := s.client.Info(b.Context(), section).Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			return v
		}
	}
	b.Fatalf("INFO %s has no %s", section, name)
	return ""
}

// Load: accounts with their details, a second, into an empty shard.
func BenchmarkLoad(b *testing.B) {
	s := openShard(b, local.Redis(b).Addr)
	book := bigBooks(1, 50_000)[0]
	for b.Loop() {
		must(b, s.Wipe(b.Context(), 1<<32-1))
		must(b, s.Load(b.Context(), book))
	}
	b.ReportMetric(float64(50_000*b.N)/b.Elapsed().Seconds(), "accounts/s")
}
