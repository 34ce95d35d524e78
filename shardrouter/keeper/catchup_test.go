package keeper

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// TestOldLegsAreReadFromTheLog: a keeper starts and remembers no legs; what a destination lacks comes from the log, from a
// place near by, or from its beginning when a leg's reservation was made before that place.
func TestOldLegsAreReadFromTheLog(t *testing.T) {
	const source, dest = 0, 1
	log := &memLog{}
	payer, payee := payee(source, 0), payee(dest, 0)
	reservation := journal.IDOf(payer, "old")
	log.append(t, []journal.Row{{Op: journal.OpReserve, ID: reservation, Account: payer, Amount: 50, ExpiresInS: 60}})
	var p points
	for log.cursor.Seq < 5*pointStride {
		var acts []journal.Row
		for range 512 {
			acts = append(acts, journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: payer, To: payee, Amount: 1})
		}
		log.append(t, acts)
		p.add(log.cursor)
	}
	log.append(t, []journal.Row{
		{Op: journal.OpConfirm, Reservation: reservation, To: payee, Amount: 20}, // a part
		{Op: journal.OpPay, Account: payer, To: payee, Amount: 7},
		{Op: journal.OpConfirm, Reservation: reservation, To: payee, Final: true}, // what remains: 30
	})
	end := log.cursor.Seq

	for _, tc := range []struct {
		what      string
		delivered uint64
		want      []journal.Amount
	}{
		{"nothing is missing", end, nil},
		{"the last two", end - 2, []journal.Amount{7, 30}},
		{"all", 0, []journal.Amount{20, 7, 30}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := newChannels(simPartitions, time.Minute, slog.New(slog.DiscardHandler), func() {})
			c.begin(source, end, &recent{partitions: simPartitions, from: end}, p)
			ch := c.sources[source].dest[dest]
			stage := rows.NewStage(simPartitions)
			c.pump(time.Now(), stage) // asks
			var asked rows.Meta
			stage.Each(func(s *rows.Section) {
				if s.Partition == dest {
					asked = s.Metas[0]
				}
			})
			c.Settle([]rows.Outcome{{Tag: asked.Tag, Op: journal.OpDeliver, Status: journal.DeliveryGap, Detail: tc.delivered}})

			ctx, stop := context.WithTimeout(t.Context(), patience)
			done := make(chan error, 1)
			go func() { done <- c.catchUp(ctx, log) }()
			live := func() bool { c.mu.Lock(); defer c.mu.Unlock(); return ch.live }
			for !live() && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			if ctx.Err() != nil {
				t.Fatal("it never catches up")
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			var got []journal.Amount
			for i := range ch.legs {
				_, amount := ch.legs[i].money()
				got = append(got, amount)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("legs of %v, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Fatalf("legs of %v, want %v", got, tc.want)
				}
			}
		})
	}
}

func TestPointsAreBounded(t *testing.T) {
	var p points
	for seq := uint64(1); seq < 10*pointsMax*pointStride; seq += 100 {
		p.add(journal.Cursor{Seq: seq, Offset: int64(seq)})
	}
	if n := len(p.cursors); n > pointsMax || n < pointsMax/4 {
		t.Errorf("%d points", n)
	}
	for _, seq := range []uint64{0, 1, 99, 500_000, 3_000_000, 1 << 40} {
		if at := p.before(0, seq); at.Seq > seq {
			t.Errorf("what is behind %d is to be read from %d", seq, at.Seq)
		}
	}
	if last := p.before(0, 1<<40); last.Seq < 9*pointsMax*pointStride {
		t.Errorf("the last point is at %d", last.Seq)
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	r := &recent{partitions: simPartitions}
	const n = recentMax + 100
	for seq := uint64(1); seq <= n; seq++ {
		r.Leg(&journal.Event{Position: journal.Position{Seq: seq}}, journal.Leg{Payee: payee(1, 0), Amount: 1})
	}
	next := uint64(101)
	r.each(func(dest int, l leg) {
		if l.seq != next || dest != 1 {
			t.Fatalf("leg %d to %d, want %d to 1", l.seq, dest, next)
		}
		next++
	})
	if next != n+1 || r.from != 100 {
		t.Errorf("%d … remembered behind %d", next, r.from)
	}
}

// TestNoRoomOnSuspense: a group that does not fit is made smaller, as far as there is room; a leg that does not fit alone
// waits and is an alarm.
func TestNoRoomOnSuspense(t *testing.T) {
	now := time.Now()
	c := newChannels(simPartitions, time.Minute, slog.New(slog.DiscardHandler), func() {})
	c.clock = func() time.Time { return now }
	r := &recent{partitions: simPartitions}
	for seq := uint64(1); seq <= 4; seq++ {
		r.Leg(&journal.Event{Position: journal.Position{Seq: seq}}, journal.Leg{Payee: payee(1, 0), Amount: 1})
	}
	c.begin(0, 9, r, points{})
	send := func() (row journal.Row, tag uint64) {
		stage := rows.NewStage(simPartitions)
		c.pump(now, stage)
		stage.Each(func(s *rows.Section) {
			if s.Partition == 1 {
				if _, err := row.Parse(s.Rows); err != nil {
					t.Fatal(err)
				}
				tag = s.Metas[0].Tag
			}
		})
		return row, tag
	}
	answer := func(tag uint64, s journal.Status, detail uint64) {
		c.Settle([]rows.Outcome{{Tag: tag, Op: journal.OpDeliver, Status: s, Detail: detail}})
	}
	_, tag := send()
	answer(tag, journal.DeliveryGap, 0)
	for _, want := range []struct {
		legs   int
		upTo   uint64
		status journal.Status
	}{
		{4, 9, journal.SuspenseFull}, {2, 2, journal.Delivered}, {2, 9, journal.SuspenseFull}, {1, 3, journal.SuspenseFull},
	} {
		row, tag := send()
		if row.LegCount != want.legs || row.UpTo != want.upTo {
			t.Fatalf("%d legs up to %d, want %d up to %d", row.LegCount, row.UpTo, want.legs, want.upTo)
		}
		answer(tag, want.status, 0)
	}
	if row, _ := send(); row.Op != 0 {
		t.Errorf("a leg that does not fit alone is sent again at once")
	}
	now = now.Add(2 * suspenseAgain)
	if row, _ := send(); row.LegCount != 1 {
		t.Errorf("%d legs after the pause", row.LegCount)
	}
	if counts, _ := c.stats(); counts.SuspenseFull != 3 || counts.Legs != 2 {
		t.Errorf("%+v", counts)
	}
}

// TestDestinationAheadOfTheLog: nothing is delivered to a partition that claims to have credited what the log does not
// hold: going on from there would skip legs.
func TestDestinationAheadOfTheLog(t *testing.T) {
	c := newChannels(simPartitions, time.Minute, slog.New(slog.DiscardHandler), func() {})
	c.begin(0, 9, &recent{partitions: simPartitions}, points{})
	stage := rows.NewStage(simPartitions)
	c.pump(time.Now(), stage)
	stage.Each(func(s *rows.Section) {
		c.Settle([]rows.Outcome{{Tag: s.Metas[0].Tag, Op: journal.OpDeliver, Status: journal.DeliveryGap, Detail: 10}})
	})
	_, all := c.stats()
	if len(all) != 3 || !all[0].Broken || c.sources[0].dest[1].known {
		t.Errorf("%+v", all)
	}
}
