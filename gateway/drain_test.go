package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/rows"
)

// slow answers after a while, so that a client that keeps its pipe full is never idle.
type slow struct{ *bookShards }

func (s slow) Submit(st *rows.Stage) {
	own := rows.NewStage(8)
	n := 0
	st.Each(func(sec *rows.Section) {
		start := uint32(0)
		for _, m := range sec.Metas {
			own.AddPacked(sec.Partition, sec.Rows[start:m.End], m.Sink, m.Tag)
			start = m.End
			n++
		}
	})
	st.Reset()
	if n > 0 {
		go func() { time.Sleep(50 * time.Millisecond); s.bookShards.Submit(own) }()
	}
}

func TestABusySessionDoesNotEatTheDrain(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	cfg := d.server.cfg
	cfg.Shards, cfg.Metrics = slow{d.shards}, nil
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.server.tcc, d.server.desk = s.tcc, s.desk
	l := d.connect()
	stop := make(chan struct{})
	go func() { // balances, 2 in flight at any time
		for i := 2; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if l.ws.WriteMessage(1, []byte(fmt.Sprintf(`{"id":%d,"balance":{"account":"alice"}}`, i))) != nil {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	go func() {
		for {
			if _, _, err := l.ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	began := time.Now()
	d.server.Drain(ctx)
	close(stop)
	if ctx.Err() != nil {
		t.Errorf("Drain used all of its time (%v): what comes behind it (Shutdown, lanes.Drain) gets none", time.Since(began))
	}
}

// noChecks are shards whose checks find nobody.
type noChecks struct{ *bookShards }

func (s noChecks) Submit(st *rows.Stage) {
	check := false
	st.Each(func(sec *rows.Section) {
		for _, m := range sec.Metas {
			check = check || m.Op == journal.OpCheck
		}
	})
	s.bookShards.refuse = journal.None
	if check {
		s.bookShards.refuse = journal.ShardUnavailable
	}
	s.bookShards.Submit(st)
	s.bookShards.refuse = journal.None
}

func TestARepeatIsAnsweredWhileThePayeesShardIsAway(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	body := `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`
	d.call("POST", "/v1/transfers", "k", body)
	cfg := d.server.cfg
	cfg.Shards, cfg.Metrics = noChecks{d.shards}, nil
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.server.tcc, d.server.desk = s.tcc, s.desk
	if r := d.call("POST", "/v1/transfers", "k", body); r.status != 201 {
		t.Errorf("the repeat of a confirmed transfer: %s", r.raw)
	}
}

func TestTheClientsMinPositionIsKept(t *testing.T) {
	got := ""
	d := openDoor(t, func(c *Config) { c.Reads = recordMin(&got) })
	d.fund("alice", "bob")
	d.call("POST", "/v1/transfers", "k", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`)
	id := journal.IDOf(journal.HandleOf("alice"), "k").Text("tr_")
	req := d.request("GET", "/v1/transfers/"+id)
	req.Header.Set("Wallet-Min-Position", "0.1.999") // the payee's partition: its credit
	d.do(req)
	if !strings.HasPrefix(got, "0.1.999") {
		t.Errorf("the client's 0.1.999 was replaced by %s", got)
	}
}

func recordMin(got *string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = strings.Join(r.Header.Values("Wallet-Min-Position"), " ")
		w.WriteHeader(404)
	})
}
func (d *door) request(m, p string) *http.Request {
	r, _ := http.NewRequest(m, d.url+p, nil)
	return r
}
