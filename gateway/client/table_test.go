package client

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Random lives of commands: no id is used twice, no slot is lost, the queue is first in first out and stays bounded.
func TestTableKeepsItsBooks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	table := newTable(16)
	table.window = 10
	seen := map[uint64]bool{}
	live := map[uint64]slotState{}
	var order []uint64
	for range 20_000 {
		switch r.IntN(6) {
		case 0, 1:
			s := table.take()
			if (s == nil) != (len(live) == 16) {
				t.Fatalf("take: %v with %d live", s, len(live))
			}
			if s == nil {
				continue
			}
			if seen[s.id] || s.id < inFlightMax || s.id >= 1<<53 {
				t.Fatalf("id %d, seen %v", s.id, seen[s.id])
			}
			seen[s.id] = true
			s.text, s.weight = append(s.text[:0], 'x'), 1
			table.enqueue(s)
			live[s.id] = slotQueued
			order = append(order, s.id)
		case 2:
			before := table.inFlight
			frame := table.cut(nil, 3)
			sent := (len(frame) + 1) / 2
			for n := 0; n < sent; order = order[1:] {
				if live[order[0]] == slotQueued {
					if s := table.find(order[0]); s == nil || s.state != slotSent {
						t.Fatalf("%d overtook the oldest", order[0])
					}
					live[order[0]] = slotSent
					n++
				}
			}
			if table.inFlight != before+sent || table.inFlight > 10 || sent > 3 {
				t.Fatalf("in flight %d after %d more", table.inFlight, sent)
			}
		case 3, 4:
			for id, state := range live {
				s := table.find(id)
				if s == nil {
					t.Fatalf("%d is lost", id)
				}
				if state == slotSent {
					table.answered(s)
				}
				table.release(s)
				delete(live, id)
				if table.find(id) != nil {
					t.Fatalf("%d is still there", id)
				}
				break
			}
		case 5:
			if r.IntN(10) > 0 {
				continue
			}
			table.lost()
			order = order[:0]
			for _, id := range table.queue[table.head:] {
				if _, ok := live[id]; ok {
					live[id] = slotQueued
					order = append(order, id)
				}
			}
		}
		if table.busy() != len(live) || len(table.queue) > 32 {
			t.Fatalf("%d busy, %d live, %d in the queue", table.busy(), len(live), len(table.queue))
		}
	}
}

func TestFreeSlotsKeepNoLargeTexts(t *testing.T) {
	table := newTable(1)
	s := table.take()
	s.text = []byte(strings.Repeat("x", 1<<20))
	table.release(s)
	if cap(table.slots[0].text) != 0 {
		t.Errorf("kept %d bytes", cap(table.slots[0].text))
	}
}

func TestBatchLargerThanTheWindowGoesAlone(t *testing.T) {
	table := newTable(4)
	table.window = 10
	for _, weight := range []int{1, 1000, 1} {
		s := table.take()
		s.text, s.weight = []byte("x"), weight
		table.enqueue(s)
	}
	for i, want := range []int{1, 1000, 1} {
		if frame := table.cut(nil, 0); string(frame) != "x" || table.inFlight != want {
			t.Fatalf("frame %d: %q with %d in flight, want %d", i, frame, table.inFlight, want)
		}
		for i := range table.slots {
			if s := &table.slots[i]; s.state == slotSent {
				table.answered(s)
				table.release(s)
			}
		}
	}
}
