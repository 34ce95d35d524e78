package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/projector/internal/history"
)

func TestAWalletInOrderHasNoDifference(t *testing.T) {
	for seed := range uint64(5) {
		h := history.New(shape(seed))
		h.Flood(0)
		if seed%2 == 0 {
			h.DeliverAll()
		} else {
			h.More(0)
		}
		v, _ := projected(t, h.Log, []float64{1, 0.5, 0.9, 0, 0.3}[seed])
		var done, total int64
		c := Config{Log: h.Log, Shards: shards(t, h, seed), View: v, Progress: func(d, n int64) { done, total = d, n }}
		r := audited(t, c)
		if !r.OK() || len(r.Assets) != 2 {
			t.Fatalf("seed %d:\n%s", seed, r.Text())
		}
		dropped := map[journal.Verdict]int64{}
		for p, report := range r.Partitions {
			digest := h.Books[p].Digest()
			equal(t, "digest", report.Digest, hexOf(digest[:]))
			equal(t, "seq", int(report.Seq), len(h.Events[p]))
			equal(t, "compared", len(report.Compared), 2)
			for why, n := range report.Dropped {
				dropped[why] += n
			}
		}
		for why, n := range h.Dropped { // what zombies wrote is no difference
			equal(t, string(why), dropped[why], int64(n))
		}
		if r.Channels.Legs == 0 || done != total || done == 0 || (seed%2 == 0) != (r.Channels.InFlight == 0) {
			t.Errorf("seed %d: %+v, %d of %d", seed, r.Channels, done, total)
		}
		again := audited(t, c)
		equal(t, "text", again.Text(), r.Text())
		a, err := json.Marshal(r)
		must(t, err)
		b, err := json.Marshal(again)
		must(t, err)
		equal(t, "JSON", string(a), string(b))
		must(t, v.Close())
	}
}

func TestDamageIsLocated(t *testing.T) {
	h := history.New(shape(10))
	log := h.Log.Clone()
	// The first events frame after half of partition 1.
	var cursor journal.Cursor
	cursor.Partition = 1
	offset := int64(0)
	for {
		before := cursor
		f, v, err := cursor.Next(offset, log.Records(1)[offset])
		must(t, err)
		if v == journal.Accepted && f.Kind == journal.FrameEvents && int(offset) > len(log.Records(1))/2 {
			cursor = before
			break
		}
		offset++
	}
	log.Flip(1, offset, journal.FrameHeadSize+3, 0x20)
	v, _ := projected(t, h.Log, 1)
	defer func() { must(t, v.Close()) }()
	r := audited(t, Config{Log: log, View: v, Shards: shards(t, h, 1)})
	want := journal.Position{Partition: 1, Epoch: cursor.Epoch, Seq: cursor.Seq + 1}.String()
	d := expect{where: "journal", what: "hash", partition: 1, position: want}.in(t, &r)
	equal(t, "offset", *d.Offset, offset)
	only(t, &r, "journal")
	equal(t, "differences", len(r.Differences), 1)
	equal(t, "records", r.Partitions[1].Records, offset)
	text := strings.Join(r.Unchecked, "\n")
	for _, what := range []string{"conservation", "projection of partition 1", "shard s1 of partition 1", "channel 1→"} {
		if !strings.Contains(text, what) {
			t.Errorf("not said to be unchecked: %s in\n%s", what, text)
		}
	}
}

func TestGapIsLocated(t *testing.T) {
	h := history.New(shape(11))
	log := h.Log.Clone()
	records := log.Records(2)
	cut := len(records) / 2
	log.SetRecords(2, append(append([][]byte(nil), records[:cut]...), records[cut+1:]...))
	r := audited(t, Config{Log: log})
	d := expect{where: "journal", what: "damaged", partition: 2}.in(t, &r)
	if *d.Offset < int64(cut) || *d.Offset > int64(cut)+3 {
		t.Errorf("offset %d, the gap is at %d", *d.Offset, cut)
	}
	only(t, &r, "journal")
}

