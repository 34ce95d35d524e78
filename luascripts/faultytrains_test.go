package luascripts

import (
	"bytes"
	"errors"
	"testing"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/journal"
)

// faultyTrains are random trains of one seed, some of which lose their reply or meet a full Redis. The shard stays the
// Book through all of it. server may hold anything; it is used by one at a time.
func faultyTrains(t testing.TB, server *local.Server, proxy *faultproxy.Proxy, seed uint64) {
	d := newDifferential(t, openShard(t, proxy.Addr()), seed)
	for range 60 {
		switch {
		case d.one(0.1):
			d.lost(proxy)
		case d.one(0.1):
			d.full()
		default:
			d.train()
		}
	}
	d.finish()
}

// lost runs a train whose reply is lost: its outcome is unknown, and it has happened once.
func (d *differential) lost(proxy *faultproxy.Proxy) {
	d.t.Helper()
	d.collect()
	dropped := proxy.DropNextReply(func(request []byte) bool { return bytes.Contains(request, []byte("fcall")) })
	reply, err := d.s.Run(d.t.Context(), &d.tr)
	if err == nil || !errors.Is(err, ErrUnknown) || NothingMoved(err) {
		d.t.Fatalf("a train whose reply was lost answers %v, %v", reply, err)
	}
	<-dropped
	entries, err := d.s.ReadOutbox(d.t.Context(), d.last, 10, 0)
	must(d.t, err)
	if len(entries) > 1 {
		d.t.Fatalf("a train whose reply was lost left %d outbox entries", len(entries))
	}
	for _, e := range entries {
		d.last = e.ID
		must(d.t, e.Each(func(h Happened) error {
			if err := d.believe(h); err != nil {
				return err
			}
			return d.refold(h)
		}))
	}
}

// believe applies a run of events to the Book, which must have decided each as the shard did.
func (d *differential) believe(h Happened) error {
	d.t.Helper()
	f := journal.Frame{Kind: journal.FrameEvents, Partition: h.Partition, Epoch: h.Epoch, FirstSeq: h.FirstSeq, Count: h.Count, Payload: h.Append(nil)}
	f, err := journal.ParseFrame(f.Seal(nil))
	if err != nil {
		return err
	}
	return f.EachEvent(func(e *journal.Event) error {
		b := d.books[e.Partition]
		want, err := b.Decide(e.Packed, e.TimeMS)
		if err != nil || want.Status != e.Status || !want.Journaled {
			d.t.Fatalf("%v %v happened, the Book decides %+v, %v", journal.Op(e.Packed[2]), e.Status, want, err)
		}
		return b.Apply(e, carried{d.sums})
	})
}

// full runs a train of acts that only release money on a Redis that is full: it must go through.
func (d *differential) full() {
	d.t.Helper()
	d.tr.Reset()
	p := d.IntN(d.partitions)
	d.tr.Section(p, d.books[p].Epoch)
	d.asked = append(d.asked[:0], d.books[p].Epoch)
	for range 1 + d.IntN(10) {
		r := &journal.Row{Account: d.local(p)}
		switch d.IntN(3) {
		case 0:
			d.confirm(p, r)
		case 1:
			d.cancel(p, r)
		default:
			d.deliver(p, r)
		}
		packed := r.Append(nil)
		d.past[p] = append(d.past[p], packed)
		d.tr.Add(packed)
	}
	must(d.t, d.s.client.ConfigSet(d.t.Context(), "maxmemory", "1").Err())
	defer func() { must(d.t, d.s.client.ConfigSet(d.t.Context(), "maxmemory", "0").Err()) }()
	d.run()
}

// Lost replies and a full Redis change nothing in what the acts do.
func TestFaultyTrains(t *testing.T) {
	server := local.Redis(t)
	proxy := faultproxy.ForTest(t, server.Addr)
	for seed := uint64(1); seed <= 8; seed++ {
		faultyTrains(t, server, proxy, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
