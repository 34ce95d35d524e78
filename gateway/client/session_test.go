package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
