package lane

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/journal"
	"walletd/luascripts"
)

// config asks a Redis for a setting, as an operator would.
func (w *world) redisCLI(server int, args ...string) string {
	w.Helper()
	host, port, _ := strings.Cut(w.redis[server].Addr, ":")
	out, err := exec.CommandContext(w.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return string(out)
}

func isTrain(request []byte) bool {
	return bytes.Contains(bytes.ToLower(request[:min(len(request), 64)]), []byte("fcall"))
}

// quick makes clients that give an answer up after a short time.
func quick(c *Config) {
	c.Open = func(addr string, epoch uint32) (Shard, error) {
		return luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch, ReadTimeout: 150 * time.Millisecond, DialTimeout: 150 * time.Millisecond})
	}
}

// proxied is a world with a proxy before its shard.
func proxied(t *testing.T, change func(*Config)) (*world, *faultproxy.Proxy) {
	var p *faultproxy.Proxy
	w := newWorld(t, 1, func(addr string) string { p = faultproxy.ForTest(t, addr); return p.Addr() }, change)
	return w, p
}

// TestLostRepliesMoveOnce: trains run and their replies are lost, again and again; every transfer happens exactly once.
func TestLostRepliesMoveOnce(t *testing.T) {
	w, proxy := proxied(t, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	const n = 2000
	s := newSink()
	var dropped []<-chan struct{}
	for i := range n {
		if i%200 == 0 {
			dropped = append(dropped, proxy.DropNextReply(isTrain))
		}
		w.send(s, 1, transfer(bank, shop, fmt.Sprint("k", i), 1))
	}
	outs := s.wait(t, n)
	replayed := 0
	for tag, o := range outs {
		if o.Status != journal.Confirmed {
			t.Fatalf("row %d: %v", tag, o.Status)
		}
		if o.Replayed {
			replayed++
		}
	}
	if got := w.available(shop); got != n {
		t.Errorf("%d moved, want %d", got, n)
	}
	if replayed == 0 || proxy.Counts().DroppedReplies == 0 || w.stats().Unknown == 0 {
		t.Errorf("no reply was lost: %d replayed, %+v of %d", replayed, proxy.Counts(), len(dropped))
	}
}

// TestLostReplyOfEachAct: what each act answers when it ran and its reply was lost.
func TestLostReplyOfEachAct(t *testing.T) {
	w, proxy := proxied(t, nil)
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	fund := w.open(1, "fund", 0)
	w.durable()
	if o := w.ask(1, transfer(bank, fund, "fund", 100)); o.Status != journal.Confirmed {
		t.Fatal(o.Status)
	}
	for _, key := range []string{"r1", "r2"} {
		r := journal.Row{Op: journal.OpReserve, Verdict: journal.VerdictLocal, ID: journal.IDOf(fund, key), Account: fund, To: shop, Amount: 10, ExpiresInS: 60}
		if o := w.ask(1, r); o.Status != journal.Tried {
			t.Fatal(o.Status)
		}
	}
	r1, r2 := journal.IDOf(fund, "r1"), journal.IDOf(fund, "r2")
	a, _, err := (func() (journal.Account, []byte, error) {
		o := w.ask(1, journal.Row{Op: journal.OpRead, Account: shop})
		return o.Account()
	})()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what     string
		row      journal.Row
		want     journal.Status
		replayed bool
	}{
		{"transfer", transfer(bank, shop, "t", 5), journal.Confirmed, true},
		{"confirm", journal.Row{Op: journal.OpConfirm, Verdict: journal.VerdictLocal, ID: journal.ConfirmIDOf(r1, "c"), Reservation: r1, To: shop, Final: true}, journal.Confirmed, true},
		{"cancel", journal.Row{Op: journal.OpCancel, ID: r2}, journal.OK, false},
		{"open", journal.Row{Op: journal.OpOpen, Account: account(1, "new"), Text: []byte(`{}`)}, journal.AccountExists, false},
		{"alter", journal.Row{Op: journal.OpAlter, Account: shop, ExpectedStatusSeq: a.StatusSeq, Flags: journal.FrozenSending, Text: []byte(`{}`)}, journal.OutcomeUnknown, false},
		{"transfer of a payer unknown so far", transfer(account(1, "nobody"), shop, "t", 5), journal.OutcomeUnknown, false},
		{"read", journal.Row{Op: journal.OpRead, Account: shop}, journal.OK, false},
	} {
		gone := proxy.DropNextReply(isTrain)
		o := w.ask(1, c.row)
		<-gone
		if o.Status != c.want || o.Replayed != c.replayed {
			t.Errorf("%s: %v replayed %t, want %v replayed %t", c.what, o.Status, o.Replayed, c.want, c.replayed)
		}
	}
	if got := w.available(shop); got != 5+10 {
		t.Errorf("the shop has %d", got)
	}
}

