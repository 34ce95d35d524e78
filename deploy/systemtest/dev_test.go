package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/filelog"
)

// readyFile is what `walletd dev --ready-file` writes.
type readyFile struct {
	HTTP  string
	WS    string
	Admin string
	PID   int
	Data  string
	Redis []struct {
		Shard, Addr string
		PID         int
	}
}

// dev is a `walletd dev` of this test. It keeps its addresses and its data directory over restarts.
type dev struct {
	*wallet
	data  string
	args  []string
	proc  *process
	ready readyFile
}

// startDev starts a wallet in an empty directory.
func startDev(t testing.TB, partitions int, flags ...string) *dev {
	t.Helper()
	http, admin := freeAddr(t), freeAddr(t)
	d := &dev{data: filepath.Join(t.TempDir(), "data")}
	d.wallet = &wallet{t: t, partitions: partitions, gateways: []string{http}, admin: admin,
		audited: []string{"--server", "http://" + http}, verify: []string{"--data", d.data},
		openLog: func() (journal.Log, func() error, error) {
			log, err := filelog.OpenReadOnly(filepath.Join(d.data, "journal"))
			if err != nil {
				return nil, nil, err
			}
			return log, log.Close, nil
		}}
	d.args = append([]string{"dev", "--data", d.data, "--http", http, "--admin", admin, "--ready-file", d.readyPath(),
		"--partitions", strconv.Itoa(partitions)}, flags...)
	d.start()
	return d
}

func freeAddr(t testing.TB) string {
	t.Helper()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func (d *dev) readyPath() string { return filepath.Join(filepath.Dir(d.data), "ready.json") }

// start starts the process and returns when it says that everything answers.
func (d *dev) start() {
	d.t.Helper()
	d.launch()
	d.awaitReady()
}

// launch starts the process and does not wait.
func (d *dev) launch() {
	d.t.Helper()
	_ = os.Remove(d.readyPath()) // the last process's, if there was one
	d.proc = launch(d.t, "walletd dev", nil, d.args...)
}

func (d *dev) awaitReady() {
	d.t.Helper()
	begin := time.Now()
	d.proc.ready(func() error {
		b, err := os.ReadFile(d.readyPath())
		if err != nil {
			return err
		}
		d.ready = readyFile{}
		return json.Unmarshal(b, &d.ready)
	})
	if d.ready.PID != d.proc.pid || len(d.ready.Redis) == 0 {
		d.t.Fatalf("the ready file says %+v, the process is %d", d.ready, d.proc.pid)
	}
	d.t.Logf("walletd dev was ready after %v", time.Since(begin).Round(time.Millisecond))
}

// kill ends walletd with SIGKILL; its shards must go with it.
func (d *dev) kill() {
	d.t.Helper()
	d.proc.kill()
	noneLeft(d.t, d.data)
}

// killAll ends walletd and all its shards at once.
func (d *dev) killAll() {
	d.t.Helper()
	for i := range d.ready.Redis {
		d.signalRedis(i, syscall.SIGKILL)
	}
	d.kill()
}

// stop is Ctrl-C: it must end well and leave nothing behind.
func (d *dev) stop() {
	d.t.Helper()
	begin := time.Now()
	if code := d.proc.interrupt(); code != 0 {
		d.t.Errorf("Ctrl-C ended walletd with code %d", code)
	}
	took := time.Since(begin).Round(time.Millisecond)
	d.t.Logf("walletd dev has stopped after %v", took)
	if took > stopSoon {
		d.t.Errorf("Ctrl-C took %v", took)
	}
	noneLeft(d.t, d.data)
}

var processID = regexp.MustCompile(`process_id:(\d+)`)

// redisPID asks a Redis who it is: one that was started again is another process.
func redisPID(addr string) (int, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, "INFO server\r\nQUIT\r\n"); err != nil {
		return 0, err
	}
	b, err := io.ReadAll(conn)
	m := processID.FindSubmatch(b)
	if m == nil {
		return 0, errors.Join(fmt.Errorf("%s does not say its process_id", addr), err)
	}
	return strconv.Atoi(string(m[1]))
}

// signalRedis sends a signal to the i-th shard's present process, which is a child of the walletd that we started,
// and returns its pid.
func (d *dev) signalRedis(i int, s syscall.Signal) int {
	d.t.Helper()
	pid, err := redisPID(d.ready.Redis[i].Addr)
	if err != nil {
		d.t.Fatalf("shard %s: %v", d.ready.Redis[i].Shard, err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		d.t.Fatalf("signal %v to shard %s (pid %d): %v", s, d.ready.Redis[i].Shard, pid, err)
	}
	return pid
}

// shardOf is the shard of every partition, as the operators' listener tells it.
func (w *wallet) shardOf() []string {
	w.t.Helper()
	var list struct {
		Data []struct {
			Partition int
			Shard     string
		}
	}
	a, err := callAt(w.admin, "GET", "/admin/v1/partitions", nil, nil)
	if err == nil {
		err = json.Unmarshal(a.body, &list)
	}
	if err != nil || len(list.Data) != w.partitions {
		w.t.Fatalf("/admin/v1/partitions answered %v, %v", a, err)
	}
	shards := make([]string, w.partitions)
	for _, p := range list.Data {
		shards[p.Partition] = p.Shard
	}
	return shards
}
