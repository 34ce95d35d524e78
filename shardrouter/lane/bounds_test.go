package lane

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/journal/rows"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// TestPartitionMoves: rows that wait follow their partition to its next shard.
func TestPartitionMoves(t *testing.T) {
	w := newWorld(t, 2, nil, nil)
	w.durable()
	s := newSink()
	// Partition 0 leaves s1, where it does not serve any more, for s2.
	b := journal.NewBook(0, partitions)
	b.Epoch = 9
	if err := w.shards[0].Load(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		w.send(s, 0, journal.Row{Op: journal.OpOpen, Account: account(0, fmt.Sprint("a", i)), Text: []byte(`{}`)})
	}
	w.eventually("they were refused", func() bool { return w.stats().Refused > 0 })
	b.Epoch = 10
	if err := w.shards[1].Load(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.static.Publish(t.Context(), func(m *shardrouter.Map) (*shardrouter.Map, error) {
		next := m.WithPartitions("s2", 10, 0)
		return next.WithPartitions("s2", 10, m.PartitionsOf("s1")...).WithoutShard("s1"), nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, o := range s.wait(t, 10) {
		if o.Status != journal.Opened || o.Position.Epoch != 10 {
			t.Errorf("%v at %v", o.Status, o.Position)
		}
	}
}

// TestRowsOnTheirWayMoveToo: a train that cannot reach its shard gives up the rows of a partition that moves.
func TestRowsOnTheirWayMoveToo(t *testing.T) {
	var proxies []*faultproxy.Proxy
	w := newWorld(t, 2, func(addr string) string {
		proxies = append(proxies, faultproxy.ForTest(t, addr))
		return proxies[len(proxies)-1].Addr()
	}, nil)
	w.durable()
	proxies[0].Refuse(true)
	proxies[0].Cut()
	s := newSink()
	w.send(s, 0, journal.Row{Op: journal.OpOpen, Account: account(0, "a"), Text: []byte(`{}`)})
	w.send(s, 2, journal.Row{Op: journal.OpOpen, Account: account(2, "a"), Text: []byte(`{}`)})
	w.eventually("they are on their way", func() bool { return w.stats().Faults > 1 })
	b := journal.NewBook(0, partitions)
	b.Epoch = 10
	if err := w.shards[1].Load(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.static.Publish(t.Context(), func(m *shardrouter.Map) (*shardrouter.Map, error) {
		return m.WithPartitions("s2", 10, 0), nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, o := range s.wait(t, 1) {
		if o.Status != journal.Opened || o.Position != (journal.Position{Partition: 0, Epoch: 10, Seq: 1}) {
			t.Errorf("%v at %v", o.Status, o.Position)
		}
	}
	proxies[0].Refuse(false)
	s.wait(t, 2) // of the partition that stayed
}

// TestQueueIsBounded, in acts and in bytes; what does not fit is refused at once, on the caller's goroutine.
func TestQueueIsBounded(t *testing.T) {
	for what, c := range map[string]struct {
		row journal.Row
		fit int
	}{
		"acts":  {journal.Row{Op: journal.OpRead}, luascripts.ActsMax},
		"bytes": {journal.Row{Op: journal.OpOpen, Text: make([]byte, 60_000)}, luascripts.TrainBytesMax / 60_025},
	} {
		t.Run(what, func(t *testing.T) {
			m, err := shardrouter.NewMap(1, shardrouter.Shard{ID: "s1"})
			if err != nil {
				t.Fatal(err)
			}
			static, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
			if err != nil {
				t.Fatal(err)
			}
			l, err := New(Config{Partitions: 1, Map: static, QueueActs: luascripts.ActsMax, QueueBytes: luascripts.TrainBytesMax})
			if err != nil {
				t.Fatal(err)
			}
			s, stage := newSink(), rows.NewStage(1)
			for i := range c.fit + 3 {
				stage.Add(0, &c.row, s, uint64(i))
				l.Submit(stage)
			}
			for tag, o := range s.wait(t, 3) {
				if o.Status != journal.Overloaded || int(tag) < c.fit {
					t.Errorf("row %d: %v", tag, o.Status)
				}
			}
		})
	}
}

// TestFrozenPartitionLeavesRoom: what waits for a partition that moves does not take the others' room.
func TestFrozenPartitionLeavesRoom(t *testing.T) {
	w := newWorld(t, 1, nil, func(c *Config) { c.RetryFor, c.QueueActs = time.Minute, 2*luascripts.ActsMax })
	h := w.open(1, "other", 0)
	stop := w.durable()
	defer stop()
	if _, err := w.shards[0].Freeze(t.Context(), 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	frozen, others := newSink(), newSink()
	look := journal.Row{Op: journal.OpRead, Account: account(0, "a")}
	w.send(frozen, 0, look)
	w.eventually("it is known to move", func() bool { return w.stats().Refused > 0 })
	for range 4 * luascripts.ActsMax {
		w.send(frozen, 0, look)
	}
	if frozen.count() == 0 {
		t.Fatal("everything fits: the test shows nothing")
	}
	const n = 100
	for range n {
		w.send(others, 1, journal.Row{Op: journal.OpRead, Account: h})
	}
	for _, o := range others.wait(t, n) {
		if o.Status != journal.OK {
			t.Fatalf("a row of another partition: %v", o.Status)
		}
	}
}

// TestOneRowGoesAhead: of a partition that was refused no more than a row is tried again, so that what waits for it is never more
// than its bound; the others' rows fill the train.
func TestOneRowGoesAhead(t *testing.T) {
	ln := &lane{l: &Lanes{}, ledger: ledger{max: 100}, wake: make(chan struct{}, 1)}
	refused, serving := &part{number: 0}, &part{number: 1}
	refused.refused.Store(1)
	stage, look := rows.NewStage(partitions), journal.Row{Op: journal.OpRead}
	for _, p := range []*part{refused, serving} {
		for i := range 10 {
			stage.Add(p.number, &look, nil, uint64(i))
		}
		stage.Each(func(s *rows.Section) { p.queue.push(s, 10) })
		stage.Reset()
		ln.queued(p, 10, p.queue.bytes())
	}
	ln.fill()
	got := map[*part]int{}
	for i := range ln.train.sections {
		got[ln.train.sections[i].part] += len(ln.train.sections[i].metas)
	}
	if got[refused] != 1 || got[serving] != 10 || len(ln.ready) != 1 || ln.ready[0] != refused || ln.acts != 9 {
		t.Errorf("the train has %d rows of the refused one and %d of the other; %d acts wait", got[refused], got[serving], ln.acts)
	}
}

// TestDeparture: a full train leaves at once, one under load after its interval, and none before there is room to hold
// its outcomes.
func TestDeparture(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		ready int
		acts  int
		load  float64
		held  int64
		at    time.Duration
		some  bool
	}{
		"nothing waits":            {0, 0, 0, 0, idleLook, false},
		"idle":                     {1, 1, 0, 0, 0, true},
		"loaded":                   {1, 200, paceFull, 0, paceMax, true},
		"loaded, but full":         {1, luascripts.ActsMax, paceFull, 0, 0, true},
		"too much is held":         {1, luascripts.ActsMax, paceFull, 100, idleLook, false},
		"almost too much":          {1, 1, 0, 99, 0, true},
		"rows that wait for a map": {0, luascripts.ActsMax, 0, 0, idleLook, false},
	} {
		ln := &lane{l: &Lanes{}, ledger: ledger{max: 100}, acts: c.acts, ready: make([]*part, c.ready), departed: now}
		ln.l.table.began, ln.l.table.ends = now, now.Add(interval(c.load))
		ln.held.Store(c.held)
		if at, some := ln.departure(now); at.Sub(now) != c.at || some != c.some {
			t.Errorf("%s: in %v %t, want in %v %t", what, at.Sub(now), some, c.at, c.some)
		}
	}
}

// TestDrain: what runs is finished, what comes is refused.
func TestDrain(t *testing.T) {
	w := newWorld(t, 1, nil, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	s := newSink()
	w.send(s, 1, transfer(bank, shop, "k", 1))
	drained := make(chan error, 1)
	go func() { drained <- w.lanes.Drain(t.Context()) }()
	w.eventually("new rows are refused", func() bool {
		return w.ask(2, journal.Row{Op: journal.OpRead}).Status == journal.Draining
	})
	select {
	case err := <-drained:
		t.Fatalf("drained with a row held: %v", err)
	default:
	}
	w.durable()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if o := s.wait(t, 1)[1+2]; o.Status != journal.Confirmed {
		t.Errorf("%v", o.Status)
	}
}

// TestPartitionIsFrozen: its rows are refused as retryable when that takes long, and the others' go on; what came meanwhile
// follows it to its next shard.
func TestPartitionIsFrozen(t *testing.T) {
	w := newWorld(t, 2, nil, func(c *Config) { c.RetryFor = 2 * time.Second })
	w.durable()
	bank := w.open(0, "bank", journal.Issuance)
	shop := w.open(0, "shop", 0)
	frozen, err := w.shards[0].Freeze(t.Context(), 1, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink()
	waits := w.send(s, 0, transfer(bank, shop, "k", 5))
	w.open(2, "other", 0) // of the same shard
	book, err := w.shards[0].DumpPart(t.Context(), 0, partitions, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.shards[1].Join(t.Context(), 1, 0, partitions)
	if err != nil {
		t.Fatal(err)
	}
	book.Epoch = 7
	if err := errors.Join(l.Write(t.Context(), book, false), l.Serve(t.Context(), book)); err != nil {
		t.Fatal(err)
	}
	if err := w.static.Publish(t.Context(), func(m *shardrouter.Map) (*shardrouter.Map, error) {
		return m.WithPartitions("s2", 7, 0), nil
	}); err != nil {
		t.Fatal(err)
	}
	if o := s.wait(t, 1)[waits]; o.Status != journal.Confirmed || o.Position.Epoch != 7 || o.Position.Seq != frozen.Seq+1 {
		t.Errorf("%v at %v", o.Status, o.Position)
	}
	if _, err := w.shards[0].Freeze(t.Context(), 1, 2, 1); err != nil {
		t.Fatal(err)
	}
	if o := w.ask(2, journal.Row{Op: journal.OpOpen, Account: account(2, "late"), Text: []byte(`{}`)}); o.Status != journal.Moving {
		t.Errorf("refused with %v", o.Status)
	}
}
