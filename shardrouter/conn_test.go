package shardrouter

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/local"

	"github.com/go-zookeeper/zk"
)

func TestConnConfigTellsEveryFault(t *testing.T) {
	_, err := Dial(ConnConfig{Servers: []string{"nowhere"}, SessionTimeout: time.Hour, CallTimeout: 2 * time.Hour, User: "u"})
	if !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	for _, part := range []string{`"nowhere"`, "session timeout", "call timeout", "both user and password"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not told: %v", part, err)
		}
	}
	if _, err := Dial(ConnConfig{Servers: []string{"127.0.0.1:1"}}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "credential") {
		t.Errorf("no credential outside dev: %v", err)
	}
	if _, err := Dial(ConnConfig{Dev: true}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no servers: %v", err)
	}
}

// deadAddr is one on which nobody listens.
func deadAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestCallsEndWithTheirDeadline(t *testing.T) {
	t.Parallel()
	cfg := devConfig(deadAddr(t))
	cfg.CallTimeout = 100 * time.Millisecond
	c := dial(t, cfg)
	begun := time.Now()
	if _, err := c.get(t.Context(), "/"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a server that is not there: %v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %s", took)
	}
	if err := c.Health(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("healthy: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.get(over, "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has left: %v", err)
	}
}

func TestHangingCallsAreBounded(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	w := newWire(t, zoo.Addr)
	cfg := devConfig(w.addr)
	cfg.SessionTimeout = 20 * time.Second // the library would not notice within the test
	cfg.CallTimeout = 300 * time.Millisecond
	c := dial(t, cfg)
	if _, err := c.get(within(t, 5*time.Second), "/"); err != nil {
		t.Fatal(err)
	}
	w.cut()
	var wg sync.WaitGroup
	for range 3 * callsMax {
		wg.Go(func() {
			if _, err := c.get(t.Context(), "/"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("an answer through a cut wire: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(c.slots); n != callsMax {
		t.Errorf("%d calls hang, %d are allowed", n, callsMax)
	}
	w.mend()
	eventually(t, 5*time.Second, "the calls that hung end", func() bool { return len(c.slots) == 0 })
	if _, err := c.get(within(t, 5*time.Second), "/"); err != nil {
		t.Errorf("after it is mended: %v", err)
	}
}

func TestLargeNodesAreRefusedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	c := dial(t, devConfig(local.SharedZooKeeper(t).Addr))
	large := make([]byte, NodeBytesMax)
	ctx := within(t, 5*time.Second)
	if _, err := c.create(ctx, "/large", large, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("create: %v", err)
	}
	if err := c.transact(ctx, write{path: "/large", data: large, create: true}); !errors.Is(err, ErrInvalid) {
		t.Errorf("write: %v", err)
	}
	if _, err := c.exists(ctx, "/large"); !errors.Is(err, ErrNoNode) {
		t.Errorf("it is there: %v", err)
	}
}

func TestCloseEndsTheSessionAndAllCalls(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	c := dial(t, devConfig(zoo.Addr))
	z, err := NewZooKeeper(c, cluster)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- z.Run(ctx) }()
	l, err := z.Elect(within(t, 10*time.Second), "s1", "me")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if !closed(l.Lost()) || !errors.Is(l.Err(), ErrClosed) {
		t.Errorf("the leadership lives on: %v", l.Err())
	}
	if err := <-ran; !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	if _, err := c.get(ctx, "/"); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if _, err := z.Elect(ctx, "s1", "me"); !errors.Is(err, ErrClosed) {
		t.Errorf("elect: %v", err)
	}
	other := dial(t, devConfig(zoo.Addr))
	eventually(t, session/2, "the election node has gone before the session expires", func() bool {
		return len(election(t, other, cluster, "s1")) == 0
	})
}

// A connection of the library that is wedged for ever, here inside its dialler,
// is replaced, and everything goes on by itself.
func TestTheWatchdogReplacesAWedgedConnection(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	release := make(chan struct{})
	var dials atomic.Int64
	cfg := devConfig(w.addr)
	cfg.SessionTimeout, cfg.CallTimeout = 500*time.Millisecond, 500*time.Millisecond // the server makes two seconds of it
	cfg.dial = func(network, addr string, timeout time.Duration) (net.Conn, error) {
		if dials.Add(1) == 2 { // the library's second attempt on its first connection
			<-release
			return nil, errors.New("wedged")
		}
		return net.DialTimeout(network, addr, timeout)
	}
	z := router(t, cfg, cluster)
	t.Cleanup(func() { close(release) }) // before the connection is closed, which waits for it
	eventually(t, 5*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	w.drop()
	eventually(t, 5*time.Second, "it is not healthy", func() bool { return z.Health() != nil })
	eventually(t, 10*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
	if n := z.conn.renewals.Load(); n == 0 {
		t.Error("nothing was replaced, so nothing was wedged")
	}
}

// A server that accepts and stays silent is left for the next one within a session
// timeout, without the watchdog.
func TestASilentServerIsLeft(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	silent := newWire(t, zoo.Addr)
	silent.cut()
	var dials atomic.Int64
	cfg := devConfig(zoo.Addr)
	cfg.dial = func(network, addr string, timeout time.Duration) (net.Conn, error) {
		if dials.Add(1) == 1 {
			addr = silent.addr
		}
		return net.DialTimeout(network, addr, timeout)
	}
	z := router(t, cfg, cluster)
	eventually(t, session+3*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	if n, dialled := z.conn.renewals.Load(), dials.Load(); n != 0 || dialled != 2 {
		t.Errorf("%d renewals, %d attempts", n, dialled)
	}
}

// The library goes on to call a connection good that carries nothing any more.
func TestHealthDoesNotTrustAConnection(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	w := newWire(t, zoo.Addr)
	cfg := devConfig(w.addr)
	cfg.SessionTimeout = 20 * time.Second // the library notices after thirteen
	z := router(t, cfg, initialised(t, zoo.Addr))
	eventually(t, 5*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	w.cut()
	eventually(t, healthyFor+500*time.Millisecond, "it is not healthy", func() bool { return z.Health() != nil })
	if state := z.conn.handle().zk.State(); state != zk.StateHasSession {
		t.Errorf("the library says %s: it has noticed by itself", state)
	}
	w.mend()
	eventually(t, 5*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
}

func TestCloseDoesNotWaitForASilentServer(t *testing.T) {
	t.Parallel()
	w := newWire(t, local.SharedZooKeeper(t).Addr)
	cfg := devConfig(w.addr)
	cfg.SessionTimeout = 20 * time.Second
	c := dial(t, cfg)
	if _, err := c.exists(within(t, 5*time.Second), "/"); err != nil {
		t.Fatal(err)
	}
	w.cut()
	begun := time.Now()
	c.Close()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}
