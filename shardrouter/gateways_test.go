package shardrouter

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"walletd/deploy/local"
)

// registering keeps a gateway registered until stop is called.
func registering(t *testing.T, z *ZooKeeper, id string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- z.Register(ctx, id, []byte("127.0.0.1:8080")) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func registered(t *testing.T, z *ZooKeeper, ids ...string) {
	t.Helper()
	eventually(t, 10*time.Second, "registered", func() bool {
		got, err := z.Gateways(within(t, 5*time.Second))
		return err == nil && slices.Equal(got, ids)
	})
}

func TestGatewaysComeAndGo(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	a := router(t, devConfig(w.addr), cluster)
	b := router(t, devConfig(zoo.Addr), cluster)
	registered(t, b)
	stopA := registering(t, a, "gw-1")
	stopB := registering(t, b, "gw-2")
	registered(t, b, "gw-1", "gw-2")

	w.cut()
	registered(t, b, "gw-2") // its session has expired
	w.mend()
	registered(t, b, "gw-1", "gw-2") // it came back by itself

	if err := stopA(); err != nil {
		t.Error(err)
	}
	registered(t, b, "gw-2")
	if err := stopB(); err != nil {
		t.Error(err)
	}
	registered(t, b)
	if err := b.Register(t.Context(), "a/b", nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a path as an id: %v", err)
	}
}

// Two gateways by one name do not take each other's node.
func TestTwoGatewaysByOneName(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	a := router(t, devConfig(zoo.Addr), cluster)
	b := router(t, devConfig(zoo.Addr), cluster)
	stopA := registering(t, a, "gw")
	registered(t, b, "gw")
	stopB := registering(t, b, "gw")
	if err := stopB(); err != nil {
		t.Error(err)
	}
	if owner, err := a.conn.exists(within(t, 5*time.Second), a.paths.gateway("gw")); err != nil || owner != a.conn.SessionID() {
		t.Errorf("the first one's node is %d's: %v", owner, err)
	}
	if err := stopA(); err != nil {
		t.Error(err)
	}
	registered(t, b)
}
