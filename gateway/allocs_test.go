//go:build !race

// (With the race detector a sync.Pool forgets on purpose what it was given.)

package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// confirming are shards that confirm everything at once, and allocate nothing.
type confirming struct{ outs []rows.Outcome }

func (c *confirming) Submit(st *rows.Stage) {
	st.Each(func(sec *rows.Section) {
		carry := uint32(0)
		for i := range sec.Metas {
			m := &sec.Metas[i]
			o := rows.Outcome{Owner: m.Owner, Tag: m.Tag, Op: m.Op, Status: journal.Confirmed, Position: journal.Position{Partition: sec.Partition, Epoch: 1, Seq: 9}}
			if m.Op == journal.OpCheck {
				o.Status, o.Carry = journal.OK, sec.Carry[carry:m.Carry]
			}
			c.outs = append(c.outs[:0], o)
			carry = m.Carry
			m.Sink.Settle(c.outs)
		}
	})
	st.Reset()
}

// transfersOf is a session without a connection, and messages for it: one within a partition, one across.
func transfersOf(t testing.TB) (ss *session, messages [][]byte) {
	t.Helper()
	const partitions = 4
	s, err := New(Config{Assets: journal.DevAssets, Partitions: partitions, Shards: &confirming{}, Reads: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	to := map[bool]string{}
	for i := 0; len(to) < 2; i++ {
		id := fmt.Sprint("bob-", i)
		to[journal.HandleOf(id).Partition(partitions) == journal.HandleOf("alice").Partition(partitions)] = id
	}
	for _, same := range []bool{true, false} {
		messages = append(messages, fmt.Appendf(nil, `{"id":48213,"transfer":{"key":"order-004821","from":"alice","to":"%s","amount":1250,"asset":"USD"}}`, to[same]))
	}
	return &session{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), msg: wire.NewMessage(s.cfg.Assets), stage: s.tcc.Stage(), connected: true}, messages
}

// through takes messages from a read to what would be written, as the reader, the lanes and the writer do.
func (ss *session) through(messages [][]byte) (replies int) {
	for _, m := range messages {
		ss.handle(m, true)
	}
	ss.flush()
	ss.mu.Lock()
	replies, ss.out = len(ss.out), ss.out[:0]
	ss.mu.Unlock()
	return replies
}

// TestTransfersAllocateNothing in the gateway, once its buffers have grown.
func TestTransfersAllocateNothing(t *testing.T) {
	ss, messages := transfersOf(t)
	if n := ss.through(messages); n < 150 {
		t.Fatalf("%d bytes of replies", n)
	}
	if n := testing.AllocsPerRun(200, func() { ss.through(messages) }); n > 0 {
		t.Errorf("%v allocations for %d transfers", n, len(messages))
	}
}

// BenchmarkTransfers is the gateway's share of a transfer without its connection: half of them across partitions.
func BenchmarkTransfers(b *testing.B) {
	ss, messages := transfersOf(b)
	for range 5 {
		messages = append(messages, messages...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(messages) {
		ss.through(messages)
	}
}
