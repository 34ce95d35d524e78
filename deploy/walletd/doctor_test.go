package walletd

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal/kafkalog"
)

// has fails the test unless there is a finding of the level whose line holds all of the words.
func (d *doctor) has(t *testing.T, l level, words ...string) {
	t.Helper()
	var out strings.Builder
	must(t, printFindings(&out, d.findings))
	for line := range strings.Lines(out.String()) {
		found := strings.HasPrefix(line, string(l))
		for _, w := range words {
			found = found && strings.Contains(line, w)
		}
		if found {
			return
		}
	}
	t.Errorf("no %s with %q in\n%s", l, words, out.String())
}

func (d *doctor) allOK(t *testing.T) {
	t.Helper()
	for _, f := range d.findings {
		if f.Level == levelFail {
			t.Errorf("of what is well: %+v", f)
		}
	}
}

func TestDoctorOnRedis(t *testing.T) {
	redis := func(extra ...string) (*doctor, *local.Server) {
		s, err := local.StartRedis(t.Context(), local.RedisConfig{Dir: t.TempDir(), Extra: extra})
		must(t, err)
		t.Cleanup(s.Kill)
		d := new(doctor)
		d.redis(t.Context(), "redis s1", s.Addr)
		return d, s
	}
	d, s := redis()
	d.allOK(t)
	d.has(t, levelOK, "redis s1", s.Addr, "Redis 7.", "0 replicas")
	d.has(t, levelOK, "redis s1 settings")
	d.has(t, levelWarn, "redis s1 memory", "no maxmemory")
	d.has(t, levelOK, "redis s1 clock")

	d, _ = redis("--maxmemory-policy", "allkeys-lru", "--hash-max-listpack-entries", "128", "--appendonly", "yes", "--save", "900 1", "--maxmemory", "1mb")
	for _, setting := range []string{"maxmemory-policy", "hash-max-listpack-entries", "appendonly", "save"} {
		d.has(t, levelFail, "redis s1 settings", setting+" is ", "CONFIG SET "+setting)
	}
	if n := d.failed(); n != 4 {
		t.Errorf("%d settings are wrong, %d checks fail: %+v", 4, n, d.findings)
	}
	d.has(t, levelWarn, "redis s1 memory", "raise maxmemory")

	s.Kill()
	d = new(doctor)
	d.redis(t.Context(), "redis s1", s.Addr)
	d.has(t, levelFail, "redis s1", "does not answer", "start it")
}

