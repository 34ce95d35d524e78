package luascripts

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/journal"
)

// bigBooks are Books of so many accounts each, with everything that a Book can hold.
func bigBooks(partitions, accounts int) map[int]*journal.Book {
	books := map[int]*journal.Book{}
	for p := range partitions {
		books[p] = journal.NewBook(p, partitions)
		books[p].Epoch, books[p].Seq, books[p].TimeMS = uint32(p+1), uint64(1000+p), farFuture+int64(p)
		books[p].State.SetDelivered((p+1)%partitions, uint64(p))
		h := journal.SuspenseHandle(p, 3)
		books[p].State.SetAccount(h, journal.Account{Available: 5, Version: 1, Asset: 3})
	}
	for i := range accounts * partitions {
		h := journal.HandleOf(fmt.Sprint("big-", i))
		st := books[h.Partition(partitions)].State
		st.SetAccount(h, journal.Account{Available: -journal.Amount(i), Reserved: journal.Amount(i), Flags: journal.Issuance, Version: uint64(i), StatusSeq: 7})
		st.SetDetails(h, append(appendU56(nil, uint64(i)), `{"id":"x"}`...))
		id := journal.IDOf(h, "key")
		st.SetKey(id, journal.KeyRecord{Status: journal.Tried, Op: journal.OpReserve, TimeMS: int64(i), Epoch: 1, Seq: uint64(i), Content: make([]byte, 29)})
		st.SetReservation(id, journal.Reservation{Status: journal.Tried, Payer: h, Amount: 9, Remaining: 9, CreatedMS: 1, ExpiresMS: 2})
	}
	return books
}

func TestLoadDumpWipe(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	books := bigBooks(3, 1200)
	must(t, s.Load(ctx, books[0], books[1], books[2]))
	for range 2 { // a repeat changes nothing
		got, err := s.Dump(ctx, 3)
		must(t, err)
		for p, want := range books {
			if got[p] == nil || got[p].Epoch != want.Epoch || got[p].Digest() != want.Digest() {
				t.Fatalf("partition %d comes back otherwise than it was loaded", p)
			}
		}
		must(t, s.Load(ctx, books[0], books[1], books[2]))
	}
	parts, err := s.Parts(ctx)
	must(t, err)
	if want := (Part{Partition: 2, Epoch: 3, Seq: 1002, TimeMS: farFuture + 2}); parts[2] != want || len(parts) != 3 {
		t.Errorf("parts are %v", parts)
	}
	must(t, s.Wipe(ctx, 1<<32-1))
	if n := s.client.DBSize(ctx).Val(); n != 0 {
		t.Errorf("%d keys are left after a wipe", n)
	}
	must(t, s.Wipe(ctx, 1<<32-1)) // of nothing
}

// A half-loaded partition never serves, and a keeper that was overtaken while it loaded writes nothing more.
func TestLoadIsFenced(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	books := bigBooks(1, 100)
	old := loader{Shard: s, field: loaderField, token: "the old keeper", sliceMS: testSlice.Milliseconds(), used: map[int64]bool{}}
	began, err := s.scriptInt(ctx, loadBeginScript, old.token, appendU56(nil, uint64(old.sliceMS)), partitionField(0)+"\x00\x00\x00\x01")
	must(t, old.check(began, err))
	must(t, old.prepare(ctx))
	must(t, old.book(ctx, books[0]))
	must(t, old.flush(ctx))
	if parts, _ := s.Parts(ctx); len(parts) != 0 {
		t.Fatalf("a half-loaded partition serves: %v", parts)
	}

	// A new keeper comes, in epoch 2, and loads what it knows.
	fresh := journal.NewBook(0, 1)
	fresh.Epoch, fresh.Seq = 2, 5000
	must(t, s.Wipe(ctx, 1<<32-1))
	must(t, s.Load(ctx, fresh))

	// The old one goes on, and begins anew.
	err = old.book(ctx, books[0])
	if err = errors.Join(err, old.flush(ctx)); !errors.Is(err, ErrOvertaken) {
		t.Errorf("going on: %v", err)
	}
	ended, err := s.scriptInt(ctx, loadEndScript, old.token, partitionField(0), books[0].AppendPart(nil))
	if err := old.check(ended, err); !errors.Is(err, ErrOvertaken) {
		t.Errorf("ending: %v", err)
	}
	if err := s.Load(ctx, books[0]); !errors.Is(err, ErrOvertaken) {
		t.Errorf("beginning anew in epoch 1: %v", err)
	}
	got, err := s.Dump(ctx, 1)
	must(t, err)
	if got[0].Digest() != fresh.Digest() || got[0].Epoch != 2 {
		t.Error("the old keeper has written into the new one's shard")
	}
}

