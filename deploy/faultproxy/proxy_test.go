package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"walletd/deploy/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

// connectTo is a client that tries everything once and waits for at most a second.
func connectTo(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr:                  addr,
		MaxRetries:            -1, // a retry would hide the fault, and count twice
		DialTimeout:           time.Second,
		DialerRetries:         1,
		ReadTimeout:           time.Second,
		WriteTimeout:          time.Second,
		ContextTimeoutEnabled: true,
		PoolSize:              4,
		DisableIdentity:       true,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// rig is a Redis, a client that goes to it through a proxy, and one that goes straight.
func rig(t *testing.T) (p *Proxy, through, straight *redis.Client) {
	t.Helper()
	server := local.Redis(t)
	p = ForTest(t, server.Addr)
	return p, connectTo(t, p.Addr()), connectTo(t, server.Addr)
}

func get(t *testing.T, c *redis.Client, key string) string {
	t.Helper()
	v, err := c.Get(t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("GET %s: %v", key, err)
	}
	return v
}

func names(key string) func([]byte) bool {
	return func(request []byte) bool { return bytes.Contains(request, []byte(key)) }
}

// soon waits for done, and fails the test when it does not come.
func soon(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain: %s", what)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestWithoutFaultsEverythingPasses(t *testing.T) {
	p, through, straight := rig(t)
	big := strings.Repeat("x\r\n", 1<<20)
	if err := through.Set(t.Context(), "big", big, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if get(t, through, "big") != big || get(t, straight, "big") != big {
		t.Error("a value of 3 MiB came back changed")
	}
	pipe := through.Pipeline()
	for range 1000 {
		pipe.Incr(t.Context(), "n")
	}
	if _, err := pipe.Exec(t.Context()); err != nil || get(t, straight, "n") != "1000" {
		t.Errorf("a pipeline of 1000: n is %s, %v", get(t, straight, "n"), err)
	}
	if c := p.Counts(); c.Cut != 0 || c.DroppedReplies != 0 || c.RequestBytes < 3<<20 || c.ReplyBytes < 3<<20 {
		t.Errorf("counts %+v", c)
	}
}

func TestCutEndsEveryConnection(t *testing.T) {
	p, through, _ := rig(t)
	first, second := through.Conn(), through.Conn()
	defer first.Close()
	defer second.Close()
	for _, c := range []*redis.Conn{first, second} {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.Cut()
	for _, c := range []*redis.Conn{first, second} {
		if err := c.Ping(t.Context()).Err(); err == nil {
			t.Error("a connection was not cut")
		}
	}
	if got := p.Counts().Cut; got != 2 {
		t.Errorf("%d were cut, want 2", got)
	}
	if err := connectTo(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestRefuse(t *testing.T) {
	p, through, _ := rig(t)
	kept := through.Conn()
	defer kept.Close()
	if err := kept.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p.Refuse(true)
		p.Refuse(true)
		if conn, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a new connection: %v, %v; want it refused", conn, err)
		}
		if err := kept.Ping(t.Context()).Err(); err != nil {
			t.Errorf("the existing connection: %v", err)
		}
		p.Refuse(false)
		p.Refuse(false)
		if err := connectTo(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
			t.Errorf("accepting again: %v", err)
		}
	}
}

func TestThePortStaysOursWhileConnectionsAreRefused(t *testing.T) {
	p := ForTest(t, "127.0.0.1:1")
	p.Refuse(true)
	if l, err := listenAlone(p.Addr()); err == nil {
		l.Close()
		t.Error("another process could take the port meanwhile")
	}
}

func TestDelayKeepsOrderAndLosesNothing(t *testing.T) {
	p, through, straight := rig(t)
	if err := through.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	const d = 30 * time.Millisecond
	p.Delay(d)
	began := time.Now()
	if err := through.RPush(t.Context(), "list", "a").Err(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*d {
		t.Errorf("a round trip took %v, want at least %v", took, 2*d)
	}
	// The client gives up before its request has even arrived; it arrives all the same.
	ctx, cancel := context.WithTimeout(t.Context(), d/3)
	defer cancel()
	if err := through.RPush(ctx, "list", "late").Err(); err == nil {
		t.Error("it was answered in time")
	}
	eventually(t, "the late request is executed", func() bool {
		n, err := straight.LLen(t.Context(), "list").Result()
		return err == nil && n == 2
	})
	p.Delay(0)
	if err := through.RPush(t.Context(), "list", "b").Err(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(straight.LRange(t.Context(), "list", 0, -1).Val(), " "); got != "a late b" {
		t.Errorf("the list is %q", got)
	}
	if p.Counts().DelayedPieces < 3 {
		t.Errorf("counts %+v", p.Counts())
	}
}

func TestBlackHoleSwallowsEverythingUntilItEnds(t *testing.T) {
	p, through, straight := rig(t)
	busy, idle := through.Conn(), through.Conn()
	defer busy.Close()
	defer idle.Close()
	for _, c := range []*redis.Conn{busy, idle} {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}

	p.BlackHole(true)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := busy.Set(short, "k", "v", 0).Err(); !isTimeout(err) {
		t.Errorf("an existing connection: %v, want a time-out", err)
	}
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatalf("a new connection: %v, want it accepted", err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	eventually(t, "both requests are swallowed", func() bool { return p.Counts().SwallowedBytes > 6 })
	if got := get(t, straight, "k"); got != "" {
		t.Errorf("a request reached the server: k is %q", got)
	}

	p.BlackHole(false)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the swallowed connection after the end: %d bytes, %v; want it cut", n, err)
	}
	if err := idle.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a connection that lost nothing: %v", err)
	}
	if got := get(t, straight, "k"); got != "" {
		t.Errorf("a swallowed request was delivered: k is %q", got)
	}
}

func TestBlackHoleHidesTheEndOfAConnection(t *testing.T) {
	p, through, straight := rig(t)
	if err := through.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	clients := func() int {
		return strings.Count(straight.ClientList(t.Context()).Val(), "\n")
	}
	before := clients()
	p.BlackHole(true)
	if err := through.Close(); err != nil {
		t.Fatal(err)
	}
	// A request on another connection proves that the proxy has gone on meanwhile.
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	eventually(t, "it is swallowed", func() bool { return p.Counts().SwallowedBytes > 0 })
	if got := clients(); got != before {
		t.Errorf("the server has %d clients, before %d: it saw the end", got, before)
	}
	p.BlackHole(false)
	eventually(t, "the server sees the end", func() bool { return clients() < before })
}

func TestATargetThatIsDown(t *testing.T) {
	server := local.Redis(t)
	p := ForTest(t, server.Addr)
	server.Kill()
	if err := connectTo(t, p.Addr()).Ping(t.Context()).Err(); err == nil {
		t.Error("it was answered")
	}
	if c := p.Counts(); c.Unreachable == 0 || c.Cut != 0 {
		t.Errorf("counts %+v", c)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := connectTo(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
		t.Errorf("after its restart: %v", err)
	}
}

func TestTheProxyEndsWithItsContext(t *testing.T) {
	server := local.Redis(t)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := New(ctx, server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := connectTo(t, p.Addr())
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", p.Addr())
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	p.Close()
	p.Close()
	p.Refuse(false) // of a closed one: nothing happens
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("its connection goes on")
	}
}

func isTimeout(err error) bool {
	return os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// listenAlone listens as a program does that does not share its port.
func listenAlone(addr string) (net.Listener, error) {
	alone := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0)
		})
		return errors.Join(err, failed)
	}}
	return alone.Listen(context.Background(), "tcp4", addr)
}
