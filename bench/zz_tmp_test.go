package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"bufio"
	"strings"
	"testing"
	"time"
	"context"

	"github.com/gorilla/websocket"
	"walletd/gateway/client"
	"walletd/journal"
)

func TestZZServer(t *testing.T) {
	if os.Getenv("ZZ") != "server" { return }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{"wallet.v1.json"}, ReadBufferSize: 65536, WriteBufferSize: 65536}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil { return }
		var in bytes.Buffer
		var out []byte
		for {
			_, rd, err := ws.NextReader()
			if err != nil { return }
			in.Reset(); in.ReadFrom(rd)
			out = out[:0]
			for line := range bytes.SplitSeq(in.Bytes(), []byte("\n")) {
				if bytes.Contains(line[:20], []byte("connect")) {
					out = append(out, `{"id":1,"ok":{"session":"s","max_in_flight":4096,"ping_s":25}}`...)
					continue
				}
				i := bytes.IndexByte(line, ',')
				out = append(out, line[:i]...)
				// payer handle prefix
				out = append(out, `,"ok":{"transfer":"tr_00000000000000000000000000","status":"confirmed","position":"0.1.9"}}`...)
				out = append(out, '\n')
			}
			if ws.WriteMessage(websocket.TextMessage, out) != nil { return }
		}
	}))
	fmt.Println("URL", s.URL)
	select {}
}

func TestZZCost(t *testing.T) {
	if os.Getenv("ZZ") != "cost" { return }
	cmd := exec.Command(os.Args[0], "-test.run", "TestZZServer")
	cmd.Env = append(os.Environ(), "ZZ=server")
	p, _ := cmd.StdoutPipe()
	cmd.Start()
	defer cmd.Process.Kill()
	sc := bufio.NewScanner(p)
	url := ""
	for sc.Scan() { if u, ok := strings.CutPrefix(sc.Text(), "URL "); ok { url = u; break } }
	for _, rate := range []float64{0, 100000, 20000} {
	cfg := Config{URL: url, Partitions: 8, Accounts: 10000, Run: "test", Duration: 3*time.Second, WarmUp: time.Second, Cross: 0.5, Rate: rate}
	cfg.withDefaults()
	w, _ := newWorkload(&cfg)
	for i := range w.accounts { w.accounts[i].handle = journal.Handle{} }
	var cs []*client.Client
	for range 4 { c, err := client.Dial(context.Background(), client.Config{URL: url, InFlight: 256, Retries: -1}); if err != nil { t.Fatal(err) }; cs = append(cs, c) }
	l := newLoad(&cfg, w, cs)
	var ts []cpuTimes
	err := l.run(context.Background(), func() error { x, err := readCPU(&Processes{Redis: []int{cmd.Process.Pid}}); ts = append(ts, x); return err })
	if err != nil { t.Fatal(err) }
	var n int64
	h := newHistogram()
	for _, x := range l.lanes { n += x.completed; h.Merge(x.latency); if x.errors > 0 { t.Log(x.first) } }
	c, _ := ts[1].per(ts[0], n, false)
	t.Logf("rate %v: %d/s, client %.3f us, server %.3f us, %+v unsent %d", rate, n/3, c.Client, c.Redis, latencyOf(h), l.unsent)
	for _, c := range cs { c.Close() }
	}
}
