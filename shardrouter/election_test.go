package shardrouter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"walletd/deploy/local"
)

func elect(t *testing.T, z *ZooKeeper, me string) *Leadership {
	t.Helper()
	l, err := z.Elect(within(t, 20*time.Second), "s1", me)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type elected struct {
	leadership *Leadership
	err        error
}

// candidacy runs Elect in the background.
func candidacy(ctx context.Context, z *ZooKeeper, me string) <-chan elected {
	out := make(chan elected, 1)
	go func() {
		l, err := z.Elect(ctx, "s1", me)
		out <- elected{l, err}
	}()
	return out
}

// queued waits until the queue of s1 has n candidates.
func queued(t *testing.T, z *ZooKeeper, cluster string, n int) {
	t.Helper()
	eventually(t, 10*time.Second, fmt.Sprintf("%d candidates", n), func() bool { return len(election(t, z.conn, cluster, "s1")) == n })
}

func win(t *testing.T, who string, c <-chan elected, limit time.Duration) *Leadership {
	t.Helper()
	select {
	case e := <-c:
		if e.err != nil {
			t.Fatalf("%s: %v", who, e.err)
		}
		return e.leadership
	case <-time.After(limit):
		t.Fatalf("%s does not lead after %s", who, limit)
		return nil
	}
}

func TestLeadersFollowInOrder(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	a := router(t, devConfig(zoo.Addr), cluster)
	b := router(t, devConfig(zoo.Addr), cluster)
	first := elect(t, a, "first")
	second := candidacy(t.Context(), b, "second")
	queued(t, a, cluster, 2)
	third := candidacy(t.Context(), b, "third")
	queued(t, a, cluster, 3)
	if closed(first.Lost()) {
		t.Fatalf("the first has lost it: %v", first.Err())
	}

	first.Resign()
	if !closed(first.Lost()) || !errors.Is(first.Err(), ErrResigned) {
		t.Errorf("the first after it resigned: %v", first.Err())
	}
	// By its watch, not by looking again every second.
	l := win(t, "the second", second, recheckEvery/2)
	select {
	case e := <-third:
		t.Fatalf("the third leads beside the second: %v", e.err)
	default:
	}
	l.Resign()
	win(t, "the third", third, recheckEvery/2).Resign()
	queued(t, a, cluster, 0)
}

// The leader is cut off: it believes to be connected while its session expires.
// It must find out by itself, and the next one leads in a higher epoch.
func TestAnExpiredSessionEndsTheLeadership(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	old := router(t, devConfig(w.addr), cluster)
	next := router(t, devConfig(zoo.Addr), cluster)

	lead := elect(t, old, "old")
	owned := old.conn.SessionID()
	own := []int{0, 2}
	take := func(z *ZooKeeper, epoch uint32) error {
		return z.Publish(within(t, 10*time.Second), func(m *Map) (*Map, error) { return m.WithPartitions("s1", epoch, own...), nil })
	}
	before, err := old.NextEpoch(within(t, 10*time.Second), "s1", own)
	if err != nil {
		t.Fatal(err)
	}
	if err := take(old, before); err != nil {
		t.Fatal(err)
	}
	waiting := candidacy(t.Context(), next, "next")
	queued(t, next, cluster, 2)

	w.cut()
	cut := time.Now()
	if !lead.Certain() {
		t.Error("it is not certain any more at once")
	}
	eventually(t, session+time.Second, "the old leader is not certain", func() bool { return !lead.Certain() })
	if closed(lead.Lost()) {
		t.Errorf("the old leader lost it because: %v", lead.Err())
	}
	t.Logf("uncertain after %s", time.Since(cut))
	l := win(t, "the next", waiting, 10*time.Second)
	t.Logf("led again after %s", time.Since(cut))
	after, err := next.NextEpoch(within(t, 10*time.Second), "s1", own)
	if err != nil || after <= before {
		t.Errorf("epoch %d after %d, %v", after, before, err)
	}
	if err := take(next, after); err != nil {
		t.Fatal(err)
	}

	w.mend()
	eventually(t, 15*time.Second, "the old one is healthy in another session", func() bool {
		return old.Health() == nil && old.conn.SessionID() != owned
	})
	eventually(t, 5*time.Second, "the old leadership is over", func() bool { return closed(lead.Lost()) })
	if !errors.Is(lead.Err(), ErrSessionLost) || lead.Certain() {
		t.Errorf("the old leader lost it because: %v", lead.Err())
	}
	eventually(t, 5*time.Second, "the old one has the new map", func() bool { return old.Current().Partitions[0].Epoch == after })
	if err := take(old, before); !errors.Is(err, ErrDeposed) {
		t.Errorf("the deposed one published: %v", err)
	}
	if closed(l.Lost()) {
		t.Errorf("the new leader lost it: %v", l.Err())
	}
	queued(t, next, cluster, 1)
	l.Resign()
}

// A short interruption is no reason to step down: the session survives it.
func TestADroppedConnectionKeepsTheLeadership(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	cfg := devConfig(w.addr)
	cfg.SessionTimeout = 10 * time.Second
	z := router(t, cfg, cluster)
	l := elect(t, z, "me")
	owned := z.conn.SessionID()
	for range 3 {
		w.drop()
		eventually(t, 5*time.Second, "it has noticed", func() bool { return z.Health() != nil })
		eventually(t, 8*time.Second, "it is healthy", func() bool { return z.Health() == nil })
	}
	if closed(l.Lost()) || z.conn.SessionID() != owned {
		t.Errorf("lost: %v", l.Err())
	}
	l.Resign()
	queued(t, z, cluster, 0)
}

func TestAVanishedNodeEndsTheLeadership(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	l := elect(t, z, "me")
	for _, name := range election(t, z.conn, cluster, "s1") {
		if err := z.conn.remove(within(t, 5*time.Second), z.paths.keeper("s1")+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 2*time.Second, "it has lost it", func() bool { return closed(l.Lost()) })
	if !errors.Is(l.Err(), ErrSessionLost) {
		t.Errorf("because: %v", l.Err())
	}
	l.Resign()
	// The others are none of its business.
	again := elect(t, z, "me")
	again.Resign()
}

// Whoever stops waiting leaves no node behind that would lead one day.
func TestACandidateWhoLeaves(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	l := elect(t, z, "leader")
	ctx, cancel := context.WithCancel(t.Context())
	waiting := candidacy(ctx, z, "other")
	queued(t, z, cluster, 2)
	cancel()
	if e := <-waiting; !errors.Is(e.err, context.Canceled) {
		t.Errorf("elected: %v", e.err)
	}
	if n := len(election(t, z.conn, cluster, "s1")); n != 1 {
		t.Errorf("%d nodes in the queue", n)
	}
	if closed(l.Lost()) {
		t.Errorf("the leader has lost it: %v", l.Err())
	}
	l.Resign()
}

// Foreign nodes in the queue's directory neither lead nor crash anybody.
func TestStrangeNodesInTheQueue(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	dir := z.paths.keeper("s1")
	for _, name := range []string{"", "/_c_x", "/note", "/-", "/a-b"} {
		if err := z.conn.ensure(within(t, 5*time.Second), dir+name, nil); err != nil {
			t.Fatal(err)
		}
	}
	elect(t, z, "me").Resign()
	if n := len(election(t, z.conn, cluster, "s1")); n != 4 {
		t.Errorf("%d nodes in the queue", n)
	}
	for bad := range slices.Values([]string{"", "a/b", ".."}) {
		if _, err := z.Elect(t.Context(), bad, "me"); !errors.Is(err, ErrInvalid) {
			t.Errorf("shard %q: %v", bad, err)
		}
	}
}

// Whatever call is lost on the way, exactly one node of ours leads, and none is
// left when it resigns.
func TestElectWithLostCalls(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	eachLoss(t, zoo.Addr, func(t *testing.T, c *Conn, arm func(), disarm func() bool) {
		z, err := NewZooKeeper(c, cluster)
		if err != nil {
			t.Fatal(err)
		}
		arm()
		l := elect(t, z, "me")
		disarm()
		if n := len(election(t, c, cluster, "s1")); n != 1 {
			t.Errorf("%d nodes in the queue", n)
		}
		if closed(l.Lost()) {
			t.Errorf("lost: %v", l.Err())
		}
		l.Resign()
		if n := len(election(t, c, cluster, "s1")); n != 0 {
			t.Errorf("%d nodes are left", n)
		}
	})
}

// With ZooKeeper away, resigning ends within a session timeout, and no node of
// ours leads when it is back.
func TestResigningWithoutZooKeeper(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	w := newWire(t, zoo.Addr)
	z := router(t, devConfig(w.addr), cluster)
	l := elect(t, z, "me")
	w.cut()
	begun := time.Now()
	l.Resign()
	if took := time.Since(begun); took > session+time.Second {
		t.Errorf("it took %s", took)
	}
	if !errors.Is(l.Err(), ErrResigned) {
		t.Errorf("because: %v", l.Err())
	}
	other := router(t, devConfig(zoo.Addr), cluster)
	elect(t, other, "other").Resign()
	w.mend()
	eventually(t, 15*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
	elect(t, z, "me").Resign()
	queued(t, other, cluster, 0)
}

func TestPlace(t *testing.T) {
	queue := []string{"_c_b-0000000012", "_c_a-0000000003", "note", "_c_x", "_c_c-0000000007", "a-b", "-"}
	for ours, want := range map[string]string{
		"_c_a-0000000003": "",
		"_c_c-0000000007": "_c_a-0000000003",
		"_c_b-0000000012": "_c_c-0000000007", // the next, not the leader: one wakes one
	} {
		if ahead, ok := place(queue, ours); !ok || ahead != want {
			t.Errorf("before %s: %q, %v", ours, ahead, ok)
		}
	}
	for _, ours := range []string{"_c_d-0000000009", "note", ""} {
		if ahead, ok := place(queue, ours); ok {
			t.Errorf("%q is not in the queue, yet behind %q", ours, ahead)
		}
	}
}
