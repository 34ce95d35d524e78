package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/journal"
)

func TestTransferIsPaidAndNamed(t *testing.T) {
	f := newFake(t)
	c := f.dial(nil)
	got, err := c.Transfer(t.Context(), pay("order-42"))
	if err != nil {
		t.Fatal(err)
	}
	want := Result{ID: TransferID("alice", "order-42"), Status: "confirmed", Key: "order-42",
		Position: journal.Position{Partition: 3, Epoch: 1, Seq: 1}}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKeyIsMadeAndTold(t *testing.T) {
	f := newFake(t)
	c := f.dial(nil)
	got, err := c.Transfer(t.Context(), pay(""))
	if err != nil {
		t.Fatal(err)
	}
	if f.movesOf(got.Key) != 1 || len(got.Key) != 36 || got.Key[14] != '7' {
		t.Errorf("key %q moved %d times, want a UUIDv7 that moved once", got.Key, f.movesOf(got.Key))
	}
}

// The reply is lost in every way; the same key goes out again, and the money moves once.
func TestLostReplyIsAskedAgainWithTheSameKey(t *testing.T) {
	lose := map[string]func(*fakeConn){
		"cut":           func(c *fakeConn) { c.ws.NetConn().Close() },
		"close 1001":    func(c *fakeConn) { c.close(1001) },
		"close 1012":    func(c *fakeConn) { c.close(1012) },
		"close 4001":    func(c *fakeConn) { c.close(4001) },
		"close 4408":    func(c *fakeConn) { c.close(4408) },
		"close 4499":    func(c *fakeConn) { c.close(4499) },
		"unknown":       func(c *fakeConn) {},
		"after refusal": func(c *fakeConn) {},
	}
	for name, how := range lose {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var asked atomic.Int64
			var keys sync.Map
			f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
				for i := range commands {
					m := &commands[i]
					keys.Store(m.Transfer.Key, true)
					switch n := asked.Add(1); {
					case n == 1 && name == "after refusal":
						c.refuse(m.ID, "overloaded", true)
					case n <= 2 && name == "unknown":
						f.execute(m.Transfer.Key, m.Transfer.From)
						c.refuse(m.ID, "outcome_unknown", false)
					case n == 1 || n == 2 && name == "after refusal":
						f.execute(m.Transfer.Key, m.Transfer.From)
						how(c)
						if name == "after refusal" {
							c.ws.NetConn().Close()
						}
					default:
						c.answer(m)
					}
				}
			}
			c := f.dial(nil)
			got, err := c.Transfer(t.Context(), pay(""))
			if err != nil {
				t.Fatal(err)
			}
			if asked.Load() < 2 {
				t.Errorf("asked %d times, want again", asked.Load())
			}
			n := 0
			keys.Range(func(any, any) bool { n++; return true })
			if n != 1 || f.movesOf(got.Key) != 1 {
				t.Errorf("%d keys, moved %d times", n, f.movesOf(got.Key))
			}
		})
	}
}

func TestTerminalCloseEndsTheClient(t *testing.T) {
	for _, code := range []int{4500, 4503, 1009, 1003, 1008} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			f := newFake(t)
			f.onFrame = func(c *fakeConn, _ []byte, _ []command) { c.close(code) }
			c := f.dial(nil)
			_, err := c.Transfer(t.Context(), pay("k"))
			var ended *EndedError
			if !errors.As(err, &ended) || ended.CloseCode != code {
				t.Fatalf("got %v, want the end by code %d", err, code)
			}
			var unknown *UnknownError
			if !errors.As(err, &unknown) || unknown.Key != "k" {
				t.Errorf("got %v, want to hear that the outcome of k is unknown", err)
			}
			if _, err = c.Transfer(t.Context(), pay("k")); !errors.As(err, &ended) || errors.As(err, &unknown) {
				t.Errorf("later: got %v, want the end, and nothing unknown", err)
			}
			if f.sessions.Load() != 1 {
				t.Errorf("%d sessions, want no reconnect", f.sessions.Load())
			}
		})
	}
}

