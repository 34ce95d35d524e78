package keeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// reignOf is a reign over partitions 0 and 1 of shard s1, in epoch 7, that does nothing.
func reignOf(t *testing.T) (*reign, *shardrouter.Static) {
	t.Helper()
	m, err := shardrouter.NewMap(4, shardrouter.Shard{ID: "s1", Primary: "127.0.0.1:1"}, shardrouter.Shard{ID: "s2", Primary: "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	m = m.WithPartitions("s1", 7, 0, 1).WithPartitions("s2", 7, 2, 3)
	static, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Shard: "s1", Partitions: 4, Map: static}.withDefaults()
	r := &reign{Keeper: &Keeper{cfg: cfg}, epoch: 7, addr: "127.0.0.1:1", shown: "127.0.0.1:1", partitions: []int{0, 1}, held: newHoldings(7, []int{0, 1}), courier: newCourier(&cfg)}
	return r, static
}

// TestStillOurs: what a look at the shard says about the reign.
func TestStillOurs(t *testing.T) {
	r, _ := reignOf(t)
	at := func(epoch uint32, seq uint64) luascripts.Part { return luascripts.Part{Epoch: epoch, Seq: seq} }
	durable := []luascripts.Mark{{Partition: 0, Epoch: 7, Seq: 10}, {Partition: 1, Epoch: 7, Seq: 20}}
	fit := func(parts map[int]luascripts.Part) luascripts.Look {
		return luascripts.Look{Parts: parts, Keeper: 7, Admitted: true, Primary: true}
	}
	good := map[int]luascripts.Part{0: at(7, 10), 1: at(7, 20)}
	for what, c := range map[string]struct {
		look luascripts.Look
		want error
	}{
		"as far as the log":       {fit(good), nil},
		"ahead of it":             {fit(map[int]luascripts.Part{0: at(7, 11), 1: at(7, 99), 9: at(1, 1)}), nil},
		"empty":                   {fit(nil), errShardLost},
		"a partition gone":        {fit(map[int]luascripts.Part{0: at(7, 10)}), errShardLost},
		"in an earlier epoch":     {fit(map[int]luascripts.Part{0: at(7, 10), 1: at(6, 20)}), errShardLost},
		"in a later epoch":        {fit(map[int]luascripts.Part{0: at(7, 10), 1: at(8, 20)}), errDeposed},
		"behind what is durable":  {fit(map[int]luascripts.Part{0: at(7, 10), 1: at(7, 19)}), errShardLost},
		"an older copy came back": {fit(map[int]luascripts.Part{0: at(7, 3), 1: at(7, 20)}), errShardLost},
		"started again":           {luascripts.Look{Parts: good, Keeper: 7, Primary: true}, errShardLost},
		"a replica":               {luascripts.Look{Parts: good, Keeper: 7, Admitted: true}, errShardLost},
		"taken over":              {luascripts.Look{Parts: good, Keeper: 8, Admitted: true, Primary: true}, errDeposed},
		"without a keeper":        {luascripts.Look{Parts: good, Admitted: true, Primary: true}, errShardLost},
	} {
		if err := r.stillOurs(c.look, r.held.served(), durable); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// TestFollowMap: a destination's new epoch is asked anew what it has; what concerns our own shard ends the reign.
func TestFollowMap(t *testing.T) {
	change := func(t *testing.T, static *shardrouter.Static, to func(*shardrouter.Map) *shardrouter.Map) {
		t.Helper()
		if err := static.Publish(t.Context(), func(m *shardrouter.Map) (*shardrouter.Map, error) { return to(m), nil }); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a destination's epoch", func(t *testing.T) {
		r, static := reignOf(t)
		c := r.courier.channels
		for p := range 2 {
			c.begin(p, 5, &recent{partitions: 4}, points{})
			for _, ch := range c.sources[p].dest {
				if ch != nil {
					ch.settled(3)
				}
			}
		}
		known := func(p, q int) bool { c.mu.Lock(); defer c.mu.Unlock(); return c.sources[p].dest[q].known }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.followMap(ctx) }()
		deadline := time.Now().Add(patience)
		for epoch := uint32(8); known(0, 2) || known(1, 2); epoch++ { // the first map that it sees is no change
			change(t, static, func(m *shardrouter.Map) *shardrouter.Map { return m.WithPartitions("s2", epoch, 2) })
			if time.Now().After(deadline) {
				t.Fatal("it is not asked")
			}
			time.Sleep(time.Millisecond)
		}
		if !known(0, 3) || !known(0, 1) || !known(1, 0) {
			t.Error("others are asked, too")
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	for what, c := range map[string]struct {
		to   func(*shardrouter.Map) *shardrouter.Map
		want error
	}{
		"our epoch is over": {func(m *shardrouter.Map) *shardrouter.Map {
			return m.WithShard(shardrouter.Shard{ID: "s1", Primary: "127.0.0.1:1", Epoch: 8, State: shardrouter.StateServing})
		}, errDeposed},
		"another primary": {func(m *shardrouter.Map) *shardrouter.Map {
			return m.WithShard(shardrouter.Shard{ID: "s1", Primary: "127.0.0.1:9", State: shardrouter.StateServing})
		}, errOtherMap},
		"a partition more": {func(m *shardrouter.Map) *shardrouter.Map { return m.WithPartitions("s1", 9, 3) }, errOtherMap},
		"another partition": {func(m *shardrouter.Map) *shardrouter.Map {
			return m.WithPartitions("s1", 9, 3).WithPartitions("s2", 9, 1)
		}, errOtherMap},
		"the shard is gone": {func(m *shardrouter.Map) *shardrouter.Map { return m.WithPartitions("s2", 9, 0, 1).WithoutShard("s1") }, errOtherMap},
	} {
		t.Run(what, func(t *testing.T) {
			r, static := reignOf(t)
			change(t, static, c.to)
			if err := r.followMap(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestReservationsFollowEvents: what is open, and which confirms send money elsewhere.
func TestReservationsFollowEvents(t *testing.T) {
	s := newReservations()
	id, payer, shop := journal.ID{1}, journal.Handle{1}, journal.Handle{2}
	for i, c := range []struct {
		row    journal.Row
		status journal.Status
		leg    journal.Amount // 0: none
		open   int
	}{
		{journal.Row{Op: journal.OpPay, ID: journal.ID{9}, Account: payer, To: shop, Amount: 3}, journal.Confirmed, 3, 0},
		{journal.Row{Op: journal.OpPay, ID: journal.ID{9}, Account: payer, To: shop, Amount: 3}, journal.InsufficientFunds, 0, 0},
		{journal.Row{Op: journal.OpTransfer, ID: journal.ID{9}, Account: payer, To: shop, Amount: 3}, journal.Confirmed, 0, 0},
		{journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 50, ExpiresInS: 60}, journal.InsufficientFunds, 0, 0},
		{journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 50, ExpiresInS: 60}, journal.Tried, 0, 1},
		{journal.Row{Op: journal.OpConfirm, Reservation: id, To: shop, Amount: 60}, journal.ExceedsReservation, 0, 1},
		{journal.Row{Op: journal.OpConfirm, Reservation: id, To: shop, Amount: 10}, journal.Tried, 10, 1},
		{journal.Row{Op: journal.OpConfirm, Reservation: id, To: shop, Amount: 15, Verdict: journal.VerdictLocal}, journal.Tried, 0, 1},
		{journal.Row{Op: journal.OpConfirm, Reservation: id, To: shop, Final: true}, journal.Confirmed, 25, 0},
		{journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 5, ExpiresInS: 60}, journal.Tried, 0, 1},
		{journal.Row{Op: journal.OpCancel, ID: journal.ID{7}}, journal.Tombstone, 0, 1},
		{journal.Row{Op: journal.OpCancel, ID: id}, journal.Cancelled, 0, 0},
		{journal.Row{Op: journal.OpReserve, ID: id, Account: payer, Amount: 5, ExpiresInS: 60}, journal.Tried, 0, 1},
		{journal.Row{Op: journal.OpExpire, ID: id}, journal.Expired, 0, 0},
	} {
		e := journal.Event{Status: c.status, TimeMS: 1000}
		l, ok, err := s.follow(&e, &c.row)
		if err != nil || ok != (c.leg > 0) || l.Amount != c.leg || (ok && (l.Payer != payer || l.Payee != shop)) || len(s.open) != c.open {
			t.Fatalf("event %d (%v, %v): leg %+v %t, %v, %d open", i, c.row.Op, c.status, l, ok, err, len(s.open))
		}
	}
	if _, _, err := s.follow(&journal.Event{Status: journal.Confirmed}, &journal.Row{Op: journal.OpConfirm, Reservation: id}); !errors.Is(err, errUnknownReservation) {
		t.Errorf("a confirm of nothing: %v", err)
	}
}