// forgery is a journal with an unbroken chain that says something else than what happened.
func TestForgedJournalsAreSeen(t *testing.T) {
	h := history.New(shape(18))
	h.DeliverAll()
	q := 1
	seq := h.Deliveries(q, 2)[3]
	at := h.Events[q][seq-1].String()
	row, err := h.Events[q][seq-1].Row()
	must(t, err)
	leg := row.Leg(0)
	where := fmt.Sprintf("channel %d→%d", row.Source, q)
	for _, f := range []struct {
		name   string
		change func([]journal.Leg) []journal.Leg
		what   string
		loses  bool
	}{
		{"lost delivery", func(l []journal.Leg) []journal.Leg { return l[1:] }, "passed over", true},
		{"doubled credit", func(l []journal.Leg) []journal.Leg { return append(l, l[0]) }, "credited twice", true},
		{"changed amount", func(l []journal.Leg) []journal.Leg { l[0].Amount++; return l }, "not as it was decided", true},
		{"other payee", func(l []journal.Leg) []journal.Leg { l[0].Payee = l[1].Payee; l[0].Payer = l[0].Payee; return l }, "not as it was decided", false},
		{"out of order", func(l []journal.Leg) []journal.Leg { l[0], l[1] = l[1], l[0]; return l }, "out of order", false},
	} {
		t.Run(f.name, func(t *testing.T) {
			log := h.Log.Clone()
			h.Forge(log, q, seq, func(r *journal.Row) { r.SetLegs(history.Pack(f.change(history.Legs(r)))) })
			r := audited(t, Config{Log: log})
			x := expect{where: where, what: f.what, partition: q, position: at}
			if f.name != "out of order" {
				x.account = h.Names[leg.Payee]
			}
			x.in(t, &r)
			if f.loses {
				expect{where: "conservation", what: "created or lost", partition: q, position: at}.in(t, &r)
			}
			only(t, &r, where, "conservation")
			equal(t, "differences", len(r.Differences), map[bool]int{true: 2, false: 1}[f.loses])
		})
	}
}

func TestSecondOutcomeOfAnID(t *testing.T) {
	h := history.New(shape(13))
	for _, x := range []struct {
		inWindow bool
		what     string
	}{{true, "second outcome"}, {false, "evicted"}} {
		events := append([]journal.Event(nil), h.Events[0]...)
		for i := range events {
			row, err := events[i].Row()
			must(t, err)
			if _, in := h.Books[0].State.Key(row.ID); row.Op.Keyed() && events[i].Status == journal.InsufficientFunds && in == x.inWindow {
				again := events[i]
				again.Position, again.TimeMS, again.Status = events[len(events)-1].Position, events[len(events)-1].TimeMS, journal.PayeeClosed
				again.Seq++
				events = append(events, again)
				break
			}
		}
		log := h.Log.Clone()
		history.Rewrite(log, 0, events, 6)
		r := audited(t, Config{Log: log})
		expect{where: "journal", what: x.what, partition: 0, position: events[len(events)-1].String()}.in(t, &r)
		equal(t, "differences", len(r.Differences), 1)
	}
}

func TestTimeThatGoesBack(t *testing.T) {
	h := history.New(shape(14))
	events := append([]journal.Event(nil), h.Events[0]...)
	i := len(events) / 2
	events[i].TimeMS -= 100_000
	log := h.Log.Clone()
	history.Rewrite(log, 0, events, 6)
	r := audited(t, Config{Log: log})
	expect{where: "journal", what: "goes back", partition: 0, position: events[i].String()}.in(t, &r)
	only(t, &r, "journal")
}

func TestImpossibleEventIsLocated(t *testing.T) {
	h := history.New(shape(15))
	events := append([]journal.Event(nil), h.Events[0]...)
	at := ""
	for i := len(events) / 2; at == ""; i++ {
		if row, err := events[i].Row(); err == nil && row.Op == journal.OpTransfer && events[i].Status == journal.Confirmed {
			row.Amount = 1 << 52 // nobody has that much (P2)
			events[i].Packed, at = row.Append(nil), events[i].String()
		}
	}
	log := h.Log.Clone()
	history.Rewrite(log, 0, events, 6)
	r := audited(t, Config{Log: log})
	d := expect{where: "journal", what: "lower bound", partition: 0}.in(t, &r)
	have, err := journal.ParsePosition(d.Position)
	must(t, err)
	want, err := journal.ParsePosition(at)
	must(t, err)
	equal(t, "seq", have.Seq, want.Seq)
	equal(t, "records that count", r.Partitions[0].Records, *d.Offset)
	only(t, &r, "journal")
}

// A credit of events that the payer's journal lost.
func TestCreditWithoutADecision(t *testing.T) {
	h := history.New(shape(16))
	h.DeliverAll()
	log := h.Log.Clone()
	log.SetRecords(0, log.Records(0)[:len(log.Records(0))/2])
	r := audited(t, Config{Log: log})
	found := false
	for q := 1; q < h.Partitions; q++ {
		d := expect{where: fmt.Sprintf("channel 0→%d", q), what: "does not have", partition: q}.in(t, &r)
		at, err := journal.ParsePosition(d.Position)
		must(t, err)
		e := h.Events[q][at.Seq-1]
		row, err := e.Row()
		must(t, err)
		// It is the first one that goes beyond.
		if row.Source != 0 || row.UpTo <= r.Partitions[0].Seq || h.Books[q].State.Delivered(0) < row.UpTo {
			t.Errorf("%v delivers %d…%d of %d", at, row.From, row.UpTo, row.Source)
		}
		found = found || row.From <= r.Partitions[0].Seq
	}
	if !found {
		t.Error("not the first of them")
	}
	if !strings.Contains(strings.Join(r.Unchecked, " "), "conservation") {
		t.Error("conservation was claimed")
	}
}

