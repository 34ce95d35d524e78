package events

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

// published checks a partition of the topic: every event, in order but for repeats of what has been there, always with the same bytes.
// It answers the number of repeats.
func published(t *testing.T, records []Record, want []event) (repeats int) {
	t.Helper()
	known := map[string]int{}
	for i, e := range want {
		known[e.id] = i
	}
	seen := 0
	for _, r := range records {
		i, ok := known[r.Header(HeaderID)]
		if !ok {
			t.Fatalf("an event that there is none of: %v", r)
		}
		if string(r.Key) != want[i].account || string(r.Value) != want[i].body {
			t.Fatalf("event %s\nhave %s %s\nwant %v", want[i].id, r.Key, r.Value, want[i])
		}
		switch {
		case i == seen:
			seen++
		case i < seen:
			repeats++
		default:
			t.Fatalf("event %s comes before %s", want[i].id, want[seen].id)
		}
	}
	if seen != len(want) {
		t.Fatalf("%d events are published, of %d", seen, len(want))
	}
	return repeats
}

// complete waits until all events have been published.
func complete(t *testing.T, to *topic, h *history.History) {
	t.Helper()
	for p := range h.Partitions {
		last := wanted(h, p)
		eventually(t, fmt.Sprintf("the last event of partition %d", p), func() bool {
			return slices.ContainsFunc(to.has(p), func(r Record) bool { return r.Header(HeaderID) == last[len(last)-1].id })
		})
	}
}

func TestThePublisherGoesOnWhereTheTopicEnds(t *testing.T) {
	h := history.New(shape(1))
	v := opened(t, h.Partitions)
	to := newTopic(h.Partitions)
	c := PublisherConfig{Source: NewSource(v, journal.DevAssets), Topic: to, Bounds: Bounds{Events: 10}}
	_, stop := running(t, c)
	fold(t, v, h, all(h)...)
	complete(t, to, h)
	stop()
	first := len(to.has(0))
	h.More(200)
	fold(t, v, h, all(h)...)
	p, stop := running(t, c)
	complete(t, to, h)
	eventually(t, "no lag", func() bool {
		for _, l := range p.Lag() {
			if l.Events != 0 || l.Trouble != "" {
				return false
			}
		}
		return true
	})
	stop()
	for p := range h.Partitions {
		if n := published(t, to.has(p), wanted(h, p)); n != 0 {
			t.Errorf("partition %d: %d repeats without a fault", p, n)
		}
	}
	if first == len(to.has(0)) {
		t.Error("the second publisher had nothing to do")
	}
	r := to.has(0)[0]
	for _, want := range []Header{{"ce_specversion", "1.0"}, {"ce_source", "/walletd/test"}, {"ce_type", "account.changed"}, {"ce_subject", string(r.Key)}, {"content-type", "application/json"}} {
		if r.Header(want.Name) != want.Value {
			t.Errorf("%s is %q, want %q", want.Name, r.Header(want.Name), want.Value)
		}
	}
	if _, err := time.Parse(time.RFC3339, r.Header("ce_time")); err != nil {
		t.Error(err)
	}
}

func TestAFailedAppendRepeatsAtMost(t *testing.T) {
	h := history.New(history.Config{Seed: 2, Partitions: 2, Accounts: 2, Steps: 100, Assets: 1, FrameMax: 12})
	v := opened(t, h.Partitions)
	fold(t, v, h, all(h)...)
	for n := 1; n <= 8; n++ {
		for _, applied := range []bool{false, true} {
			to := newTopic(h.Partitions)
			to.failAt, to.applied = n, applied
			_, stop := running(t, PublisherConfig{Source: NewSource(v, journal.DevAssets), Topic: to, Bounds: Bounds{Events: 8}})
			complete(t, to, h)
			stop()
			for p := range h.Partitions {
				published(t, to.has(p), wanted(h, p))
			}
			if to.calls < n {
				t.Fatalf("call %d never came: there were %d", n, to.calls)
			}
		}
	}
}

func TestTwoPublishersRepeatAndLoseNothing(t *testing.T) {
	h := history.New(shape(4))
	v := opened(t, h.Partitions)
	to := newTopic(h.Partitions)
	c := PublisherConfig{Source: NewSource(v, journal.DevAssets), Topic: to, Bounds: Bounds{Events: 5}, Standby: 200 * time.Millisecond}
	_, stop1 := running(t, c)
	_, stop2 := running(t, c)
	for range 5 {
		fold(t, v, h, all(h)...)
		h.More(100)
	}
	fold(t, v, h, all(h)...)
	complete(t, to, h)
	stop1()
	stop2()
	for p := range h.Partitions {
		if n := published(t, to.has(p), wanted(h, p)); n >= len(wanted(h, p)) {
			t.Errorf("partition %d: %d repeats of %d events: neither gives way", p, n, len(wanted(h, p)))
		}
	}
}

func TestAForeignTopicIsRefused(t *testing.T) {
	h := history.New(shape(1))
	v := opened(t, h.Partitions)
	fold(t, v, h, all(h)...)
	to := newTopic(h.Partitions)
	to.records[1] = []Record{{Value: []byte("x"), Headers: []Header{{HeaderID, "0.1.5-1"}}}}
	p, stop := running(t, PublisherConfig{Source: NewSource(v, journal.DevAssets), Topic: to})
	eventually(t, "trouble", func() bool { return p.Lag()[1].Trouble != "" })
	stop()
	if n := len(to.has(1)); n != 1 {
		t.Errorf("%d records in a topic of somebody else's", n)
	}
}