func TestRefusalIsTypedAndNeverRetried(t *testing.T) {
	f := newFake(t)
	var asked atomic.Int64
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		asked.Add(1)
		c.reply(commands[0].ID, `"error":{"code":"insufficient_funds","retryable":false,"needed":250,"side":"payer","field":"amount","detail":"short"}`)
	}
	c := f.dial(nil)
	_, err := c.Transfer(t.Context(), pay("k"))
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v", err)
	}
	want := RefusedError{Code: "insufficient_funds", Needed: 250, Side: "payer", Field: "amount", Detail: "short"}
	if *refused != want {
		t.Errorf("got %+v, want %+v", *refused, want)
	}
	if asked.Load() != 1 || Code(err) != "insufficient_funds" || ExitCode(err) != 4 {
		t.Errorf("asked %d times, code %s, exit %d", asked.Load(), Code(err), ExitCode(err))
	}
}

func TestRefusalForNowIsAskedAgain(t *testing.T) {
	for _, row := range []struct {
		code            string
		retries, refuse int
		wantErr         string
		wantAsked       int64
	}{
		{"overloaded", 0, 3, "", 4},
		{"partition_moving", 5, 5, "", 6},
		{"rate_limited", 2, 9, "rate_limited", 3},
		{"draining", -1, 9, "draining", 1},
		{"in_progress", 0, 1, "", 2},
	} {
		t.Run(fmt.Sprint(row.code, row.retries), func(t *testing.T) {
			f := newFake(t)
			var asked atomic.Int64
			f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
				if asked.Add(1) <= int64(row.refuse) {
					c.refuse(commands[0].ID, row.code, true)
				} else {
					c.answer(&commands[0])
				}
			}
			c := f.dial(func(cfg *Config) { cfg.Retries = row.retries })
			_, err := c.Transfer(t.Context(), pay("k"))
			if Code(err) != row.wantErr || asked.Load() != row.wantAsked {
				t.Errorf("got %v after %d attempts, want %q after %d", err, asked.Load(), row.wantErr, row.wantAsked)
			}
		})
	}
}

// retry_after in the reply is obeyed.
func TestRetryAfterIsObeyed(t *testing.T) {
	f := newFake(t)
	var first time.Time
	var waited time.Duration
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		if first.IsZero() {
			first = time.Now()
			c.reply(commands[0].ID, `"error":{"code":"overloaded","retryable":true,"retry_after":0.2}`)
			return
		}
		waited = time.Since(first)
		c.answer(&commands[0])
	}
	c := f.dial(nil)
	if _, err := c.Transfer(t.Context(), pay("k")); err != nil || waited < 200*time.Millisecond {
		t.Errorf("got %v after %v, want at least 200ms", err, waited)
	}
}

