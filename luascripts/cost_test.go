package luascripts

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"walletd/bench/floor"
	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// What a whole transfer costs its Redis in trains, beside the floor of the same minutes: CPU-µs a transfer, and the same as a
// multiple of the floor's.
//
//	go test ./luascripts -run '^$' -bench Cost -benchtime 1x

// costOf says what is in a bed: how many accounts, over how many partitions, how many transfers a train.
type costOf struct{ accounts, partitions, bulk int }

const (
	costRounds    = 5      // of which the median counts
	costTransfers = 20_000 // a round and kind
)

func BenchmarkCost(b *testing.B) {
	for _, accounts := range []int{10_000, 1_000_000} {
		for _, bulk := range []int{16, 64, 128, 256} {
			least := floorOf(b, accounts, bulk)
			for _, partitions := range []int{1, 4, 16} {
				b.Run(fmt.Sprintf("accounts=%d/partitions=%d/bulk=%d", accounts, partitions, bulk), func(b *testing.B) {
					bed := newCostBed(b, costOf{accounts, partitions, bulk})
					for b.Loop() {
						same, cross := bed.measure()
						b.ReportMetric(same, "same-µs")
						b.ReportMetric(cross, "cross-µs")
						b.ReportMetric(same/least.Same.Median, "same-floors")
						b.ReportMetric(cross/least.Cross.Median, "cross-floors")
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

func floorOf(b *testing.B, accounts, bulk int) floor.Report {
	b.Helper()
	report, err := floor.Run(b.Context(), floor.Config{Addr: local.Redis(b).Addr, Accounts: accounts, Bulk: bulk,
		Bulks: costTransfers / bulk, Rounds: costRounds, Seed: 1}, func(float64) {})
	must(b, err)
	b.Logf("floor with %d accounts in bulks of %d: same %.2f µs, cross %.2f µs", accounts, bulk, report.Same.Median, report.Cross.Median)
	return report
}

// costBed is a shard with accounts, and someone who sends trains to it.
type costBed struct {
	costOf
	t       testing.TB
	s       *Shard
	dice    *rand.Rand
	handles [][]journal.Handle // by partition
	sent    []uint64           // seqs that each partition has delivered to each of the others
	tr      Train
	row     journal.Row
	packed  []byte
	legs    []journal.Row
	nth     uint64
}

func newCostBed(t testing.TB, of costOf) *costBed {
	t.Helper()
	bed := &costBed{costOf: of, t: t, s: openShard(t, local.Redis(t).Addr), dice: rand.New(rand.NewPCG(1, 2)), handles: make([][]journal.Handle, of.partitions),
		sent: make([]uint64, of.partitions), legs: make([]journal.Row, of.partitions)}
	var books []*journal.Book
	for p := range of.partitions {
		book := journal.NewBook(p, of.partitions)
		book.Epoch = 1
		books = append(books, book)
	}
	must(t, bed.s.Load(t.Context(), books...))
	value := AppendAccount(nil, journal.Account{Available: 1e12, Version: 1, StatusSeq: 1})
	var words []any
	for i := range of.accounts {
		h := journal.HandleOf("account-" + strconv.Itoa(i))
		p := h.Partition(of.partitions)
		bed.handles[p] = append(bed.handles[p], h)
		if words = append(words, string(h[:]), value); len(words) == 4000 || i == of.accounts-1 {
			must(t, bed.s.client.HSet(t.Context(), accountsKey, words...).Err())
			words = words[:0]
		}
	}
	return bed
}

// measure answers the Redis CPU-µs of a transfer within a partition, and of one that is checked, paid and delivered.
func (b *costBed) measure() (same, cross float64) {
	var sames, crosses []float64
	for round := range costRounds + 1 { // the first warms up
		s, c := b.cpu(b.same), b.cpu(b.cross)
		if round > 0 {
			sames, crosses = append(sames, s), append(crosses, c)
		}
	}
	slices.Sort(sames)
	slices.Sort(crosses)
	return sames[costRounds/2], crosses[costRounds/2]
}

func (b *costBed) cpu(bulk func()) float64 {
	must(b.t, b.s.client.Del(b.t.Context(), outboxKey).Err())
	before := b.used()
	n := costTransfers / b.bulk
	for range n {
		bulk()
	}
	return (b.used() - before) / float64(n*b.bulk)
}

// used is the CPU time of the Redis process, user and system, µs.
func (b *costBed) used() (us float64) {
	for _, name := range []string{"used_cpu_user:", "used_cpu_sys:"} {
		s, err := strconv.ParseFloat(field(b.t, b.s, "cpu", name), 64)
		must(b.t, err)
		us += s * 1e6
	}
	return us
}

// sections fills a train with rows in turn over the partitions, in one section each.
func (b *costBed) sections(fill func(p, n int)) {
	b.tr.Reset()
	for p := range b.partitions {
		n := b.bulk / b.partitions
		if p < b.bulk%b.partitions {
			n++
		}
		b.tr.Section(p, 1)
		fill(p, n)
	}
}

func (b *costBed) account(p int) journal.Handle { return b.handles[p][b.dice.IntN(len(b.handles[p]))] }

// move is a row of a payer in the partition, with a key that is new and texts of the floor's lengths.
func (b *costBed) move(op journal.Op, verdict uint8, payer, payee journal.Handle) {
	b.nth++
	r := &b.row
	*r = journal.Row{Op: op, Verdict: verdict, Account: payer, To: payee, Amount: 1, Key: r.Key[:0], ToText: []byte("bobby1"), Reference: nil}
	r.Key = strconv.AppendUint(r.Key, 100_000+b.nth, 10)
	copy(r.ID[:], r.Account[:4])
	binary.BigEndian.PutUint64(r.ID[4:], b.nth*0x9e3779b97f4a7c15)
	b.add(r)
}

func (b *costBed) add(r *journal.Row) {
	b.packed = r.Append(b.packed[:0])
	if !b.tr.Add(b.packed) {
		b.t.Fatal("the train is full")
	}
}

func (b *costBed) same() {
	b.sections(func(p, n int) {
		for range n {
			payer, payee := b.account(p), b.account(p)
			for payee == payer {
				payee = b.account(p)
			}
			b.move(journal.OpTransfer, journal.VerdictLocal, payer, payee)
		}
	})
	b.run(journal.Confirmed)
}

// cross is three trains: the payees' checks, the payments, the deliveries.
func (b *costBed) cross() {
	payees := b.check()
	b.pay(payees)
	b.deliver(payees)
}

func (b *costBed) check() []journal.Handle {
	payees := b.payees()
	i := 0
	b.sections(func(_, n int) {
		for range n {
			b.add(&journal.Row{Op: journal.OpCheck, Account: payees[i], Amount: 1})
			i++
		}
	})
	b.run(journal.OK)
	return payees
}

// payees are of the partitions in turn, as many as sections asks for.
func (b *costBed) payees() (all []journal.Handle) {
	b.sections(func(p, n int) {
		for range n {
			all = append(all, b.account(p))
		}
	})
	return all
}

func (b *costBed) pay(payees []journal.Handle) {
	i := 0
	b.sections(func(p, n int) {
		for range n {
			payer := b.account(p)
			for payer == payees[i] {
				payer = b.account(p)
			}
			b.move(journal.OpPay, uint8(journal.OK), payer, payees[i])
			i++
		}
	})
	b.run(journal.Confirmed)
}

// deliver credits the payees, in a group for each partition, from one source that stands for all others.
func (b *costBed) deliver(payees []journal.Handle) {
	i := 0
	b.sections(func(p, n int) {
		r := journal.Row{Op: journal.OpDeliver, Source: b.partitions, From: b.sent[p], UpTo: b.sent[p] + uint64(n)}
		for range n {
			r.AddLeg(journal.Leg{Of: journal.OpPay, Payee: payees[i], Amount: 1})
			i++
		}
		b.sent[p] += uint64(n)
		b.add(&r)
	})
	b.run(journal.Delivered)
}

func (b *costBed) run(want journal.Status) {
	reply, err := b.s.Run(b.t.Context(), &b.tr)
	must(b.t, err)
	var o rows.Outcome
	for reply.NextSection() {
		for reply.NextRow(&o) {
			if o.Status != want {
				b.t.Fatalf("%v: %v, want %v", o.Op, o.Status, want)
			}
		}
	}
	must(b.t, reply.Err())
}

// commandCalls are how often Redis has run each command, by its name.
func commandCalls(t testing.TB, s *Shard) map[string]int {
	t.Helper()
	info, err := s.client.Info(t.Context(), "commandstats").Result()
	must(t, err)
	calls := map[string]int{}
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		n, _, _ := strings.Cut(rest, ",")
		calls[name], err = strconv.Atoi(n)
		must(t, err)
	}
	return calls
}

// What packing a train costs its sender, a row: everything but the socket.
func BenchmarkPack(b *testing.B) {
	stage := rows.NewStage(1)
	for i := range 256 {
		var r journal.Row
		benchMove(&r, journal.OpTransfer, journal.VerdictLocal, i+1)
		stage.Add(0, &r, nil, 0)
	}
	var section *rows.Section
	stage.Each(func(s *rows.Section) { section = s })
	var t Train
	b.ReportAllocs()
	for b.Loop() {
		t.Reset()
		t.Section(0, 1)
		t.AddRows(section, 0)
		t.pack(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/row")
}
