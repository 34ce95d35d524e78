package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"walletd/gateway/client"
	"walletd/journal"
)

// PushConfig says how many subscribe, and what they are told.
type PushConfig struct {
	Config      // URL, Token, Processes; Accounts are those that are paid and subscribed to
	Subscribers int
	Transfers   int // in each of the two runs, without subscribers and with them
	PerSecond   int
}

// PushReport is what subscribers cost.
type PushReport struct {
	Subscribers         int     `json:"subscribers"`
	Accounts            int     `json:"accounts"`
	Transfers           int     `json:"transfers"`
	Pushes              int64   `json:"pushes"`
	BytesPerSubscriber  float64 `json:"bytes_per_subscriber"` // of walletd's memory
	CPUAlone            float64 `json:"cpu_us_per_transfer_without"`
	CPUSubscribed       float64 `json:"cpu_us_per_transfer_with"`
	CPUPerPush          float64 `json:"cpu_us_per_push"`
	LastPushMS          float64 `json:"last_push_ms"` // behind the last transfer's answer
	Void                bool    `json:"void"`
	Reason              string  `json:"reason,omitempty"`
	SubscribedPerSecond float64 `json:"subscribed_per_s"`
}

// Table is the report for people.
func (r *PushReport) Table() string {
	return fmt.Sprintf("%d subscribers of %d accounts (%.0f a second began), %.1f KiB of walletd's memory each\n%d transfers, %d pushes\nwalletd CPU-µs a transfer: %.1f without subscribers, %.1f with; %.2f a push\nthe last push came %.0f ms behind the last answer\n",
		r.Subscribers, r.Accounts, r.SubscribedPerSecond, r.BytesPerSubscriber/1024, r.Transfers, r.Pushes, r.CPUAlone, r.CPUSubscribed, r.CPUPerPush, r.LastPushMS)
}

// Push pays accounts twice, before and after many have subscribed to them, and measures walletd.
func Push(ctx context.Context, c PushConfig) (r PushReport, err error) {
	r = PushReport{Subscribers: c.Subscribers, Accounts: c.Accounts, Transfers: c.Transfers}
	rest, err := client.NewREST(client.Config{URL: c.URL, Token: c.Token})
	if err != nil {
		return r, err
	}
	defer rest.Close()
	wallet, err := client.Dial(ctx, client.Config{URL: c.URL, Token: c.Token})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, wallet.Close()) }()
	if _, err := rest.CreateAccount(ctx, client.AccountCreate{ID: "push-bank", Asset: "USD", Issuance: true}); err != nil {
		return r, err
	}
	for i := range c.Accounts {
		if _, err := rest.CreateAccount(ctx, client.AccountCreate{ID: pushed(i), Asset: "USD"}); err != nil {
			return r, err
		}
	}
	if r.CPUAlone, err = c.pay(ctx, wallet, "a"); err != nil {
		return r, err
	}
	before := c.memory()
	crowd := &subscribers{}
	defer crowd.close()
	began := time.Now()
	if err := crowd.open(ctx, &c); err != nil {
		return r, err
	}
	r.SubscribedPerSecond = float64(c.Subscribers) / time.Since(began).Seconds()
	r.BytesPerSubscriber = float64(c.memory()-before) / float64(c.Subscribers)
	if r.CPUSubscribed, err = c.pay(ctx, wallet, "b"); err != nil {
		return r, err
	}
	want := int64(0)
	for i := range c.Accounts { // the i-th is paid and watched this often
		want += int64(share(c.Transfers, c.Accounts, i)) * int64(share(c.Subscribers, c.Accounts, i))
	}
	answered := time.Now()
	for crowd.pushes.Load() < want && time.Since(answered) < time.Minute && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	r.LastPushMS = float64(time.Since(answered).Microseconds()) / 1000
	if r.Pushes = crowd.pushes.Load(); r.Pushes != want {
		r.Void, r.Reason = true, fmt.Sprintf("%d pushes came, want %d", r.Pushes, want)
	}
	if r.Pushes > 0 {
		r.CPUPerPush = (r.CPUSubscribed - r.CPUAlone) * float64(c.Transfers) / float64(r.Pushes)
	}
	return r, ctx.Err()
}

