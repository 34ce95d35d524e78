package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Commands wait while a frame is on its way, leave together, and are answered in any order.
func TestCommandsShareFramesAndRepliesComeInAnyOrder(t *testing.T) {
	f := newFake(t)
	var frames, messages, longest atomic.Int64
	f.onFrame = func(c *fakeConn, frame []byte, commands []command) {
		frames.Add(1)
		messages.Add(int64(len(commands)))
		longest.Store(max(longest.Load(), int64(len(frame))))
		rand.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
		text := ""
		for i := range commands {
			text += `{"id":` + jsonOf(commands[i].ID) + `,` + f.execute(commands[i].Transfer.Key, "alice") + "}\n"
		}
		c.send(text)
	}
	c := f.dial(func(cfg *Config) { cfg.InFlight = 4096 })
	const n = 4096
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		transfer := pay(fmt.Sprint("k-", i))
		err := c.Post(AppendTransfer(nil, &transfer), uint64(i), func(end *Completion) {
			defer wg.Done()
			if want := TransferID("alice", fmt.Sprint("k-", end.Tag)); end.Err != nil || end.Result.ID != want {
				t.Errorf("%d: got %+v, want %v", end.Tag, end, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Flush()
	wg.Wait()
	if frames.Load() > n/64 || messages.Load() != n {
		t.Errorf("%d messages in %d frames", messages.Load(), frames.Load())
	}
	if longest.Load() > frameMax {
		t.Errorf("a frame of %d bytes", longest.Load())
	}
}

func TestFrameBounds(t *testing.T) {
	f := newFake(t)
	var most, longest, got atomic.Int64
	f.onFrame = func(c *fakeConn, frame []byte, commands []command) {
		most.Store(max(most.Load(), int64(len(commands))))
		longest.Store(max(longest.Load(), int64(len(frame))))
		got.Add(int64(len(commands)))
	}
	t.Run("messages", func(t *testing.T) {
		c := f.dial(func(cfg *Config) { cfg.FrameMessages = 7 })
		for i := range 100 {
			transfer := pay(fmt.Sprint(i))
			if err := c.Post(AppendTransfer(nil, &transfer), 0, func(*Completion) {}); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush()
		eventually(t, "100 messages", func() bool { return got.Load() == 100 })
		if most.Load() != 7 {
			t.Errorf("%d messages in a frame, want 7", most.Load())
		}
	})
	t.Run("bytes", func(t *testing.T) {
		got.Store(0)
		c := f.dial(nil)
		big := pay("k")
		big.Reference = strings.Repeat("r", 300_000)
		for range 10 {
			if err := c.Post(AppendTransfer(nil, &big), 0, func(*Completion) {}); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush()
		eventually(t, "10 messages", func() bool { return got.Load() == 10 })
		if longest.Load() > frameMax || longest.Load() < 900_000 {
			t.Errorf("the longest frame has %d bytes, want just under 1 MiB", longest.Load())
		}
		big.Reference = strings.Repeat("r", frameMax)
		_, err := c.Transfer(t.Context(), big)
		if Code(err) != "payload_too_large" {
			t.Errorf("got %v, want payload_too_large", err)
		}
	})
}

func TestWindowOfTheGatewayIsKept(t *testing.T) {
	f := newFake(t)
	f.window = 5
	held := make(chan func(), 100)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			held <- func() { c.answer(&commands[i]) }
		}
	}
	c := f.dial(nil)
	ends := make(chan error, 100)
	for i := range 20 {
		if err := c.Go(pay(fmt.Sprint(i)), func(_ Result, err error) { ends <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for left := 20; left > 0; left-- {
		answer := <-held
		if len(held) > 4 {
			t.Fatalf("%d more under way, want at most 5", len(held))
		}
		answer()
		if err := <-ends; err != nil {
			t.Fatal(err)
		}
	}
}

func TestBusyAndWaitingForASlot(t *testing.T) {
	f := newFake(t)
	release := make(chan struct{})
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		<-release
		for i := range commands {
			c.answer(&commands[i])
		}
	}
	c := f.dial(func(cfg *Config) { cfg.InFlight = 2 })
	ends := make(chan error, 2)
	for i := range 2 {
		if err := c.Go(pay(fmt.Sprint(i)), func(_ Result, err error) { ends <- err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Go(pay("more"), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("Go: got %v, want ErrBusy", err)
	}
	if _, err := c.Transfer(deadline(t, 20*time.Millisecond), pay("short")); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Transfer: got %v, want ErrBusy at the deadline", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := c.Transfer(deadline(t, 10*time.Second), pay("patient"))
		got <- err
	}()
	eventually(t, "the patient one waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiters) == 1
	})
	close(release)
	for _, ch := range []chan error{ends, ends, got} {
		if err := <-ch; err != nil {
			t.Error(err)
		}
	}
	if f.movesOf("short") != 0 || f.movesOf("patient") != 1 {
		t.Errorf("short moved %d times, patient %d", f.movesOf("short"), f.movesOf("patient"))
	}
}

// A caller that goes leaves its place in the window until the reply, not longer.
func TestCallerThatGoesLeavesItsPlaceUntilTheReply(t *testing.T) {
	f := newFake(t)
	f.window = 1
	var first *command
	var conn *fakeConn
	came := make(chan struct{})
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		if first == nil {
			first, conn = &commands[0], c
			close(came)
			return
		}
		c.answer(&commands[0])
	}
	c := f.dial(nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-came; cancel() }()
	var unknown *UnknownError
	if _, err := c.Transfer(ctx, pay("gone")); !errors.As(err, &unknown) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	got := make(chan error, 1)
	if err := c.Go(pay("next"), func(_ Result, err error) { got <- err }); err != nil {
		t.Fatal(err)
	}
	if f.movesOf("next") != 0 {
		t.Fatal("next overtook the window")
	}
	conn.answer(first)
	if err := <-got; err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table.busy() != 0 || c.table.inFlight != 0 {
		t.Errorf("%d slots busy, %d in flight after all has ended", c.table.busy(), c.table.inFlight)
	}
}

func TestSilentGatewayIsAskedThenGivenUp(t *testing.T) {
	f := newFake(t)
	var pings atomic.Int64
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			switch m := &commands[i]; {
			case m.ping():
				pings.Add(1)
			case c.number == 1:
				f.execute(m.Transfer.Key, m.Transfer.From) // and says nothing
			default:
				c.answer(m)
			}
		}
	}
	c := f.dial(func(cfg *Config) { cfg.Silence = 200 * time.Millisecond })
	if _, err := c.Transfer(t.Context(), pay("k")); err != nil {
		t.Fatal(err)
	}
	if pings.Load() != 1 || f.sessions.Load() != 2 || f.movesOf("k") != 1 {
		t.Errorf("%d pings, %d sessions, moved %d times", pings.Load(), f.sessions.Load(), f.movesOf("k"))
	}
}

// A gateway that waits for its journal but answers pings is not given up.
func TestSlowGatewayThatAnswersPingsIsKept(t *testing.T) {
	f := newFake(t)
	var slow *command
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			if !commands[i].ping() {
				slow = &commands[i]
				continue
			}
			c.answer(&commands[i])
			if c.f.sessions.Load() == 1 {
				c.answer(slow)
			}
		}
	}
	c := f.dial(func(cfg *Config) { cfg.Silence = 200 * time.Millisecond })
	if _, err := c.Transfer(t.Context(), pay("k")); err != nil || f.sessions.Load() != 1 {
		t.Errorf("got %v over %d sessions", err, f.sessions.Load())
	}
}

// The gateway's {} is answered once; the answer to a {} of ours is not answered again.
func TestPingsAreAnsweredOnce(t *testing.T) {
	f := newFake(t)
	var pings atomic.Int64
	came := make(chan *fakeConn, 1)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			if commands[i].ping() {
				pings.Add(1)
				continue
			}
			c.answer(&commands[i])
			came <- c
		}
	}
	c := f.dial(nil)
	pay1 := func(key string) *fakeConn {
		if _, err := c.Transfer(t.Context(), pay(key)); err != nil {
			t.Fatal(err)
		}
		return <-came
	}
	conn := pay1("1")
	conn.send("{}")
	eventually(t, "an answer to {}", func() bool { return pings.Load() == 1 })
	c.mu.Lock()
	c.asked = true // as if a {} of ours were under way
	c.mu.Unlock()
	conn.send("{}")
	pay1("2") // what the answer would have caused has happened by now
	if pings.Load() != 1 {
		t.Errorf("the answer to a ping was answered")
	}
}

