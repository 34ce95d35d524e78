package systemtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tookSnapshot is what `snapshot take -o json` prints.
type tookSnapshot struct {
	ID     string `json:"id"`
	Events uint64 `json:"events"`
	Size   int64  `json:"size"`
	Files  []struct {
		Partition int    `json:"partition"`
		Digest    string `json:"digest"`
		Position  string `json:"position"`
	} `json:"files"`
}

// lossReport is what `drill shard-loss -o json` prints.
type lossReport struct {
	OK         bool    `json:"ok"`
	DetectedMS float64 `json:"detected_ms"`
	FoldedMS   float64 `json:"folded_ms"`
	LoadedMS   float64 `json:"loaded_ms"`
	ServingMS  float64 `json:"serving_ms"`
	Partitions []struct {
		Partition int    `json:"partition"`
		Accounts  int    `json:"accounts"`
		Snapshot  string `json:"snapshot"`
		OK        bool   `json:"ok"`
	} `json:"partitions"`
}

// command runs one of walletd's that must end well and print JSON.
func command(t testing.TB, into any, args ...string) {
	t.Helper()
	r := run(t, nil, append([]string{"-o", "json"}, args...)...)
	if r.code != 0 {
		t.Fatalf("walletd %s: %v", strings.Join(args, " "), r)
	}
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("walletd %s: %v: %v", strings.Join(args, " "), err, r)
	}
}

// P11, P12, P17: snapshots are taken under load; a wallet that dies and a shard that is lost are rebuilt from them and the
// journal's tail, channels included; a replay from one gives the same digests as from the first record; a damaged one is
// found, named, and passed over.
func TestSnapshots(t *testing.T) {
	d := startDev(t, 4)
	server := []string{"--server", "http://" + d.gateways[0]}
	data := []string{"--data", d.data}
	l := startLoad(t, d.wallet)
	l.advance(steady)
	var first, second tookSnapshot
	command(t, &first, append([]string{"snapshot", "take"}, server...)...)
	l.advance(steady)
	for i := range d.ready.Redis { // both shards are rebuilt from it, under load
		d.signalRedis(i, syscall.SIGKILL)
		l.advance(steady)
	}
	command(t, &second, append([]string{"snapshot", "take"}, server...)...)
	l.advance(steady)
	d.killAll()
	d.start()
	l.advance(steady)
	d.check(l.stop())
	if len(first.Files) != 4 || first.Events == 0 || second.Events <= first.Events || second.ID <= first.ID {
		t.Errorf("first %+v, second %+v", first, second)
	}

	// Nothing happens any more. The drill's digests are of the same seqs.
	for _, shard := range []string{"s1", "s2"} {
		var r lossReport
		command(t, &r, append([]string{"drill", "shard-loss", shard}, server...)...)
		if !r.OK || len(r.Partitions) != 2 || r.ServingMS <= 0 || r.FoldedMS < r.DetectedMS || r.ServingMS < r.LoadedMS {
			t.Errorf("%+v", r)
		}
		for _, p := range r.Partitions {
			if p.Snapshot != "snapshot "+second.ID || p.Accounts == 0 || !p.OK {
				t.Errorf("%+v", p)
			}
		}
	}
	d.reconciled()
	if r := run(t, nil, append([]string{"drill", "shard-loss", "s9"}, server...)...); r.code != 2 || !strings.Contains(r.stderr, "s9") {
		t.Errorf("a shard that is not there: %v", r)
	}
	if r := run(t, nil, append([]string{"snapshot", "verify", "--deep"}, server...)...); r.code != 0 || !strings.Contains(r.stdout, "as the journal gives") {
		t.Errorf("verify --deep: %v", r)
	}
	d.stop()
	d.offline(first, second, data)
	d.start()
	d.reconciled()
	d.stop()
}

// The same where gateways, keepers and projector are processes of their own, over Kafka: a keeper begins at what the projector
// has written. A drill is for the process that leads the shard.
func TestSnapshotsInACluster(t *testing.T) {
	c := startCluster(t, clusterOptions{snapshots: true})
	config := []string{"-c", c.config}
	l := startLoad(t, c.wallet)
	l.advance(steady)
	var first, second tookSnapshot
	command(t, &first, "snapshot", "take", "--admin", "http://"+c.projector.addr)
	l.advance(steady)
	c.shards[0].Kill() // rebuilt under load
	restartServer(t, c.shards[0])
	l.advance(steady)
	command(t, &second, append([]string{"snapshot", "take"}, config...)...) // from Kafka, while it goes on
	l.advance(steady)
	c.check(l.stop())
	if len(first.Files) != clusterPartitions || second.Events <= first.Events {
		t.Errorf("first %+v, second %+v", first, second)
	}

	leader, other := c.leading(c.leader(0))
	drill := func(at *member) result {
		return run(t, nil, "-o", "json", "drill", "shard-loss", "s1", "--admin", "http://"+at.addr, "--yes-i-mean-it", c.name)
	}
	if r := drill(other); r.code != 7 || !strings.Contains(r.stderr, "does not lead shard s1") {
		t.Errorf("a drill where the shard is not led: %v", r)
	}
	var report lossReport
	r := drill(leader)
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 0 || !report.OK || len(report.Partitions) == 0 {
		t.Fatalf("%v: %v", r, err)
	}
	for _, p := range report.Partitions {
		if p.Snapshot != "snapshot "+second.ID || p.Accounts == 0 {
			t.Errorf("%+v", p)
		}
	}
	c.reconciled()
	if r := run(t, nil, append([]string{"snapshot", "ls"}, config...)...); r.code != 0 || !strings.Contains(r.stdout, first.ID) || !strings.Contains(r.stdout, second.ID) {
		t.Errorf("ls: %v", r)
	}
	if r := run(t, nil, append([]string{"snapshot", "verify", "--deep"}, config...)...); r.code != 0 || strings.Count(r.stdout, "as the journal gives") != 2*clusterPartitions {
		t.Errorf("verify --deep: %v", r)
	}
}

