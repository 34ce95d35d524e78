package keeper

import (
	"testing"

	"walletd/journal"
)

// TestChannelsUnderFaults: whatever happens on the way and at the destinations, each leg is credited once, in order.
func TestChannelsUnderFaults(t *testing.T) {
	reads := 0
	for seed := range uint64(100) {
		s := newSim(t, seed)
		s.c.begin(0, 0, &recent{partitions: simPartitions}, points{})
		s.rough = true
		for range 60 {
			if s.rng.IntN(3) > 0 {
				before := s.seq
				s.decide(1 + s.rng.IntN(20))
				if s.rng.IntN(2) == 0 {
					s.step() // the log is read before the relay has reported what is in it
				}
				s.tellDurable(before)
			}
			if s.rng.IntN(10) == 0 {
				s.crash(s.dest[1+s.rng.IntN(simPartitions-1)])
			}
			if s.rng.IntN(15) == 0 { // the keeper dies, and another goes on from the log
				s.restart(uint64(s.rng.IntN(int(s.seq) + 1)))
			}
			s.step()
		}
		s.settle(s.idle)
		s.check()
		if reads += s.reads; s.most > s.c.limits.group {
			t.Fatalf("seed %d: %d legs in one row", seed, s.most)
		}
		if s.c.counts.Rewinds > 0 {
			t.Fatalf("seed %d: a destination is said to have forgotten what was durable", seed)
		}
		for q, ch := range s.c.sources[0].dest {
			for _, m := range moneyOf(ch) {
				if m.amount != 0 {
					t.Errorf("seed %d: %d of asset %d are in flight to %d, though all is settled", seed, m.amount, m.asset, q)
				}
			}
		}
	}
	if reads == 0 {
		t.Error("no channel ever fell behind: the test shows less than it should")
	}
}

// TestLegsOfOneEventStayTogether: delivered counts events, so no group ends in the middle of one.
func TestLegsOfOneEventStayTogether(t *testing.T) {
	for _, c := range []struct {
		seqs  []uint64
		limit int
		legs  int
		to    uint64
	}{
		{nil, 3, 0, 50},
		{[]uint64{4, 9}, 3, 2, 50},
		{[]uint64{4, 9, 11}, 3, 3, 50},
		{[]uint64{4, 9, 11, 12}, 3, 3, 11},
		{[]uint64{4, 9, 11, 11, 12}, 3, 4, 11},
		{[]uint64{4, 9, 11, 11, 11}, 3, 5, 50},
		{[]uint64{4, 4}, 1, 2, 50},
	} {
		ch := newChannel(0, 1, c.limit)
		for _, seq := range c.seqs {
			ch.take(packLeg(seq, journal.Leg{Amount: 1}))
		}
		if legs, to := ch.group(50); len(legs) != c.legs || to != c.to {
			t.Errorf("%v in groups of %d: %d legs up to %d, want %d up to %d", c.seqs, c.limit, len(legs), to, c.legs, c.to)
		}
	}
	ch := newChannel(0, 1, 10)
	for _, seq := range []uint64{4, 9, 9} {
		ch.take(packLeg(seq, journal.Leg{Amount: 1}))
	}
	if ch.fallBehind(9); ch.waiting() != 1 || ch.have != 8 || ch.live || ch.money[0].amount != 1 {
		t.Errorf("it fell behind in the middle of an event: %+v", ch)
	}
}

func moneyOf(ch *channel) []sum {
	if ch == nil {
		return nil
	}
	return ch.money
}

// restart replaces the channels by those of a new keeper whose fold remembers the legs behind a seq.
func (s *sim) restart(remembered uint64) {
	s.c = s.channels()
	r := &recent{partitions: simPartitions, from: remembered}
	for seq := remembered + 1; seq <= s.seq; seq++ {
		for q := range s.sent {
			for _, l := range s.sent[q] {
				if seqOf(l) == seq {
					r.legs = append(r.legs, destined{q, packLeg(seq, l)})
				}
			}
		}
	}
	s.c.begin(0, s.seq, r, points{})
	s.readLog()
}

// readLog does what catchUp does, once, when a channel has fallen behind.
func (s *sim) readLog() {
	for range 1000 {
		src, from := s.c.laggard()
		if src == nil {
			return
		}
		s.reads++
		if err := s.c.read(s.Context(), s.log, src, src.points.before(0, from)); err != nil {
			s.Fatal(err)
		}
	}
	s.Fatal("the log is read again and again")
}
