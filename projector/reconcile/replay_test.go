package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
	"walletd/projector/internal/history"
)

func TestReplayTellsEveryEvent(t *testing.T) {
	h := history.New(shape(40))
	h.DeliverAll()
	for _, fold := range []bool{false, true} {
		next := make([]uint64, h.Partitions)
		epochs, dropped := 0, map[journal.Verdict]int{}
		reports, err := Replay(t.Context(), ReplayConfig{Log: h.Log, Fold: fold}, func(r *Replayed) error {
			d := r.Describe(journal.DevAssets)
			switch {
			case r.Epoch != nil:
				epochs++
				if name, ms := r.Keeper(); name == "" || ms == 0 || d.Op != "epoch_started" || d.Keeper != name {
					t.Errorf("%+v", d)
				}
				return nil
			case r.Event == nil:
				dropped[r.Dropped]++
				return nil
			}
			want := &h.Events[r.Partition][next[r.Partition]]
			next[r.Partition]++
			equal(t, "event", r.Event.Position, want.Position)
			equal(t, "packed", string(r.Event.Packed), string(want.Packed))
			equal(t, "position", d.Position, want.String())
			if changes := h.Changes[r.Partition][want.Seq-1]; fold && !slices.Equal(r.Changes, changes) {
				t.Errorf("changes %v, want %v", r.Changes, changes)
			}
			return nil
		})
		must(t, err)
		for p, r := range reports {
			equal(t, "events", int(next[p]), len(h.Events[p]))
			equal(t, "seq", r.Seq, next[p])
			digest := h.Books[p].Digest()
			equal(t, "digest", r.Digest, map[bool]string{true: hexOf(digest[:])}[fold])
			epochs -= int(r.Epoch)
		}
		equal(t, "epochs not told", epochs, 0)
		for why, n := range h.Dropped {
			equal(t, string(why), dropped[why], n)
		}
	}
}

func TestReplayEnds(t *testing.T) {
	h := history.New(shape(41))
	enough := errors.New("I have seen enough")
	told := 0
	_, err := Replay(t.Context(), ReplayConfig{Log: h.Log}, func(*Replayed) error {
		if told++; told == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || told != 10 {
		t.Errorf("%d told: %v", told, err)
	}
	log := h.Log.Clone()
	log.Flip(0, 9, journal.FrameHeadSize, 1)
	reports, err := Replay(t.Context(), ReplayConfig{Log: log, Partitions: []int{0}}, func(*Replayed) error { return nil })
	if !errors.Is(err, journal.ErrDamaged) || len(reports) != 1 || reports[0].Records != 9 {
		t.Errorf("%+v: %v", reports, err)
	}
}

func TestReplayFollows(t *testing.T) {
	h := history.New(shape(42))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events := func() (n int64) {
		for p := range h.Events {
			n += int64(len(h.Events[p]))
		}
		return n
	}
	before := events()
	var old, live atomic.Int64
	reached, followed := make(chan struct{}), make(chan struct{})
	go func() { // the wallet goes on once the replay is at the end, and the replay ends when it has told everything
		defer close(followed)
		<-reached
		h.More(300)
		for want := events(); old.Load()+live.Load() < want && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := Replay(ctx, ReplayConfig{Log: h.Log, Follow: true}, func(r *Replayed) error {
		switch {
		case r.Event == nil:
		case r.Live:
			live.Add(1)
		case old.Add(1) == before:
			close(reached)
		}
		return nil
	})
	<-followed
	if !errors.Is(err, context.Canceled) || old.Load()+live.Load() != events() || live.Load() == 0 {
		t.Errorf("%d + %d live of %d events: %v", old.Load(), live.Load(), events(), err)
	}
}

func TestEventsInWords(t *testing.T) {
	log := history.NewLog(2)
	w := history.NewWriter(log, 0)
	w.Epoch(1_700_000_000_000, "keeper-1")
	var accounts [2]journal.Handle // alice in partition 0, bob in partition 1
	names := [2]string{}
	for i, name := range []string{"alice", "bob"} {
		for n := 0; names[i] == ""; n++ {
			if id := fmt.Sprintf("%s%d", name, n); journal.HandleOf(id).Partition(2) == i {
				names[i], accounts[i] = id, journal.HandleOf(id)
			}
		}
	}
	seq := uint64(0)
	add := func(r journal.Row, s journal.Status) {
		seq++
		w.Add(journal.Event{Position: journal.Position{Partition: 0, Epoch: 1, Seq: seq}, TimeMS: 1_700_000_000_000 + int64(seq), Status: s, Packed: r.Append(nil)})
	}
	add(journal.Row{Op: journal.OpOpen, Account: accounts[0], OverdraftLimit: 500, Text: fmt.Appendf(nil, `{"id":%q,"asset":"USD"}`, names[0])}, journal.Opened)
	pay := journal.Row{Op: journal.OpPay, ID: journal.IDOf(accounts[0], "k-1"), Account: accounts[0], To: accounts[1], Amount: 120, Key: []byte("k-1"), ToText: []byte(names[1]), Reference: []byte("order 42")}
	add(pay, journal.Confirmed)
	reserve := journal.Row{Op: journal.OpReserve, Verdict: journal.VerdictLocal, ID: journal.IDOf(accounts[0], "k-2"), Account: accounts[0], Amount: 700, ExpiresInS: 60, Key: []byte("k-2")}
	add(reserve, journal.InsufficientFunds)
	deliver := journal.Row{Op: journal.OpDeliver, Source: 1, From: 0, UpTo: 9}
	deliver.AddLeg(journal.Leg{Of: journal.OpPay, ID: pay.ID, Payer: accounts[1], Payee: accounts[0], Amount: 33})
	add(deliver, journal.Delivered)
	w.Cut()
	var lines []string
	_, err := Replay(t.Context(), ReplayConfig{Log: log, Partitions: []int{0}, Fold: true}, func(r *Replayed) error {
		lines = append(lines, r.Describe(journal.DevAssets).String())
		return nil
	})
	must(t, err)
	want := []string{
		"0.1          2023-11-14T22:13:20.000Z epoch_started by keeper-1",
		"0.1.1        2023-11-14T22:13:20.001Z open     opened ALICE USD overdraft limit 500\n    ALICE version 1: available 0 reserved 0",
		"0.1.2        2023-11-14T22:13:20.002Z pay      confirmed ALICE → BOB 120 USD PAY key \"k-1\" reference \"order 42\"\n    ALICE version 2: available -120 reserved 0\n    to be delivered: 120 USD to BOB",
		"0.1.3        2023-11-14T22:13:20.003Z reserve  insufficient_funds ALICE 700 USD RESERVE key \"k-2\" expires in 60 s",
		"0.1.4        2023-11-14T22:13:20.004Z deliver  delivered from partition 1 seq 0…9\n    pay PAY: 33 USD from BOB to ALICE\n    ALICE version 3: available -87 reserved 0",
	}
	fill := strings.NewReplacer("ALICE", names[0], "BOB", names[1], "PAY", pay.ID.Text(journal.TransferPrefix), "RESERVE", reserve.ID.Text(journal.ReservationPrefix))
	for i := range want {
		equal(t, "line", lines[i], fill.Replace(want[i]))
	}
}
