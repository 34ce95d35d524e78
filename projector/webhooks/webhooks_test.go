package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
	"walletd/projector/events"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	secret1 = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	secret2 = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
)

// TestTheSignatureIsTheOneOfTheSpecification: the example that its libraries test with.
func TestTheSignatureIsTheOneOfTheSpecification(t *testing.T) {
	key, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	must(t, err)
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if have := Sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`)); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
}

// world is a wallet's projection that a test folds on.
type world struct {
	t      *testing.T
	h      *history.History
	v      *view.View
	source *events.Source
	dir    string
}

func newWorld(t *testing.T) *world {
	h := history.New(history.Config{Seed: 1, Partitions: 2, Accounts: 2, Steps: 20, Assets: 1, FrameMax: 8})
	v, err := view.Open(view.Config{Dir: "view", Wallet: "test", Partitions: h.Partitions, CacheBytes: 8 << 20, FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return &world{t, h, v, events.NewSource(v, journal.DevAssets), t.TempDir()}
}

// more lets something happen.
func (w *world) more(steps int) {
	w.t.Helper()
	w.h.More(steps)
	for p := range w.h.Partitions {
		f, err := w.v.Fold(p)
		must(w.t, err)
		_, err = w.h.Log.Read(w.t.Context(), p, f.Cursor().Offset, func(offset int64, record []byte) error {
			_, err := f.Take(offset, record)
			return err
		})
		must(w.t, err)
		must(w.t, f.Commit())
		must(w.t, f.Close())
	}
}

// ids are the messages of all events, by partition, in order.
func (w *world) ids(wants func(*events.Item) bool) (list []string) {
	w.t.Helper()
	for p := range w.h.Partitions {
		items, _, err := w.source.Read(p, events.Place{}, events.Bounds{Events: 1 << 20, Bytes: 1 << 30})
		must(w.t, err)
		for i := range items {
			if wants(&items[i]) {
				list = append(list, MessageID(items[i].ID))
			}
		}
	}
	return list
}

func (w *world) run(endpoints ...Endpoint) (d *Dispatcher, stop func()) {
	w.t.Helper()
	d, err := New(Config{Source: w.source, Endpoints: endpoints, Dir: w.dir, Logger: slog.New(slog.DiscardHandler),
		GiveUp: time.Minute, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, Answer: time.Second})
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }() // its error is ctx's
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return d, stop
}

// endpoint is a server that takes messages, after it has failed in other ways.
type endpoint struct {
	*httptest.Server
	mu    sync.Mutex
	fails []func(http.ResponseWriter, *http.Request) // by request; behind them, it takes what comes
	taken []string
	seen  map[string]bool
}

func received(t *testing.T, fails ...func(http.ResponseWriter, *http.Request)) *endpoint {
	e := &endpoint{fails: fails, seen: map[string]bool{}}
	key, err := ParseSecret(secret2)
	must(t, err)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var at int64
		_, err2 := fmt.Sscan(r.Header.Get("Webhook-Timestamp"), &at)
		id := r.Header.Get("Webhook-Id")
		var message struct {
			Type, Timestamp string
			Data            struct{ Account string }
		}
		err = errors.Join(err, err2, json.Unmarshal(body, &message))
		signed := strings.Contains(" "+r.Header.Get("Webhook-Signature")+" ", " "+Sign([][]byte{key}, id, at, body)+" ")
		if err != nil || !signed || message.Type == "" || message.Data.Account == "" || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
			t.Errorf("message %q: %v, signed %t, %s", id, err, signed, body)
		}
		e.mu.Lock()
		var fail func(http.ResponseWriter, *http.Request)
		if len(e.fails) > 0 {
			fail, e.fails = e.fails[0], e.fails[1:]
		} else if !e.seen[id] {
			e.seen[id] = true
			e.taken = append(e.taken, id)
		}
		e.mu.Unlock()
		if fail != nil {
			fail(w, r)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) has() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.taken...)
}

// await waits until the receiver has all messages, and holds their order, by partition, against the wallet's.
func (e *endpoint) await(t *testing.T, want []string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(e.has()) < len(want); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages of %d came", len(e.has()), len(want))
		}
	}
	var have []string
	for _, p := range []string{"evt_0-", "evt_1-"} {
		for _, id := range e.has() {
			if strings.HasPrefix(id, p) {
				have = append(have, id)
			}
		}
	}
	if a, b := strings.Join(have, " "), strings.Join(want, " "); a != b {
		t.Errorf("have %s\nwant %s", a, b)
	}
}

func everything(*events.Item) bool { return true }

func TestAReceiverThatFailsInEveryWayMissesNothing(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	e := received(t,
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, // the connection is cut
		hang,
		func(w http.ResponseWriter, r *http.Request) { // a body that does not end
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			hang(w, r)
		},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
	)
	w := newWorld(t)
	d, stop := w.run(Endpoint{Name: "shop", URL: e.URL, Secrets: []string{secret1, secret2}, AllowPrivate: true})
	w.more(60)
	e.await(t, w.ids(everything))
	if n := d.receivers[0].failed.Load(); n != 6 {
		t.Errorf("%d failures, want 6", n)
	}
	stop()
	w.more(20)
	_, stop = w.run(Endpoint{Name: "shop", URL: e.URL, Secrets: []string{secret2}, AllowPrivate: true})
	e.await(t, w.ids(everything))
	stop()
}

// TestAPlaceThatCannotBeRememberedIsNotPassed: while the disk takes nothing, each partition sends the one event whose place it then cannot
// remember, and no more.
func TestAPlaceThatCannotBeRememberedIsNotPassed(t *testing.T) {
	e := received(t)
	w := newWorld(t)
	_, stop := w.run(Endpoint{Name: "shop", URL: e.URL, Secrets: []string{secret2}, AllowPrivate: true})
	w.more(20)
	e.await(t, w.ids(everything))
	before := len(e.has())
	must(t, os.Rename(w.dir, w.dir+".away"))
	w.more(60)
	time.Sleep(3 * rememberAgain) // each of which would send another one
	if n := len(e.has()) - before; n > w.h.Partitions {
		t.Errorf("%d events were sent with nowhere to remember it", n)
	}
	must(t, os.Rename(w.dir+".away", w.dir))
	e.await(t, w.ids(everything))
	stop()
}

func TestASlowReceiverHoldsUpNoOther(t *testing.T) {
	release := make(chan struct{})
	var slow *endpoint
	wait := func(http.ResponseWriter, *http.Request) { <-release }
	slow = received(t, wait, wait)
	fast := received(t)
	w := newWorld(t)
	only := Endpoint{Name: "fast", URL: fast.URL, Secrets: []string{secret2}, AllowPrivate: true, Types: []string{"transfer.sent", "transfer.received"}, Accounts: []string{"a0-1*"}}
	_, stop := w.run(Endpoint{Name: "slow", URL: slow.URL, Secrets: []string{secret2}, AllowPrivate: true}, only)
	w.more(60)
	want := w.ids(only.wants)
	if len(want) == 0 || len(want) == len(w.ids(everything)) {
		t.Fatalf("%d events are chosen", len(want))
	}
	fast.await(t, want)
	if n := len(slow.has()); n != 0 {
		t.Errorf("the slow one has %d", n)
	}
	close(release)
	stop()
}

func TestWhatIsGivenUpIsKeptAndPassed(t *testing.T) {
	e := received(t)
	bad := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
	for range 3 {
		e.fails = append(e.fails, bad)
	}
	w := newWorld(t)
	d, err := New(Config{Source: w.source, Endpoints: []Endpoint{{Name: "shop", URL: e.URL, Secrets: []string{secret2}, AllowPrivate: true}}, Dir: w.dir,
		Logger: slog.New(slog.DiscardHandler), GiveUp: time.Nanosecond, RetryMin: time.Millisecond})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }() // its error is ctx's
	w.more(40)
	all := w.ids(everything)
	for deadline := time.Now().Add(30 * time.Second); len(e.has())+3 < len(all); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages came, of %d", len(e.has()), len(all))
		}
	}
	cancel()
	<-done
	b, err := os.ReadFile(w.dir + "/shop.dead.jsonl")
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 3 || d.receivers[0].dead.Load() != 3 {
		t.Fatalf("dead: %s", b)
	}
	for _, line := range lines {
		var dead Dead
		must(t, json.Unmarshal([]byte(line), &dead))
		if e.seen[dead.ID] || !strings.Contains(dead.Reason, "400") || !json.Valid(dead.Body) {
			t.Errorf("dead: %+v", dead)
		}
	}
	one := &d.receivers[0].Endpoint
	e.mu.Lock()
	e.fails = append(e.fails, bad)
	e.mu.Unlock()
	if sent, left, err := Retry(t.Context(), one, w.dir); err != nil || sent != 2 || left != 1 {
		t.Fatalf("sent again %d, left %d, %v", sent, left, err)
	}
	if s, err := Look(one, w.dir); err != nil || s.Dead != 1 || s.Gone {
		t.Fatalf("it stands at %+v, %v", s, err)
	}
	if sent, left, err := Retry(t.Context(), one, w.dir); err != nil || sent != 1 || left != 0 {
		t.Fatalf("sent again %d, left %d, %v", sent, left, err)
	}
	if have := len(e.has()); have != len(all) {
		t.Errorf("%d messages came, of %d", have, len(all))
	}
	must(t, Test(t.Context(), &Endpoint{Name: "shop", URL: quiet(t).URL, Secrets: []string{secret2}, AllowPrivate: true}))
}

// quiet takes everything.
func quiet(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	return s
}

func TestGoneEndsAnEndpoint(t *testing.T) {
	e := received(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	w := newWorld(t)
	one := Endpoint{Name: "shop", URL: e.URL, Secrets: []string{secret2}, AllowPrivate: true}
	d, err := New(Config{Source: w.source, Endpoints: []Endpoint{one}, Dir: w.dir, Logger: slog.New(slog.DiscardHandler), RetryMin: time.Millisecond})
	must(t, err)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.more(40)
	go func() { defer close(ended); _ = d.Run(ctx) }() // it ends by itself: nobody is left to tell
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
	d, err = New(Config{Source: w.source, Endpoints: []Endpoint{one}, Dir: w.dir})
	must(t, err)
	must(t, d.Run(context.Background()))
	if n := len(e.has()); n != 0 {
		t.Errorf("%d messages behind 410 Gone", n)
	}
}

func TestNoReceiverIsWhereNoneShouldBe(t *testing.T) {
	for _, address := range []string{"127.0.0.1:80", "10.1.2.3:443", "192.168.0.1:443", "172.16.0.1:443", "169.254.169.254:80", "[::1]:443", "[fe80::1]:443", "[fd00::1]:443",
		"0.0.0.0:80", "[::ffff:127.0.0.1]:80", "100.64.0.1:443", "224.0.0.1:443", "255.255.255.255:443", "[64:ff9b::7f00:1]:443", "198.18.0.1:443",
		"[fec0::1]:443", "[::127.0.0.1]:443", "[::ffff:0:127.0.0.1]:443", "[2001:0:7f00:1::1]:443", "[2002:7f00:1::1]:443"} {
		if err := publicOnly("tcp", address, nil); !errors.Is(err, errPrivate) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"93.184.216.34:443", "[2606:2800:220:1:248:1893:25c8:1946]:443"} {
		if err := publicOnly("tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	reached := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer reached.Close()
	e := Endpoint{Name: "inside", URL: strings.Replace(reached.URL, "127.0.0.1", "localhost", 1), Secrets: []string{secret1}} // a name, that leads inside
	must(t, e.Validate())
	keys, err := e.keys()
	must(t, err)
	if err := e.post(t.Context(), e.newClient(10*time.Second), keys, "evt_1", []byte("{}")); !errors.Is(err, errPrivate) || !strings.Contains(err.Error(), "allow_private") {
		t.Errorf("have %v", err)
	}
}

func TestAnEndpointTellsWhatIsWrongWithIt(t *testing.T) {
	good := Endpoint{Name: "a", URL: "https://example.com/hook", Secrets: []string{secret1}}
	must(t, good.Validate())
	for word, change := range map[string]func(*Endpoint){
		"name":          func(e *Endpoint) { e.Name = "../a" },
		"https":         func(e *Endpoint) { e.URL = "http://example.com" },
		"url":           func(e *Endpoint) { e.URL = "example.com" },
		"at least one":  func(e *Endpoint) { e.Secrets = nil },
		"secrets[1]":    func(e *Endpoint) { e.Secrets = []string{secret1, "whsec_x"} },
		"transfer.sent": func(e *Endpoint) { e.Types = []string{"transfer"} },
	} {
		e := good
		change(&e)
		if err := e.Validate(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
}
