package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"walletd/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeWallet keeps accounts in memory and forges faults in what it does with the run's transfers (not with the funding).
type fakeWallet struct {
	t    *testing.T
	http *httptest.Server
	// transfer executes a transfer unless nil, and answers what follows the id of the reply; n counts from 1.
	transfer   func(w *fakeWallet, n int, m *fakeTransfer) string
	stall      func(n int) time.Duration    // before the n-th transfer, with everything behind it
	fund       func(m *fakeTransfer) string // instead of funding
	reconciled string
	version    string

	refuseAccounts bool
	again          func(w *fakeWallet, m *fakeTransfer) string // instead of answering a repeat with the first outcome
	confirm        func(w *fakeWallet, m *fakeTransfer) string // instead of capturing

	mu       sync.Mutex
	said     map[string]string        // by key
	tried    map[string]*fakeTransfer // by reservation
	accounts map[string]*fakeAccount
	moved    int // transfers of the run
	conns    []*websocket.Conn
	sessions sync.WaitGroup
}

type fakeAccount struct {
	money   int64
	version int
}

type fakeTransfer struct {
	Key, From, To string
	Amount        int64
}

func newFakeWallet(t *testing.T) *fakeWallet {
	w := &fakeWallet{t: t, accounts: map[string]*fakeAccount{}, said: map[string]string{}, tried: map[string]*fakeTransfer{}, reconciled: `{"ok":true}`, version: `{"version":"fake","partitions":8}`}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/accounts", w.create)
	mux.HandleFunc("GET /v1/ws", w.session)
	mux.HandleFunc("POST /admin/v1/reconciliations", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, w.reconciled) })
	mux.HandleFunc("GET /version", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, w.version) })
	w.http = httptest.NewServer(mux)
	t.Cleanup(func() {
		w.mu.Lock()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		w.http.Close()
		w.sessions.Wait()
	})
	return w
}

func (w *fakeWallet) create(rw http.ResponseWriter, r *http.Request) {
	if w.refuseAccounts {
		rw.WriteHeader(http.StatusForbidden)
		fmt.Fprint(rw, `{"code":"permission_denied","retryable":false}`)
		return
	}
	var a struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts[a.ID] = &fakeAccount{version: 1}
	rw.WriteHeader(http.StatusCreated)
	fmt.Fprintf(rw, `{"object":"account","id":%q,"version":1}`, a.ID)
}

func (w *fakeWallet) session(rw http.ResponseWriter, r *http.Request) {
	w.sessions.Add(1)
	defer w.sessions.Done()
	up := websocket.Upgrader{Subprotocols: []string{"wallet.v1.json"}}
	ws, err := up.Upgrade(rw, r, nil)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer ws.Close()
	w.mu.Lock()
	w.conns = append(w.conns, ws)
	w.mu.Unlock()
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return
		}
		var out bytes.Buffer
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			w.command(line, &out)
		}
		if ws.WriteMessage(websocket.TextMessage, out.Bytes()) != nil {
			return
		}
	}
}

func (w *fakeWallet) command(line []byte, out *bytes.Buffer) {
	var m struct {
		ID       uint64
		Connect  *struct{}
		Balance  *struct{ Account string }
		Transfer *fakeTransfer
		Reserve  *fakeTransfer
		Confirm  *struct{ Reservation string }
		Batch    *struct{ Transfers []*fakeTransfer }
	}
	if err := json.Unmarshal(line, &m); err != nil {
		w.t.Errorf("bench sent %q: %v", line, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case m.Connect != nil:
		fmt.Fprintf(out, `{"id":%d,"ok":{"session":"s","max_in_flight":4096,"ping_s":25}}`+"\n", m.ID)
	case m.Balance != nil:
		a := w.accounts[m.Balance.Account]
		fmt.Fprintf(out, `{"id":%d,"ok":{"account":%q,"available":%d,"reserved":0,"version":%d,"position":"0.1.1"}}`+"\n",
			m.ID, m.Balance.Account, a.money, a.version)
	case m.Transfer != nil:
		fmt.Fprintf(out, `{"id":%d,%s}`+"\n", m.ID, w.once(m.Transfer))
	case m.Batch != nil:
		var items []string
		for _, x := range m.Batch.Transfers {
			items = append(items, "{"+w.once(x)+"}")
		}
		fmt.Fprintf(out, `{"id":%d,"ok":{"data":[%s]}}`+"\n", m.ID, strings.Join(items, ","))
	case m.Reserve != nil:
		w.accounts[m.Reserve.From].version++
		id := "rs_" + m.Reserve.Key
		w.tried[id] = m.Reserve
		fmt.Fprintf(out, `{"id":%d,"ok":{"object":"reservation","id":%q,"status":"tried"}}`+"\n", m.ID, id)
	case m.Confirm != nil:
		x := w.tried[m.Confirm.Reservation]
		capture := w.confirm
		if capture == nil {
			capture = (*fakeWallet).move
		}
		capture(w, x)
		fmt.Fprintf(out, `{"id":%d,"ok":{"object":"reservation","id":%q,"status":"confirmed"}}`+"\n", m.ID, m.Confirm.Reservation)
	default:
		out.WriteString("{}\n")
	}
}

// once answers a repeated key with its first outcome, and refuses what nobody has. It is under mu.
func (w *fakeWallet) once(m *fakeTransfer) string {
	if first, seen := w.said[m.From+" "+m.Key]; seen {
		if w.again != nil {
			return w.again(w, m)
		}
		return first
	}
	said := w.pay(m)
	w.said[m.From+" "+m.Key] = said
	return said
}

// pay is under mu.
func (w *fakeWallet) pay(m *fakeTransfer) string {
	if bytes.HasSuffix([]byte(m.From), []byte("-issuance")) {
		if w.fund != nil {
			return w.fund(m)
		}
		return w.move(m)
	}
	w.moved++
	if w.transfer == nil && m.Amount > 1_000_000 {
		return `"error":{"code":"insufficient_funds","retryable":false,"needed":1}`
	}
	if w.stall != nil {
		if d := w.stall(w.moved); d > 0 {
			time.Sleep(d) // the stall itself: with the lock, so that every session stands still
		}
	}
	if w.transfer != nil {
		return w.transfer(w, w.moved, m)
	}
	return w.move(m)
}

// move moves the money and answers.
func (w *fakeWallet) move(m *fakeTransfer) string {
	w.credit(m.From, -m.Amount)
	w.credit(m.To, m.Amount)
	return confirmed(m)
}

func (w *fakeWallet) credit(account string, amount int64) {
	a := w.accounts[account]
	a.money += amount
	a.version++
}

func confirmed(m *fakeTransfer) string {
	id := journal.IDOf(journal.HandleOf(m.From), m.Key)
	return fmt.Sprintf(`"ok":{"transfer":%q,"status":"confirmed","position":"0.1.9"}`, id.Text(journal.TransferPrefix))
}

// config is a short run against the fake.
func (w *fakeWallet) config() Config {
	return Config{
		URL: w.http.URL, Admin: w.http.URL, Accounts: 64, Cross: 0.5, Connections: 2, InFlight: 16,
		WarmUp: -1, Duration: 150 * time.Millisecond, Settle: 200 * time.Millisecond, Run: "test", script: 1 << 13,
	}
}