func TestDialRefusals(t *testing.T) {
	for _, row := range []struct {
		name    string
		forge   func(f *fake)
		want    string
		wantErr any
	}{
		{"bad token in the first message", func(f *fake) { f.greeting = `{"id":1,"error":{"code":"unauthenticated","retryable":false}}` }, "unauthenticated", nil},
		{"bad token at the upgrade", func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"code":"permission_denied","retryable":false,"status":403}`)
			}
		}, "permission_denied", nil},
		{"no wallet", func(f *fake) { f.refuse = http.NotFound }, "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			row.forge(f)
			_, err := Dial(deadline(t, 5*time.Second), f.config(nil))
			if err == nil || Code(err) != row.want {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		f := newFake(t)
		cfg := f.config(nil)
		f.http.Close()
		if _, err := Dial(deadline(t, 5*time.Second), cfg); err == nil || ExitCode(err) != 7 {
			t.Errorf("got %v, exit %d", err, ExitCode(err))
		}
	})
	t.Run("hangs", func(t *testing.T) {
		f := newFake(t)
		f.greeting = "{}"
		if _, err := Dial(deadline(t, 50*time.Millisecond), f.config(nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
	t.Run("every problem of the config", func(t *testing.T) {
		_, err := Dial(t.Context(), Config{URL: "ftp://x", InFlight: -1, FrameMessages: -1, Silence: -1})
		for _, want := range []string{"URL", "InFlight", "FrameMessages", "Silence"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not tell of %s", err, want)
			}
		}
	})
}

// A token that is refused at the reconnect ends the client; Refresh replaces it before.
func TestTokens(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		if m := &commands[0]; m.Refresh != nil {
			c.reply(m.ID, `"ok":{}`)
		} else if c.number == 1 {
			c.close(4001)
		} else {
			f.greeting = `{"id":1,"error":{"code":"token_expired","retryable":false}}`
			c.close(4001)
		}
	}
	c := f.dial(func(cfg *Config) { cfg.Token = "old" })
	if err := c.Refresh(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Transfer(t.Context(), pay("k"))
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Code != "token_expired" {
		t.Errorf("got %v, want token_expired", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := strings.Join(f.tokens, " "); got != "old new new" {
		t.Errorf("tokens %q", got)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	f := newFake(t)
	f.window = 1
	came := make(chan struct{}, 10)
	f.onFrame = func(*fakeConn, []byte, []command) { came <- struct{}{} }
	c := f.dial(func(cfg *Config) { cfg.InFlight = 2 })
	ends := make(chan error, 3)
	for _, key := range []string{"sent", "queued"} {
		if err := c.Go(pay(key), func(_ Result, err error) { ends <- err }); err != nil {
			t.Fatal(err)
		}
	}
	<-came
	go func() {
		_, err := c.Transfer(context.Background(), pay("waits"))
		ends <- err
	}()
	eventually(t, "the third waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiters) == 1
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	unknown := 0
	for range 3 {
		err := <-ends
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if Code(err) == "outcome_unknown" {
			unknown++
		}
	}
	if unknown != 1 {
		t.Errorf("%d of unknown outcome, want the one that was sent", unknown)
	}
	if _, err := c.Transfer(t.Context(), pay("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("late: %v", err)
	}
}

// Close works in every state of the connection.
func TestCloseWhileReconnecting(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, _ []command) { c.close(1012) }
	c := f.dial(func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
	if err := c.Go(pay("k"), func(Result, error) {}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is lost", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.session == nil
	})
	c.Close()
}

func TestSubscriptionGoesOnWhereItWas(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			m := &commands[i]
			if m.Subscribe == nil {
				continue
			}
			push := func(v int) string {
				return fmt.Sprintf(`{"push":{"channel":"account:alice","version":%d,"event":{"type":"transfer.received","amount":%d,"position":"3.1.9"}}}`, v, v)
			}
			if m.Subscribe.Since == nil {
				c.send(`{"id":` + jsonOf(m.ID) + `,"ok":{"channel":"account:alice","recovered":false,"snapshot":{"account":"alice","available":7,"version":4,"position":"3.1.4"}}}` +
					"\n" + push(5) + "\n" + push(6))
				c.close(4001) // as a slow consumer
				continue
			}
			c.send(`{"id":` + jsonOf(m.ID) + `,"ok":{"channel":"account:alice","recovered":true}}`)
			for v := m.Subscribe.Since.Version; v < 9; v++ { // the first one a repeat
				c.send(push(int(v)))
			}
		}
	}
	c := f.dial(nil)
	s, err := c.Subscribe(t.Context(), "alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(t.Context(), "alice", 0); err == nil {
		t.Error("subscribed twice")
	}
	for v := uint64(4); v <= 8; v++ {
		p := <-s.Pushes()
		if p.Version != v || (p.Snapshot != nil) != (v == 4) || (p.Event != nil) != (v > 4) {
			t.Errorf("got %+v, want version %d", p, v)
		}
	}
	s.Close()
	if _, open := <-s.Pushes(); open || s.Err() != nil {
		t.Errorf("open %v, err %v after Close", open, s.Err())
	}
}

func TestSlowSubscriberIsCutOff(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			c.reply(commands[i].ID, `"ok":{"channel":"account:alice","recovered":true}`)
			var all bytes.Buffer
			for v := range pushesMax + 1 {
				fmt.Fprintf(&all, `{"push":{"channel":"account:alice","version":%d,"event":{}}}`+"\n", v+2)
			}
			c.send(all.String())
		}
	}
	c := f.dial(nil)
	s, err := c.Subscribe(t.Context(), "alice", 1)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "ErrSlow", func() bool { return errors.Is(s.Err(), ErrSlow) })
	n := 0
	for range s.Pushes() {
		n++
	}
	if n != pushesMax {
		t.Errorf("%d pushes before the end, want %d", n, pushesMax)
	}
}