func pushed(i int) string { return "push-" + strconv.Itoa(i) }

// share is how many of n fall to the i-th of so many in turn.
func share(n, of, i int) int { return (n + of - 1 - i) / of }

// pay pays the accounts in turn, and answers walletd's CPU-µs a transfer.
func (c *PushConfig) pay(ctx context.Context, wallet *client.Client, run string) (float64, error) {
	before, err := readCPU(&c.Processes)
	if err != nil {
		return 0, err
	}
	var failed atomic.Pointer[error]
	var done sync.WaitGroup
	began := time.Now()
	for i := range c.Transfers {
		if due := began.Add(time.Duration(i) * time.Second / time.Duration(c.PerSecond)); i%64 == 0 {
			time.Sleep(time.Until(due))
		}
		t := client.Transfer{Key: fmt.Sprintf("%s-%s-%d", run, strconv.FormatInt(began.UnixNano(), 36), i), From: "push-bank", To: pushed(i % c.Accounts), Amount: journal.Amount(1), Asset: "USD"}
		done.Add(1)
		end := func(_ client.Result, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			done.Done()
		}
		for err := wallet.Go(t, end); err != nil; err = wallet.Go(t, end) {
			if !errors.Is(err, client.ErrBusy) || ctx.Err() != nil {
				done.Done()
				return 0, err
			}
			time.Sleep(time.Millisecond)
		}
	}
	done.Wait()
	time.Sleep(500 * time.Millisecond) // the projection, and pushes, catch up
	after, err := readCPU(&c.Processes)
	if e := failed.Load(); e != nil {
		err = errors.Join(err, *e)
	}
	return float64(after.walletd-before.walletd) / float64(c.Transfers), err
}

// memory is what walletd holds, bytes.
func (c *PushConfig) memory() (sum int64) {
	for _, pid := range c.Processes.Walletd {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// subscribers are bare connections, each with one subscription.
type subscribers struct {
	pushes atomic.Int64
	mu     sync.Mutex
	conns  []*websocket.Conn
	reads  sync.WaitGroup
}

func (s *subscribers) open(ctx context.Context, c *PushConfig) error {
	address := "ws" + strings.TrimPrefix(c.URL, "http") + "/v1/ws"
	var opened sync.WaitGroup
	var failed atomic.Pointer[error]
	next := make(chan int)
	for range 16 {
		opened.Go(func() {
			for i := range next {
				if err := s.subscribe(ctx, address, c.Token, i%c.Accounts); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for i := range c.Subscribers {
		next <- i
	}
	close(next)
	opened.Wait()
	if e := failed.Load(); e != nil {
		return *e
	}
	return nil
}

func (s *subscribers) subscribe(ctx context.Context, address, token string, account int) error {
	d := websocket.Dialer{Subprotocols: []string{"wallet.v1.json"}, ReadBufferSize: 1024, WriteBufferSize: 1024}
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	ws, reply, err := d.DialContext(ctx, address, h)
	if err != nil {
		return fmt.Errorf("subscriber: %w", err)
	}
	_ = reply.Body.Close() // in memory, says the library
	s.mu.Lock()
	s.conns = append(s.conns, ws)
	s.mu.Unlock()
	hello := `{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"account:` + pushed(account) + `"}}`
	if err := ws.WriteMessage(websocket.TextMessage, []byte(hello)); err != nil {
		return fmt.Errorf("subscriber: %w", err)
	}
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			return fmt.Errorf("subscriber: %w", err)
		}
		if bytes.Contains(b, []byte(`"recovered":false`)) {
			break
		}
		if bytes.Contains(b, []byte(`"error"`)) {
			return fmt.Errorf("subscriber: %s", b)
		}
	}
	s.reads.Go(func() {
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			s.pushes.Add(int64(bytes.Count(b, []byte(`{"push":`))))
			if bytes.Equal(b, []byte("{}")) {
				_ = ws.WriteMessage(websocket.TextMessage, b) // a connection that is gone ends the reading
			}
		}
	})
	return nil
}

func (s *subscribers) close() {
	s.mu.Lock()
	for _, ws := range s.conns {
		_ = ws.Close()
	}
	s.mu.Unlock()
	s.reads.Wait()
}