// TestShardOutOfReach: provably nothing moved; rows wait a while for it to come back, then they are refused, and while it
// stays away new rows are refused at once.
func TestShardOutOfReach(t *testing.T) {
	w, proxy := proxied(t, func(c *Config) { c.RetryFor = 500 * time.Millisecond })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	proxy.Refuse(true)
	proxy.Cut()

	s := newSink()
	w.send(s, 1, transfer(bank, shop, "back in time", 1))
	w.eventually("it was tried", func() bool { return w.stats().Faults > 1 })
	proxy.Refuse(false)
	if o := s.wait(t, 1)[w.tag]; o.Status != journal.Confirmed {
		t.Fatalf("back in time: %v", o.Status)
	}

	proxy.Refuse(true)
	proxy.Cut()
	began := time.Now()
	if o := w.ask(1, transfer(bank, shop, "away", 2)); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if took := time.Since(began); took < 400*time.Millisecond || took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
	began = time.Now()
	if o := w.ask(2, journal.Row{Op: journal.OpRead, Account: account(2, "any")}); o.Status != journal.ShardUnavailable {
		t.Errorf("%v", o.Status)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("a shard known to be away refuses after %v", took)
	}
	proxy.Refuse(false)
	w.eventually("it serves again", func() bool { return w.ask(1, transfer(bank, shop, "again", 4)).Status == journal.Confirmed })
	if got := w.available(shop); got != 5 {
		t.Errorf("the shop has %d", got)
	}
}

// TestAnswerThatNeverComes: the shard may have run the train. It is sent again until a bound, then nobody knows.
func TestAnswerThatNeverComes(t *testing.T) {
	w, proxy := proxied(t, func(c *Config) { quick(c); c.UnsureFor, c.RetryFor = 600*time.Millisecond, 300*time.Millisecond })
	bank := w.open(1, "bank", journal.Issuance)
	shop := w.open(1, "shop", 0)
	w.durable()
	w.ask(1, transfer(bank, shop, "warm", 1))
	proxy.BlackHole(true)
	s := newSink()
	first := w.send(s, 1, transfer(bank, shop, "k", 2))
	w.eventually("it is on its way", func() bool { return w.stats().Unknown > 0 })
	second := w.send(s, 1, transfer(bank, shop, "never sent", 4))
	if _, ok := s.wait(t, 1)[second]; !ok {
		t.Error("what was never sent waits for what may have run")
	}
	outs := s.wait(t, 2)
	if outs[first].Status != journal.OutcomeUnknown || outs[second].Status != journal.ShardUnavailable {
		t.Errorf("%v, and what waited behind it %v", outs[first].Status, outs[second].Status)
	}
	proxy.Heal()
	w.eventually("the first can be asked again", func() bool { return w.ask(1, transfer(bank, shop, "k", 2)).Status == journal.Confirmed })
	if got := w.available(shop); got != 3 {
		t.Errorf("the shop has %d", got)
	}
}

// TestElsewhereWhileATrainHangs: a shard has been out of reach for as long as rows wait, and the train that finds that out was sent
// before the map showed another place: nobody is refused, they go there.
func TestElsewhereWhileATrainHangs(t *testing.T) {
	var runs atomic.Int64
	w, proxy := proxied(t, func(c *Config) {
		c.RetryFor = 300 * time.Millisecond
		c.Open = func(addr string, epoch uint32) (Shard, error) {
			s, err := luascripts.Open(luascripts.Config{Addr: addr, Epoch: epoch, ReadTimeout: time.Second})
			return &counted{s, &runs}, err
		}
	})
	w.open(1, "warm", 0)
	proxy.BlackHole(true)
	before := runs.Load()
	s := newSink()
	hangs := w.send(s, 1, opening(account(1, "hangs")))
	w.eventually("it is sent again", func() bool { return runs.Load() == before+2 })
	waits := w.send(s, 1, opening(account(1, "waits")))
	w.load(0, 2)
	w.republish(0, 2, w.redis[0].Addr)
	w.durable()
	if outs := s.wait(t, 2); outs[hangs].Status != journal.Opened || outs[waits].Status != journal.Opened {
		t.Errorf("%v, and what waited behind it %v", outs[hangs].Status, outs[waits].Status)
	}
}

// counted counts the trains that left.
type counted struct {
	*luascripts.Shard
	runs *atomic.Int64
}

func (s *counted) Run(ctx context.Context, t *luascripts.Train) (luascripts.Reply, error) {
	s.runs.Add(1)
	return s.Shard.Run(ctx, t)
}

func opening(h journal.Handle) journal.Row {
	return journal.Row{Op: journal.OpOpen, Account: h, Text: []byte(`{"id":"x"}`)}
}
