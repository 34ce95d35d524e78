package keeper

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// A channel falls behind (here: its destination answers an older number) while catchUp passes over a frame for another
// channel: between the pass over its events and the handing over of its legs.
func TestAChannelThatFallsBehindDuringAReadingLosesNoLeg(t *testing.T) {
	const source, q, other = 0, 1, 2
	log := &memLog{}
	payer, to := payee(source, 0), payee(q, 0)
	reservation := journal.IDOf(payer, "old")
	log.append(t, []journal.Row{{Op: journal.OpReserve, ID: reservation, Account: payer, Amount: 50, ExpiresInS: 60}})
	var p points
	p.add(log.cursor)
	start := log.cursor
	log.append(t, []journal.Row{{Op: journal.OpConfirm, Reservation: reservation, To: to, Amount: 50, Final: true}})
	end := log.cursor.Seq

	c := newChannels(simPartitions, time.Minute, slog.New(slog.DiscardHandler), func() {})
	c.begin(source, end, &recent{partitions: simPartitions, from: end}, p)
	stage := rows.NewStage(simPartitions)
	c.pump(time.Now(), stage) // asks
	tag := map[int]uint64{}
	stage.Each(func(s *rows.Section) { tag[s.Partition] = s.Metas[0].Tag })
	answer := func(dest int, delivered uint64) {
		c.Settle([]rows.Outcome{{Tag: tag[dest], Op: journal.OpDeliver, Status: journal.DeliveryGap, Detail: delivered}})
	}
	answer(other, start.Seq) // one that lacks the last frame: a reading begins at the near place
	s, from := c.laggard()
	if from != start.Seq {
		t.Fatal(from)
	}
	ch := s.dest[q]
	r := reading{c: c, s: s, cursor: s.points.before(source, from), reservations: newReservations(), partial: true}
	// reading.record, with the answer of q in between
	var got error
	_, got = log.Read(t.Context(), source, r.cursor.Offset, func(offset int64, record []byte) error {
		frame, v, err := r.cursor.Next(offset, record)
		if err != nil || v != journal.Accepted || frame.Kind != journal.FrameEvents {
			return err
		}
		r.legs = r.legs[:0]
		if err := frame.EachEvent(r.event); err != nil {
			return err
		}
		answer(q, start.Seq) // q lacks the leg, too
		return r.hand(frame.FirstSeq)
	})
	if errors.Is(got, errUnknownReservation) {
		return // it reads again from the beginning
	}
	if ch.live && ch.waiting() == 0 {
		t.Errorf("the leg of 50 is lost: the channel is live at %d without it", ch.have)
	}
}