func TestFence(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ctx := t.Context()
	var books []*journal.Book
	for p := range 3 {
		b := journal.NewBook(p, 4)
		b.Epoch, b.Seq, b.TimeMS = 5, uint64(10+p), 77
		books = append(books, b)
	}
	must(t, s.Load(ctx, books...))
	claims := []Claim{
		{Seen: Part{Partition: 0, Epoch: 5, Seq: 10}, Epoch: 6}, // as seen
		{Seen: Part{Partition: 1, Epoch: 5, Seq: 10}, Epoch: 6}, // it has gone on
		{Seen: Part{Partition: 2, Epoch: 4, Seq: 12}, Epoch: 6}, // another keeper was there
		{Seen: Part{Partition: 3, Epoch: 5, Seq: 10}, Epoch: 6}, // nobody has loaded it
	}
	want := []Fenced{
		{Part: Part{0, 6, 10, 77, 0}, Found: true, Done: true},
		{Part: Part{1, 5, 11, 77, 0}, Found: true},
		{Part: Part{2, 5, 12, 77, 0}, Found: true},
		{Part: Part{3, 0, 0, 0, 0}},
	}
	for range 2 { // a repeat after a lost reply answers the same
		got, err := s.Fence(ctx, claims...)
		must(t, err)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("claim %d: %+v, want %+v", i, got[i], want[i])
			}
		}
	}
	// An older keeper that wakes up does not get it back, whatever it has seen.
	got, err := s.Fence(ctx, Claim{Seen: Part{Partition: 0, Epoch: 6, Seq: 10}, Epoch: 5}, Claim{Seen: Part{Partition: 0, Epoch: 5, Seq: 10}, Epoch: 5})
	must(t, err)
	if got[0].Done || got[1].Done || got[1].Part.Epoch != 6 {
		t.Errorf("back to epoch 5: %+v", got)
	}
	var tr Train
	tr.Section(0, 5)
	tr.Add((&journal.Row{Op: journal.OpRead, Account: account("A")}).Append(nil))
	tr.Section(0, 6)
	tr.Add((&journal.Row{Op: journal.OpRead, Account: account("A")}).Append(nil))
	outcomes, err := runTrain(t, s, &tr)
	must(t, err)
	if outcomes[0].Status != journal.StaleEpoch || outcomes[1].Status != journal.AccountNotFound {
		t.Errorf("rows of epochs 5 and 6: %v, %v", outcomes[0].Status, outcomes[1].Status)
	}
}

