package luascripts

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"walletd/journal"
)

// What a train makes its Redis do is so many commands of each kind, whatever is in it and of how many partitions (up to
// fieldsMax fields a command).
func TestCommandsOfATrain(t *testing.T) {
	reads := map[string]int{"fcall": 1, "time": 1, "hmget": 2} // parts, accounts
	writes := map[string]int{"fcall": 1, "time": 1, "hmget": 3, "hset": 3, "xadd": 1}
	for _, bulk := range []int{16, 256, ActsMax} {
		for _, partitions := range []int{1, 4, 16} {
			b := newCostBed(t, costOf{2048, partitions, bulk})
			b.same() // the first key opens the slice
			for _, c := range []struct {
				name string
				run  func()
				want map[string]int
			}{
				{"transfer", b.same, writes},
				{"check", func() { b.check() }, reads},
				{"pay", func() { b.pay(b.payees()) }, writes},
				{"deliver", func() { b.deliver(b.payees()) }, writes},
			} {
				before := commandCalls(t, b.s)
				c.run()
				got := commandCalls(t, b.s)
				for name := range got {
					if got[name] -= before[name]; got[name] == 0 || name == "info" {
						delete(got, name)
					}
				}
				if !maps.Equal(got, c.want) {
					t.Errorf("%s: %d rows of %d partitions: %v, want %v", c.name, bulk, partitions, got, c.want)
				}
			}
		}
	}
}

// A train that is sent and answered allocates what its client does, and nothing a row or section.
func TestAllocationsOfATrain(t *testing.T) {
	const most = 24
	for _, c := range []costOf{{2048, 1, 16}, {2048, 1, ActsMax}, {2048, 16, ActsMax}} {
		b := newCostBed(t, c)
		b.check() // grows the buffers
		if got := testing.AllocsPerRun(20, func() { b.run(journal.OK) }); got > most {
			t.Errorf("%+v: %v allocations", c, got)
		}
	}
}

// How many bytes of Redis memory an account and a remembered key take, and what both cost a transfer.
//
//	go test ./luascripts -run '^$' -bench Memory -benchtime 1x
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		bed := newCostBed(b, costOf{2, 1, 1})
		per := func(fill func()) float64 {
			before := bed.memory()
			fill()
			return (bed.memory() - before) / n
		}
		plain := AppendAccount(nil, journal.Account{Available: 1e12, Version: 1, StatusSeq: 1})
		full := AppendAccount(nil, journal.Account{Available: 1e12, Version: 1, StatusSeq: 1, OverdraftLimit: 1})
		key := AppendKey(nil, journal.KeyRecord{Status: journal.Confirmed, Op: journal.OpPay, TimeMS: 1, Epoch: 1, Seq: 1, Content: make([]byte, 25)})
		for name, value := range map[string][]byte{"plain-account": plain, "other-account": full, "key": key} {
			size := len(journal.Handle{})
			if name == "key" {
				size = len(journal.ID{})
			}
			b.ReportMetric(per(func() { bed.fill(name, n, size, value) }), name+"-bytes")
			must(b, bed.s.client.Del(b.Context(), name).Err())
		}
	}
	b.ReportMetric(0, "ns/op")
}

// memory is what Redis uses, bytes.
func (b *costBed) memory() (bytes float64) {
	_, err := fmt.Sscan(field(b.t, b.s, "memory", "used_memory:"), &bytes)
	must(b.t, err)
	return bytes
}

// fill puts so many random fields of a size into a hash.
func (b *costBed) fill(hash string, n, size int, value []byte) {
	var words []any
	for i := range n {
		name := make([]byte, size)
		for j := range name {
			name[j] = byte(b.dice.Uint32())
		}
		if words = append(words, name, value); len(words) == 4000 || i == n-1 {
			must(b.t, b.s.client.HSet(b.t.Context(), hash, words...).Err())
			words = words[:0]
		}
	}
}

// Rows that only look do not travel to the shard; what happens between them leaves in one piece, in order and with its statuses.
func TestRowsThatOnlyLook(t *testing.T) {
	b := newCostBed(t, costOf{64, 1, 8})
	payer, payee := b.handles[0][0], b.handles[0][1]
	var sent []byte
	b.tr.Reset()
	b.tr.Section(0, 1)
	for i, to := range []journal.Handle{payee, payer, payee, payee} { // the second does not happen
		b.add(&journal.Row{Op: journal.OpCheck, Account: payee, Amount: 1})
		b.nth++
		r := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: payer, To: to, Amount: 1, Key: []byte{byte('a' + i)}, ToText: []byte("b")}
		r.ID[0] = byte(i + 1)
		b.add(&r)
		sent = append(sent, b.packed...)
		b.add(&journal.Row{Op: journal.OpRead, Account: payer})
	}
	reply, err := b.s.Run(t.Context(), &b.tr)
	must(t, err)
	if got := b.tr.sections[0].packed; !bytes.Equal(got, sent) {
		t.Errorf("the shard gets %d bytes, want the %d of the transfers", len(got), len(sent))
	}
	id, want, err := b.tr.AppendEntry(nil)
	must(t, err)
	entries, err := b.s.ReadOutbox(t.Context(), 0, 10, 0)
	must(t, err)
	if len(entries) != 1 || entries[0].ID != id || id != reply.Entry() || !bytes.Equal(entries[0].sections, want) {
		t.Errorf("the outbox has %d entries, and not %d as the reply tells it", len(entries), id)
	}
	must(t, entries[0].Each(func(h Happened) error {
		if h.Count != 3 {
			t.Errorf("%d events, want 3", h.Count)
		}
		return nil
	}))
}
