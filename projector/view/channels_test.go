package view

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/projector/internal/history"
)

func conserved(t testing.TB, v *View, when string) Conservation {
	t.Helper()
	c := v.Conservation()
	for asset, e := range c.Error {
		if e != 0 {
			t.Fatalf("%s: asset %d: %d minor units too many", when, asset, e)
		}
	}
	if len(c.Off) != 0 {
		t.Fatalf("%s: channels off: %+v", when, c.Off)
	}
	return c
}

// However far each partition is folded, and wherever the store is opened again, no money seems to be missing.
func TestConservedAtEveryCut(t *testing.T) {
	for seed := range uint64(3) {
		h := history.New(shape(20 + seed))
		fs, rng := vfs.NewMem(), rand.New(rand.NewPCG(seed, 2))
		v := open(t, fs, h.Partitions)
		exact := 0
		for left := h.Partitions; left > 0; {
			p := rng.IntN(h.Partitions)
			f, err := v.Fold(p)
			must(t, err)
			feed(t, f, h.Log, 1+rng.IntN(8))
			must(t, f.Close())
			exact += len(v.channels.ways) - conserved(t, v, fmt.Sprintf("seed %d", seed)).Open
			if rng.IntN(20) == 0 {
				must(t, v.Close())
				v = open(t, fs, h.Partitions)
			}
			left = 0
			for q := range h.Partitions {
				at, err := v.Position(q)
				must(t, err)
				if int(at.Seq) < len(h.Events[q]) {
					left++
				}
			}
		}
		if exact == 0 {
			t.Error("no channel was ever compared")
		}
		h.DeliverAll()
		project(t, v, h)
		c := conserved(t, v, "at rest")
		equal(t, "open channels", c.Open, 0)
		for asset, sum := range c.InFlight {
			equal(t, fmt.Sprintf("asset %d in flight", asset), sum, 0)
		}
		must(t, v.Close())
	}
}

func TestInFlightIsWhatHasNotArrived(t *testing.T) {
	h := history.New(shape(30))
	v := opened(t, h.Partitions)
	project(t, v, h)
	want := map[journal.Asset]int64{}
	for p := range h.Books {
		h.Books[p].State.(*journal.Memory).Sums(want)
	}
	c := conserved(t, v, "end")
	equal(t, "open", c.Open, 0)
	moving := false
	for asset, sum := range want {
		equal(t, "in flight", c.InFlight[asset], -sum)
		moving = moving || sum != 0
	}
	if !moving {
		t.Error("nothing is in flight")
	}
}

func TestForgedDeliveriesAreSeen(t *testing.T) {
	for name, change := range map[string]func(*journal.Row){
		"lost": func(r *journal.Row) { r.SetLegs(history.Pack(history.Legs(r)[1:])) },
		"doubled": func(r *journal.Row) {
			l := history.Legs(r)
			r.SetLegs(history.Pack(append(l[:1:1], l...)))
		},
		"swapped": func(r *journal.Row) { // same count, same sum: other ids
			l := history.Legs(r)
			l[0].ID, l[1].ID = l[1].ID, l[0].ID
			r.SetLegs(history.Pack(l))
		},
	} {
		h := history.New(shape(31))
		h.DeliverAll()
		h.Forge(h.Log, 1, h.Deliveries(1, 2)[0], change)
		v := opened(t, h.Partitions)
		project(t, v, h)
		c := v.Conservation()
		if len(c.Off) != 1 {
			t.Errorf("%s: channels off: %+v", name, c.Off)
			continue
		}
		off := c.Off[0]
		equal(t, name+": error", c.Error[off.Asset], off.Amount)
		want := map[string]int64{"lost": -1, "doubled": 1, "swapped": 0}[name]
		if off.Legs != want || (want == 0) != (off.Amount == 0) {
			t.Errorf("%s: %+v", name, off)
		}
	}
}

// A partition folded far ahead of the other end of its channels is remembered in bounded memory, and still compared.
func TestTooManyLegsInFlight(t *testing.T) {
	c := newChannels(2)
	w := way{0, 1, 0}
	s := &state{moved: map[int]bool{}, delivered: map[int]uint64{}}
	m := &movements{}
	for round := range 3 {
		m.reset(0, 2)
		for i := range legsMax {
			m.sent = append(m.sent, sentLeg{w, point{seq: uint64(round*legsMax + i + 1), tally: tally{1, 5, 7}}})
		}
		c.commit(m, uint64((round+1)*legsMax), s)
		if n := len(c.ways[w].inFlight); n > legsMax || n != c.remembered {
			t.Fatalf("%d legs remembered, %d counted", n, c.remembered)
		}
	}
	deliver := func(upTo uint64, t tally) {
		m.reset(1, 2)
		m.received[w] = t
		s.delivered[0], s.moved[0] = upTo, true
		c.commit(m, upTo, s)
	}
	deliver(100, tally{100, 500, 700})
	if c.settled(w, c.ways[w]) {
		t.Fatal("it claims to know what it has forgotten")
	}
	deliver(2*legsMax+50, tally{2*legsMax - 50, 5 * (2*legsMax - 50), 7 * (2*legsMax - 50)})
	if ch := c.ways[w]; !c.settled(w, ch) || ch.base != ch.received {
		t.Fatalf("not compared behind what was forgotten: %+v", ch)
	}
}
