package walletd

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/shardrouter"
)

// spoilt is a log whose partition 1 is damaged from some moment on.
type spoilt struct {
	journal.Log
	now atomic.Bool
}

func (l *spoilt) Read(ctx context.Context, p int, from int64, fn func(int64, []byte) error) (int64, error) {
	return l.Log.Read(ctx, p, from, func(offset int64, record []byte) error {
		if p == 1 && l.now.Load() {
			record = slices.Clone(record)
			record[len(record)-1] ^= 1
		}
		return fn(offset, record)
	})
}

// aNode is a process of every role over two shards with a partition each.
func aNode(t *testing.T) (n *node, log *spoilt, redis []*local.Server) {
	t.Helper()
	dir := t.TempDir()
	files, err := filelog.Open(filelog.Config{Dir: filepath.Join(dir, "journal"), Partitions: 2, SegmentBytes: 4 << 20})
	must(t, err)
	t.Cleanup(func() { _ = files.Close() })
	redis = []*local.Server{local.Redis(t), local.Redis(t)}
	m, err := shardrouter.NewMap(2, shardrouter.Shard{ID: "s1", Primary: redis[0].Addr}, shardrouter.Shard{ID: "s2", Primary: redis[1].Addr})
	must(t, err)
	router, err := shardrouter.NewStatic(shardrouter.StaticConfig{Initial: m})
	must(t, err)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	log = &spoilt{Log: files}
	return &node{
		cfg: nodeConfig{partitions: 2, assets: journal.DevAssets, id: "node", keeps: []string{"s1", "s2"}, wallet: "w", projection: filepath.Join(dir, "projection")},
		log: log, source: router, store: router, election: router, logger: slog.New(slog.DiscardHandler), public: listen(), admin: listen(),
	}, log, redis
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get asks the operators' listener.
func (n *node) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + n.admin.Addr().String() + path)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b)
}

// start runs the node until the test stops it, and waits until it is ready.
func (n *node) start(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- n.run(ctx, allRoles, func(context.Context) error { close(ready); return nil }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("it ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("not ready in 30 s")
	}
	return func() error { cancel(); return <-done }
}

// TestDamagedPartitionLeavesTheOthers: its shard is down for everyone to see, and everything else goes on.
func TestDamagedPartitionLeavesTheOthers(t *testing.T) {
	n, log, redis := aNode(t)
	stop := n.start(t)
	if code, body := n.get(t, "/readyz"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	log.now.Store(true)
	_, port, _ := net.SplitHostPort(redis[1].Addr)
	must(t, exec.Command("redis-cli", "-p", port, "script", "flush").Run()) // its keeper reads the journal again
	deadline := time.Now().Add(30 * time.Second)
	for {
		code, body := n.get(t, "/readyz")
		var state struct {
			Serving int      `json:"partitions_serving"`
			Down    []string `json:"shards_down"`
		}
		if code == http.StatusServiceUnavailable && json.Unmarshal([]byte(body), &state) == nil && state.Serving == 1 && slices.Equal(state.Down, []string{"s2"}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", code, body)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, want := range []string{`wallet_keeper_state{shard="s2",state="damaged"} 1`, `wallet_keeper_state{shard="s1",state="serving"} 1`} {
		for metrics := ""; !strings.Contains(metrics, want); _, metrics = n.get(t, "/metrics") { // the keeper says so when it has ended, a moment later
			if time.Now().After(deadline) {
				t.Fatalf("the metrics do not say %s", want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestDamageAtTheStart: a process of a cluster serves what it can, `walletd dev` does not begin.
func TestDamageAtTheStart(t *testing.T) {
	n, log, _ := aNode(t)
	must(t, n.start(t)()) // so that there is a journal
	again := func(whole bool) *node {
		next, _, _ := aNode(t)
		next.cfg.whole, next.log = whole, log
		return next
	}
	log.now.Store(true)
	if err := again(true).run(t.Context(), allRoles, func(context.Context) error { return nil }); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "\n") {
		t.Errorf("dev: %v", err)
	}
	some := again(false)
	stop := some.start(t)
	if code, body := some.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"shards_down":["s2"]`) {
		t.Errorf("%d %s", code, body)
	}
	must(t, stop())
}