// A cluster of one server each, as dev has it, is well in dev; outside of it everything that is weak is named.
func TestDoctorOnACluster(t *testing.T) {
	zk, kafka := local.ZooKeeper(t), local.Kafka(t)
	redis := local.Redis(t)
	c := Config{Cluster: "sick", Partitions: 2, Topic: "wallet.journal", Replicas: 1, Dev: true, Data: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Shards: []ShardConfig{{ID: "s1", Addr: redis.Addr}}, ZooKeeper: []string{zk.Addr}, Kafka: []string{kafka.Addr}}
	c.complete()
	d := &doctor{dev: true}
	d.cluster(t.Context(), &c)
	d.has(t, levelFail, "kafka", kafkalog.ErrNoTopic.Error(), "cluster init")
	d.has(t, levelFail, "zookeeper", "cluster init")

	a := &app{out: new(syncBuffer), err: new(syncBuffer)}
	must(t, a.clusterInit(t.Context(), &c))
	d = &doctor{dev: true}
	d.cluster(t.Context(), &c)
	d.has(t, levelOK, "kafka settings", "2 partitions, 1 copies")
	d.has(t, levelOK, "kafka copies")
	d.has(t, levelOK, "zookeeper config", "2 partitions")
	d.has(t, levelWarn, "gateways", "walletd gateway")
	d.has(t, levelFail, "keeper of s1", "nobody stands")

	strict := c
	strict.Dev, strict.Replicas, strict.ZooKeeperAuth, strict.Partitions = false, 3, "wallet:secret", 4
	d = new(doctor)
	d.cluster(t.Context(), &strict)
	d.has(t, levelFail, "kafka settings", "number of partitions", "fixed for ever")
	d.has(t, levelFail, "zookeeper config", "has 2 partitions", "says 4")
	d.has(t, levelFail, "zookeeper access", "/wallet/sick")
	strict.Partitions = 2
	d = new(doctor)
	d.cluster(t.Context(), &strict)
	d.has(t, levelFail, "kafka settings", "replication factor", "needs 3")
	d.has(t, levelFail, "kafka settings", "min.insync.replicas", "at least 2")

	ctx, cancel := context.WithCancel(context.Background())
	running := make(chan error, 1)
	ready := make(chan struct{})
	c.ID = "doctored"
	go func() {
		running <- a.role(ctx, c, allRoles, func(*readyInfo) error { close(ready); return nil })
	}()
	<-ready
	d = &doctor{dev: true}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		d = &doctor{dev: true} // a gateway registers a moment after it is ready
		d.cluster(t.Context(), &c)
		if !strings.Contains(d.text(t), "none has registered") {
			break
		}
	}
	d.allOK(t)
	d.has(t, levelOK, "gateways", "doctored")
	d.has(t, levelWarn, "keeper of s1", "nobody to take over")
	cancel()
	must(t, <-running)

	kafka.Kill()
	zk.Kill()
	d = &doctor{dev: true}
	d.cluster(t.Context(), &c)
	d.has(t, levelFail, "kafka", "start the brokers")
	d.has(t, levelFail, "zookeeper", "start it")
}

func (d *doctor) text(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	must(t, printFindings(&out, d.findings))
	return out.String()
}

func TestDoctorOnAMachine(t *testing.T) {
	d := new(doctor)
	d.machine(t.TempDir())
	d.has(t, levelOK, "open files")
	d.has(t, levelOK, "disk space")
	if text := d.text(t); !strings.Contains(text, "for a page") {
		t.Errorf("no fsync was measured:\n%s", text)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	d = new(doctor)
	d.fsync(file)
	d.has(t, levelFail, "data directory", "cannot be written")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := taken.Addr().String()
	must(t, taken.Close())
	d = new(doctor)
	d.listeners(t.Context(), map[string]string{"http": addr, "admin": addr})
	d.has(t, levelOK, "listener http", "free")
	taken, err = net.Listen("tcp", addr)
	must(t, err)
	go func() {
		for { // something else, that hangs up
			conn, err := taken.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	d = new(doctor)
	d.listeners(t.Context(), map[string]string{"http": addr, "admin": addr})
	d.has(t, levelFail, "listener http", addr, "another address")
	must(t, taken.Close())
}

// The command, on a wallet that runs and on one that has been stopped; and what it says in JSON.
func TestDoctorOnADevWallet(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	r := runDev(t, data, nil)
	doctor := func(args ...string) (int, string) {
		var out, errs syncBuffer
		code := Main(append([]string{"doctor"}, args...), strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, text := doctor("--data", data); code != 0 || !strings.Contains(text, "it runs") || !strings.Contains(text, "redis s1 settings") {
		t.Errorf("while it runs, code %d: %s", code, text)
	}
	if code, text := doctor("--server", r.url); code != 0 || !strings.Contains(text, "all are served") {
		t.Errorf("by its server, code %d: %s", code, text)
	}
	r.stop()
	must(t, <-r.ended)
	if code, text := doctor("--data", data); code != 0 || !strings.Contains(text, "does not run") {
		t.Errorf("when it has stopped, code %d: %s", code, text)
	}
	code, text := doctor("--server", r.url, "-o", "json")
	var list struct {
		Data []finding
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&list); err != nil || code != exitFailed || len(list.Data) == 0 {
		t.Fatalf("code %d, %v: %s", code, err, text)
	}
	if last := list.Data[len(list.Data)-1]; last.Level != levelFail || last.Remedy == "" {
		t.Errorf("a wallet that does not answer: %+v", last)
	}
}