// hiding shows less of a partition than there is, the first time it is asked.
type hiding struct {
	*history.Log
	partition int
	once      sync.Once
}

func (l *hiding) End(ctx context.Context, p int) (end int64, err error) {
	end, err = l.Log.End(ctx, p)
	if p == l.partition {
		l.once.Do(func() { end /= 2 })
	}
	return end, err
}

// Others have credited already what a partition decided behind the end that was seen: the cut is made consistent.
func TestCutIsExtended(t *testing.T) {
	h := history.New(shape(17))
	h.DeliverAll()
	h.More(300) // what nobody needs is not read
	r := audited(t, Config{Log: &hiding{Log: h.Log, partition: 0}, Shards: shards(t, h, 3)})
	if !r.OK() {
		t.Fatal(r.Text())
	}
	if n := int64(len(h.Log.Records(0))); r.Partitions[0].Records <= n/2 {
		t.Errorf("%d of %d records read", r.Partitions[0].Records, n)
	}
}

// live is a wallet at work: its shards are dumped piece by piece, while acts go on and the journal grows.
type live struct {
	mu sync.Mutex
	h  *history.History
}

func (l *live) locked(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *live) Dump(context.Context) (list []Dump, err error) {
	for p := range l.h.Partitions {
		d := Dump{Partition: p, Shard: "s", State: journal.NewMemory()}
		m := l.h.Books[p].State.(*journal.Memory)
		l.locked(func() { d.Before = l.h.Books[p].Seq })
		l.locked(func() { d.State.Accounts = clone(m).Accounts })
		l.locked(func() { d.State.Keys, d.State.DetailsOf = clone(m).Keys, clone(m).DetailsOf })
		l.locked(func() { d.State.DeliveredOf = clone(m).DeliveredOf })
		l.locked(func() { d.State.Reservations = clone(m).Reservations })
		l.locked(func() { d.After, d.Epoch = l.h.Books[p].Seq, l.h.Books[p].Epoch })
		list = append(list, d)
	}
	return list, nil
}

func TestAuditOfARunningWallet(t *testing.T) {
	l := &live{h: history.New(shape(18))}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				l.locked(func() { l.h.More(5) })
			}
		}
	}()
	for range 5 {
		r := audited(t, Config{Log: l.h.Log, Shards: l, Patience: patience})
		if !r.OK() {
			t.Error(r.Text())
		}
	}
	close(stop)
	<-stopped
}

func TestOnTheFileLog(t *testing.T) {
	h := history.New(shape(19))
	h.DeliverAll()
	dir := filepath.Join(t.TempDir(), "journal")
	log, err := filelog.Open(filelog.Config{Dir: dir, Partitions: h.Partitions, SegmentBytes: 64 << 10})
	must(t, err)
	for p := range h.Partitions {
		for _, record := range h.Log.Records(p) {
			_, err := log.Append(t.Context(), []journal.Record{{Partition: p, Bytes: record}})
			must(t, err)
		}
	}
	v, _ := projected(t, h.Log, 0.7)
	online := audited(t, Config{Log: log, View: v, Shards: shards(t, h, 4)})
	if !online.OK() {
		t.Error(online.Text())
	}
	must(t, v.Close())
	must(t, log.Close())
	offline, err := filelog.OpenReadOnly(dir)
	must(t, err)
	defer func() { must(t, offline.Close()) }()
	r := audited(t, Config{Log: offline})
	equal(t, "digest", r.Partitions[2].Digest, online.Partitions[2].Digest)
	equal(t, "ok", r.OK(), true)
}

func TestPartOfTheWallet(t *testing.T) {
	h := history.New(shape(20))
	r := audited(t, Config{Log: h.Log, Partitions: []int{2, 0, 2}})
	if !r.OK() || len(r.Assets) != 0 || len(r.Partitions) != 2 || r.Channels.Legs == 0 {
		t.Fatal(r.Text())
	}
	if _, err := Run(t.Context(), Config{Log: h.Log, Partitions: []int{3}}); err == nil {
		t.Error("a partition that is not there")
	}
	h.Log.Fail(errors.New("no route"))
	if _, err := Run(t.Context(), Config{Log: h.Log}); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("a log that cannot be read is no difference: %v", err)
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	h := history.New(shape(21))
	list := shards(t, h, 5)
	wrong := 0
	for account, a := range list[0].State.Accounts {
		a.Available += 1000
		list[0].State.Accounts[account] = a
		wrong++
	}
	r := audited(t, Config{Log: h.Log, Shards: list, DifferencesMax: 3})
	equal(t, "listed", len(r.Differences), 3)
	equal(t, "all", r.More+3, wrong)
	equal(t, "ok", r.OK(), false)
}