// What a caller hears when its time is over says exactly what is known.
func TestDeadlineTellsWhatIsKnown(t *testing.T) {
	for _, row := range []struct {
		name     string
		onFrame  func(c *fakeConn, asked int64, m *command)
		unknown  bool
		refused  string
		prepared func(t *testing.T, c *Client)
	}{
		{"sent, no answer", func(*fakeConn, int64, *command) {}, true, "", nil},
		{"refused for now", func(c *fakeConn, _ int64, m *command) { c.refuse(m.ID, "overloaded", true) }, false, "overloaded", nil},
		{"unknown for now", func(c *fakeConn, _ int64, m *command) { c.refuse(m.ID, "outcome_unknown", false) }, true, "", nil},
		{"lost, then refused for now", func(c *fakeConn, asked int64, m *command) {
			if asked == 1 {
				c.ws.NetConn().Close()
			} else {
				c.refuse(m.ID, "overloaded", true)
			}
		}, true, "", nil},
		{"lost, then refused before the key was looked at", func(c *fakeConn, asked int64, m *command) {
			if asked == 1 {
				c.ws.NetConn().Close()
			} else {
				c.refuse(m.ID, "permission_denied", false)
			}
		}, true, "", nil},
		{"lost, then refused for good", func(c *fakeConn, asked int64, m *command) {
			if asked == 1 {
				c.ws.NetConn().Close()
			} else {
				c.refuse(m.ID, "insufficient_funds", false)
			}
		}, false, "insufficient_funds", nil},
		{"not sent: the window is full", func(*fakeConn, int64, *command) {}, false, "", func(t *testing.T, c *Client) {
			if err := c.Go(pay("first"), func(Result, error) {}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			f.window = 1
			var asked atomic.Int64
			f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
				for i := range commands {
					if !commands[i].ping() {
						row.onFrame(c, asked.Add(1), &commands[i])
					}
				}
			}
			c := f.dial(func(cfg *Config) {
				if row.name == "refused for now" { // no attempt is under way at the end
					cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour
				}
			})
			if row.prepared != nil {
				row.prepared(t, c)
			}
			ctx := deadline(t, 300*time.Millisecond)
			_, err := c.Transfer(ctx, pay("k"))
			var unknown *UnknownError
			if errors.As(err, &unknown) != row.unknown || row.unknown && unknown.Key != "k" {
				t.Errorf("got %v, unknown wanted: %v", err, row.unknown)
			}
			if row.refused != "" && Code(err) != row.refused {
				t.Errorf("got %v, want %s", err, row.refused)
			}
			if !row.unknown && row.refused == "" && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nothing moved")) {
				t.Errorf("got %v, want to hear that it was not sent", err)
			}
		})
	}
}

// A caller that goes while its command waits for another attempt hears of the refusal: nothing has moved.
func TestCallerThatGoesBetweenAttemptsHearsTheRefusal(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) { c.refuse(commands[0].ID, "overloaded", true) }
	c := f.dial(func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax, cfg.Timeout = time.Hour, time.Hour, 2*time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := c.Transfer(ctx, pay("k"))
		got <- err
	}()
	eventually(t, "the command waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.ContainsFunc(c.table.slots, func(s slot) bool { return s.state == slotWaiting })
	})
	cancel()
	if err := <-got; Code(err) != "overloaded" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want overloaded and the cancellation", err)
	}
}

// Go and Post have no context: Config.Timeout ends them.
func TestTimeoutEndsGo(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(*fakeConn, []byte, []command) {}
	c := f.dial(func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	end := make(chan error, 1)
	if err := c.Go(pay("k"), func(_ Result, err error) { end <- err }); err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownError
	if err := <-end; !errors.As(err, &unknown) || unknown.Key != "k" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the outcome of k unknown", err)
	}
}

// 3,000 payments over connections that are cut again and again: each moves once, and each is answered.
func TestCutConnectionsNeverMoveTwice(t *testing.T) {
	f := newFake(t)
	var executed atomic.Int64
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			m := &commands[i]
			if m.ping() {
				c.answer(m)
				continue
			}
			outcome := f.execute(m.Transfer.Key, m.Transfer.From)
			if executed.Add(1)%70 == 0 { // done, and nobody hears of it
				c.ws.NetConn().Close()
				return
			}
			c.reply(m.ID, outcome)
		}
	}
	c := f.dial(func(cfg *Config) { cfg.InFlight = 128 })
	var failed atomic.Int64
	var callers sync.WaitGroup
	const workers, each = 60, 50
	for w := range workers {
		callers.Go(func() {
			for i := range each {
				key := fmt.Sprintf("k-%d-%d", w, i)
				got, err := c.Transfer(t.Context(), pay(key))
				if err != nil || got.ID != TransferID("alice", key) {
					failed.Add(1)
					t.Errorf("%s: %v %v", key, got, err)
				}
			}
		})
	}
	callers.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.moves) != workers*each {
		t.Errorf("%d keys, want %d", len(f.moves), workers*each)
	}
	for key, n := range f.moves {
		if n != 1 {
			t.Errorf("%s moved %d times", key, n)
		}
	}
	if f.sessions.Load() < 10 {
		t.Errorf("%d sessions: nothing was cut", f.sessions.Load())
	}
}