// offline does with the stopped wallet's directory what the commands can do.
func (d *dev) offline(first, second tookSnapshot, data []string) {
	t := d.t
	t.Helper()
	digests := func(args ...string) string {
		var r struct {
			Partitions []struct {
				Digest   string `json:"digest"`
				Chain    string `json:"chain"`
				Snapshot string `json:"snapshot"`
				Seq      uint64 `json:"seq"`
			} `json:"partitions"`
		}
		command(t, &r, append(append([]string{"journal", "replay"}, data...), args...)...)
		text := ""
		for _, p := range r.Partitions {
			text += fmt.Sprintln(p.Seq, p.Digest, p.Chain)
			if want := len(args) > 0; (p.Snapshot != "") != want {
				t.Errorf("replay %v began at %q", args, p.Snapshot)
			}
		}
		return text
	}
	if a, b := digests(), digests("--from-snapshot"); a != b || strings.Count(a, "\n") != 4 {
		t.Errorf("from zero:\n%sfrom snapshots:\n%s", a, b)
	}
	var third tookSnapshot
	command(t, &third, append([]string{"snapshot", "take"}, data...)...)
	if r := run(t, nil, append([]string{"snapshot", "verify", "--deep", third.ID}, data...)...); r.code != 0 {
		t.Errorf("verify the third: %v", r)
	}
	path := filepath.Join(d.data, "snapshots", third.ID, "p0002.snap")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, append([]string{"snapshot", "verify"}, data...)...); r.code != 9 || !strings.Contains(r.stdout, third.ID+"/p0002.snap at byte ") {
		t.Errorf("verify a damaged one: %v", r)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
			OK bool   `json:"ok"`
		} `json:"data"`
	}
	command(t, &list, append([]string{"snapshot", "ls"}, data...)...)
	if len(list.Data) != 3 || list.Data[0].ID != third.ID || list.Data[1].ID != second.ID || list.Data[2].ID != first.ID {
		t.Errorf("%+v", list)
	}
	if a, b := digests(), digests("--from-snapshot"); a != b {
		t.Errorf("over the damaged one: from zero:\n%sfrom snapshots:\n%s", a, b)
	}
}

// operate asks the operators' listener, and waits as long as it takes.
func (d *dev) operate(b *testing.B, path, body string, into any) {
	b.Helper()
	answer, err := http.Post("http://"+d.admin+path, "application/json", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil || answer.StatusCode >= 300 {
		b.Fatalf("POST %s: %s, %v: %s", path, answer.Status, err, text)
	}
}

// P17: BenchmarkRebuild measures how long a shard of a million accounts is away, folded from the first record and from a
// snapshot: go test ./deploy/systemtest -run xxx -bench Rebuild -benchtime 1x -timeout 30m
func BenchmarkRebuild(b *testing.B) {
	const accounts = 1_000_000
	d := startDev(b, 8, "--shards", "1")
	d.stop()
	d.populate(accounts)
	d.launch()
	await(b, 10*time.Minute, "a million accounts are loaded", func() error { // a start that folds them takes longer than others may
		_, err := os.Stat(d.readyPath())
		return err
	})
	d.awaitReady()
	measure := func(what string) {
		var r lossReport
		d.operate(b, "/admin/v1/drills/shard-loss", `{"shard":"s1"}`, &r)
		if !r.OK {
			b.Fatalf("%+v", r)
		}
		b.Logf("%s: %+v", what, r)
		b.ReportMetric(r.FoldedMS/1000, what+"_folded_s")
		b.ReportMetric(r.ServingMS/1000, what+"_serving_s")
	}
	for b.Loop() {
		measure("zero")
		began := time.Now()
		var taken tookSnapshot
		d.operate(b, "/admin/v1/snapshots", "{}", &taken)
		b.ReportMetric(time.Since(began).Seconds(), "take_s")
		b.ReportMetric(float64(taken.Size)/1e6, "snapshot_MB")
		measure("snapshot")
	}
}
