package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

func TestALookUpNeverLies(t *testing.T) {
	d := openDoor(t, func(c *Config) {
		c.Reads = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a projection that is behind
			if r.Header.Get("Wallet-Min-Position") != "" {
				writeProblem(w, &wire.Problem{Code: "projection_behind"})
				return
			}
			writeProblem(w, &wire.Problem{Code: "transfer_not_found"})
		})
	})
	d.fund("alice", "bob")
	if r := d.call("POST", "/v1/transfers", "k", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`); r.status != 201 {
		t.Fatal(r.raw)
	}
	d.shards.refuse = journal.ShardUnavailable
	id := journal.IDOf(journal.HandleOf("alice"), "k").Text("tr_")
	if r := d.call("GET", "/v1/transfers/"+id, "", ""); r.status == 404 {
		t.Errorf("the shard does not answer, the transfer HAPPENED, and GET says %s", r.raw)
	}
}

type failSecondRead struct {
	*bookShards
	altered bool
}

func (f *failSecondRead) Submit(st *rows.Stage) {
	alter, read := false, false
	st.Each(func(s *rows.Section) {
		for _, m := range s.Metas {
			alter = alter || m.Op == journal.OpAlter
			read = read || m.Op == journal.OpRead
		}
	})
	if f.altered && read {
		f.bookShards.refuse = journal.ShardUnavailable
	}
	f.bookShards.Submit(st)
	f.altered = f.altered || alter
}

func TestAPatchThatHappenedIsNotRefused(t *testing.T) {
	var fs *failSecondRead
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	fs = &failSecondRead{bookShards: d.shards}
	cfg := d.server.cfg
	cfg.Shards, cfg.Metrics = fs, nil
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.server.tcc, d.server.desk = s.tcc, s.desk
	r := d.call("PATCH", "/v1/accounts/alice", "", `{"frozen":{"sending":true}}`)
	d.shards.refuse = journal.None
	a, _ := d.shards.books[journal.HandleOf("alice").Partition(8)].State.Account(journal.HandleOf("alice"))
	if r.status == 503 && a.Flags.Has(journal.FrozenSending) {
		t.Errorf("the account IS frozen and PATCH said %s", r.raw)
	}
}

func TestAMisspeltDryRunMovesNothing(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	for _, q := range []string{"?dry_run=1", "?dry_run", "?dry_run=True", "?dryrun=true", "?dry_run=true;x=1"} {
		r := d.call("POST", "/v1/transfers"+q, "k"+q, `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`)
		if r.status == 201 && r.body["dry_run"] == nil {
			t.Errorf("%s moved money", q)
		}
	}
	d.want(d.call("POST", "/v1/transfers/batch?dry_run=true", "", `{"transfers":[{"key":"zz","from":"alice","to":"bob","amount":1,"asset":"USD"}]}`), 400, "malformed")
	d.want(d.call("POST", "/v1/transfers?dry_run=false", "real", `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`), 201, "")
}

func TestPagesOfOtherOriginsMoveNothing(t *testing.T) {
	d := openDoor(t, nil)
	d.fund("alice", "bob")
	req, _ := http.NewRequest("POST", d.url+"/v1/transfers", strings.NewReader(`{"key":"evil","from":"alice","to":"bob","amount":7,"asset":"USD"}`))
	req.Header.Set("Origin", "https://evil.example") // fetch(no-cors) with a Blob/ArrayBuffer body: no Content-Type, no preflight
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if r := d.do(req); r.status == 201 {
		t.Errorf("a page of evil.example moved money: %s", r.raw)
	}
	req, _ = http.NewRequest("GET", d.url+"/v1/accounts/alice", nil)
	req.Host = "evil.example:8080" // rebound to this address: it may not even read
	d.want(d.do(req), 403, "permission_denied")
	req, _ = http.NewRequest("POST", d.url+"/v1/transfers", strings.NewReader(`{"key":"evil2","from":"alice","to":"bob","amount":7,"asset":"USD"}`))
	req.Host = "evil.example:8080"
	req.Header.Set("Origin", "http://evil.example:8080")
	req.Header.Set("Content-Type", "application/json")
	if r := d.do(req); r.status == 201 {
		t.Errorf("rebinding: a page of evil.example moved money: %s", r.raw)
	}
}

func TestDrainEndsASessionThatUpgradesMeanwhile(t *testing.T) {
	d := openDoor(t, nil)
	in, drained := make(chan struct{}), make(chan struct{})
	d.server.upgrader.CheckOrigin = func(*http.Request) bool {
		close(in)
		for !d.server.draining.Load() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond) // Drain has made its list meanwhile (its Wait is done or waits)
		return true
	}
	go func() {
		<-in
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		d.server.Drain(ctx)
		close(drained)
	}()
	l := d.dial()
	_ = l.ws.WriteMessage(1, []byte(`{"id":1,"connect":{}}`))
	<-drained
	time.Sleep(100 * time.Millisecond)
	if n := d.server.Sessions(); n != 0 {
		l.send(`{"id":2,"balance":{"account":"alice"}}`)
		t.Errorf("after Drain %d sessions are open and served: %v", n, l.next())
	}
}