func TestOutbox(t *testing.T) {
	b := newTeller(t)
	ctx := t.Context()
	if got, err := b.s.ReadOutbox(ctx, 0, 10, 5*time.Millisecond); err != nil || len(got) != 0 {
		t.Fatalf("an empty outbox: %v, %v", got, err)
	}
	// One that waits is woken by the next train.
	type answer struct {
		entries []OutboxEntry
		err     error
	}
	woken := make(chan answer, 1)
	go func() {
		entries, err := b.s.ReadOutbox(context.WithoutCancel(ctx), 0, 10, 10*time.Second)
		woken <- answer{entries, err}
	}()
	waitFor(t, func() bool { return field(t, b.s, "clients", "blocked_clients:") == "1" })
	b.read(`open A -> opened`)
	if got := <-woken; got.err != nil || len(got.entries) != 1 || got.entries[0].ID != 1 {
		t.Fatalf("woken with %+v", got)
	}
	b.read(`
		open A -> account_exists
		open B -> opened
		open C -> opened
		open D -> opened
	`)
	ids := func(after uint64, limit int) (ids []uint64) {
		entries, err := b.s.ReadOutbox(ctx, after, limit, 0)
		must(t, err)
		for _, e := range entries {
			must(t, e.Each(func(h Happened) error {
				ids = append(ids, e.ID)
				if h.FirstSeq != e.ID || h.LastSeq() != e.ID || h.Epoch != 1 || h.TimeMS != farFuture {
					return fmt.Errorf("entry %d: %+v", e.ID, h)
				}
				return nil
			}))
		}
		return ids
	}
	if got := fmt.Sprint(ids(0, 10), ids(2, 10), ids(1, 2), ids(4, 10)); got != "[1 2 3 4] [3 4] [2 3] []" {
		t.Errorf("read %s", got)
	}
	must(t, b.s.Trim(ctx, 1<<32-1, 2))
	must(t, b.s.Trim(ctx, 1<<32-1, 1))
	if got := fmt.Sprint(ids(0, 10)); got != "[3 4]" {
		t.Errorf("behind a trim: %s", got)
	}
	must(t, b.s.Trim(ctx, 1<<32-1, 4))
	b.read(`open E -> opened`)
	if got := fmt.Sprint(ids(0, 10)); got != "[5]" {
		t.Errorf("ids do not go on behind a trim of everything: %s", got)
	}
	// Ids stay whole numbers where Lua would write 1e+15.
	must(t, b.s.client.HSet(ctx, partsKey, counterField, appendU56(nil, 1e15)).Err())
	b.read(`open F -> opened`)
	entries, err := b.s.ReadOutbox(ctx, 5, 10, 0)
	must(t, err)
	if len(entries) != 1 || entries[0].ID != 1e15+1 {
		t.Errorf("behind 10^15: %+v", entries)
	}
}

func TestMarks(t *testing.T) {
	server := local.Redis(t)
	proxy := faultproxy.ForTest(t, server.Addr)
	publisher, subscriber := openShard(t, server.Addr), openShard(t, proxy.Addr())
	subscriber.silence = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan []Mark, 100), make(chan error, 1)
	go func() {
		ended <- subscriber.SubscribeMarks(ctx, func(marks []Mark) { heard <- append([]Mark(nil), marks...) })
	}()
	listening := func() bool {
		return publisher.client.PubSubNumSub(t.Context(), marksChannel).Val()[marksChannel] == 1
	}
	waitFor(t, listening)
	want := []Mark{{0, 1, 5, true}, {1023, 1<<32 - 1, 1<<56 - 1, false}}
	publish := func(marks []Mark) {
		t.Helper()
		if heard, err := publisher.PublishMarks(ctx, marks); heard != 1 || err != nil {
			t.Errorf("%d heard of it, %v", heard, err)
		}
	}
	publish(want)
	if got := <-heard; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	// A connection that is cut is made again.
	proxy.Refuse(true)
	proxy.Cut()
	waitFor(t, func() bool { return !listening() })
	proxy.Heal()
	waitFor(t, listening)
	publish(want[:1])
	if got := <-heard; fmt.Sprint(got) != fmt.Sprint(want[:1]) {
		t.Errorf("heard %v, want %v", got, want[:1])
	}
	// One that is open and dead is found out.
	proxy.BlackHole(true)
	accepted := proxy.Counts().Accepted
	waitFor(t, func() bool { return proxy.Counts().Accepted > accepted })
	proxy.Heal()
	waitFor(t, listening)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// What is no mark ends the subscription: the publisher is of another build.
func TestBadMarks(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	ended := make(chan error, 1)
	go func() { ended <- s.SubscribeMarks(context.WithoutCancel(t.Context()), func([]Mark) {}) }()
	waitFor(t, func() bool { return s.client.Publish(t.Context(), marksChannel, "odd").Val() == 1 })
	if err := <-ended; !errors.Is(err, ErrBadMarks) {
		t.Errorf("ended with %v", err)
	}
}
