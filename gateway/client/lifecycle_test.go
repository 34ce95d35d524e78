package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

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

// TestARefusedSubscribeIsAskedAgainLater: not at once, which would be all that client and gateway do.
func TestARefusedSubscribeIsAskedAgainLater(t *testing.T) {
	const refusals = 4
	var asked []time.Time // by the one goroutine of the connection
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			if asked = append(asked, time.Now()); len(asked) <= refusals {
				c.reply(commands[i].ID, `"error":{"code":"projection_behind","retryable":true}`)
				continue
			}
			c.reply(commands[i].ID, `"ok":{"channel":"account:alice","recovered":true}`)
		}
	}
	c := f.dial(func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = 100*time.Millisecond, 100*time.Millisecond })
	s, err := c.Subscribe(t.Context(), "alice", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(asked); i++ {
		if d := asked[i].Sub(asked[i-1]); d < 45*time.Millisecond { // half of BackoffMin, and the clock's grain
			t.Errorf("asked again after %v", d)
		}
	}
	s.Close()
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
