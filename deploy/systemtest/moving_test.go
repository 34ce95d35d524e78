package systemtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusedAtMost bounds how long a partition that moves may refuse everything. On a quiet machine it is some 0.1 s, and mostly
// nothing is refused at all; this one may be busy.
const refusedAtMost = 5 * time.Second

// gauge asks for a balance in a partition, again and again, and says how long it was refused, and how long an answer took.
type gauge struct {
	refused time.Duration // longest time between two answers with a refusal between them
	waited  time.Duration // longest wait for an answer
	answers int
	refusal string
}

// gaugeAll measures all partitions until the returned function is called.
func gaugeAll(w *wallet, l *load) (stop func() []*gauge) {
	gauges := make([]*gauge, w.partitions)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for p := range gauges {
		g := &gauge{}
		gauges[p] = g
		at := slices.IndexFunc(l.accounts, func(a string) bool { return w.partitionOf(a) == p })
		wg.Go(func() { g.run(w, l.accounts[at], ended) })
	}
	return func() []*gauge {
		close(ended)
		wg.Wait()
		return gauges
	}
}

func (g *gauge) run(w *wallet, account string, ended <-chan struct{}) {
	answered, refused := time.Now(), false
	for {
		select {
		case <-ended:
			return
		case <-time.After(5 * time.Millisecond):
		}
		began := time.Now()
		a, err := w.call("GET", "/v1/accounts/"+account+"/balance", nil, nil)
		now := time.Now()
		if err != nil || a.status != http.StatusOK {
			refused = true
			g.refusal = fmt.Sprintf("%v %v", a, err)
			continue
		}
		if refused {
			g.refused = max(g.refused, now.Sub(answered))
		}
		g.waited, g.answers = max(g.waited, now.Sub(began)), g.answers+1
		answered, refused = now, false
	}
}

// judge looks at the gauges: those of the partitions that moved, and the others, which must have noticed nothing.
func judge(t *testing.T, gauges []*gauge, moved func(p int) bool) {
	t.Helper()
	var waitedMoved, waitedOther, refused time.Duration
	for p, g := range gauges {
		if g.answers == 0 {
			t.Errorf("partition %d never answered: %s", p, g.refusal)
		}
		if !moved(p) {
			waitedOther = max(waitedOther, g.waited)
			if g.refused > 0 {
				t.Errorf("partition %d, which did not move, was refused for %v: %s", p, g.refused, g.refusal)
			}
			continue
		}
		waitedMoved, refused = max(waitedMoved, g.waited), max(refused, g.refused)
		if g.refused > refusedAtMost {
			t.Errorf("partition %d was refused for %v: %s", p, g.refused, g.refusal)
		}
	}
	t.Logf("partitions that moved: refused for %v at most, an answer took %v at most; the others: %v", refused, waitedMoved, waitedOther)
}

// shards are where the partitions are, by `walletd shard ls`.
func (w *wallet) shards() map[string][]int {
	w.t.Helper()
	r := run(w.t, nil, append([]string{"shard", "ls", "-o", "json"}, w.operators()...)...)
	var list struct {
		Data []struct {
			ID         string
			Partitions []int
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); r.code != 0 || err != nil {
		w.t.Fatalf("shard ls: %v, %v", err, r)
	}
	all := map[string][]int{}
	for _, s := range list.Data {
		all[s.ID] = s.Partitions
	}
	return all
}

// operators are the arguments that name the operators' listener.
func (w *wallet) operators() []string { return []string{"--admin", "http://" + w.admin} }

func (w *wallet) mustRun(args ...string) result {
	w.t.Helper()
	r := run(w.t, nil, append(args, w.operators()...)...)
	if r.code != 0 {
		w.t.Fatalf("walletd %s: %v", strings.Join(args, " "), r)
	}
	return r
}

// moveAbout moves a partition to and fro, and then empties the first shard.
func moveAbout(t *testing.T, w *wallet, l *load) {
	t.Helper()
	for range rounds(t, 2) {
		for _, to := range []string{"s2", "s1"} {
			began := time.Now()
			r := w.mustRun("partition", "move", "0", "--to", to, "-o", "json")
			var v struct {
				Shard string
				Move  any
			}
			if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v.Shard != to || v.Move != nil {
				t.Errorf("moved to %s: %v, %v", to, err, r)
			}
			t.Logf("partition 0 went to %s in %v", to, time.Since(began).Round(time.Millisecond))
			l.advance(steady)
		}
	}
	w.mustRun("shard", "drain", "s1")
	l.advance(steady)
	if at := w.shards(); len(at["s1"]) != 0 || len(at["s2"]) != w.partitions {
		t.Errorf("after the drain: %v", at)
	}
}

// A partition moves to another shard and back, and a shard is emptied, under load: nothing is lost, nothing happens twice, the
// partitions that do not move notice nothing. The wallet starts again with an empty shard, which can get partitions back.
func TestPartitionsMoveUnderLoad(t *testing.T) {
	d := startDev(t, 4)
	l := startLoad(t, d.wallet)
	stop := gaugeAll(d.wallet, l)
	d.mustRun("partition", "move", "0", "--to", "s2")
	d.mustRun("partition", "move", "0", "--to", "s1")
	judge(t, stop(), func(p int) bool { return p == 0 })
	stop = gaugeAll(d.wallet, l)
	moveAbout(t, d.wallet, l)
	judge(t, stop(), func(p int) bool { return p%2 == 0 }) // what s1 had
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"partition", "move", "0", "--to", "s9"}, 2, "s9"},
		{[]string{"partition", "move", "0", "--to", "s2"}, 2, "there already"},
		{[]string{"partition", "move", "77", "--to", "s2"}, 2, "0 to 3"},
		{[]string{"partition", "move", "0"}, 2, "--to"},
		{[]string{"partition", "move", "0", "--abort"}, 2, "no move"},
		{[]string{"shard", "drain", "s9"}, 2, "s9"},
	} {
		if r := run(t, nil, append(c.args, d.operators()...)...); r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %v; want code %d and %q", c.args, r, c.code, c.says)
		}
	}
	if r := d.mustRun("shard", "drain", "s1"); !strings.Contains(r.stdout, "0 partitions moved") {
		t.Errorf("drained again: %v", r)
	}
	d.kill()
	d.start()
	l.advance(steady)
	d.mustRun("partition", "move", "1", "--to", "s1")
	l.advance(steady)
	r := d.mustRun("partition", "ls")
	if lines := strings.Split(strings.TrimSpace(r.stdout), "\n"); len(lines) != 5 || !strings.HasPrefix(lines[2], "1          s1") {
		t.Errorf("partition ls: %v", r)
	}
	d.check(l.stop())
}

// The same where every role is a process of its own, over ZooKeeper and Kafka; a keeper dies in the middle of a move.
func TestPartitionsMoveInACluster(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	stop := gaugeAll(c.wallet, l)
	moveAbout(t, c.wallet, l)
	judge(t, stop(), func(p int) bool { return p%2 == 0 })
	for i := range rounds(t, 2) {
		p := strconv.Itoa(i % c.partitions)
		c.mustRun("partition", "move", p, "--to", "s1", "--no-wait")
		leader, _ := c.leading(c.leader(i % c.partitions))
		leader.kill()
		l.advance(steady)
		leader.restart()
		await(t, recoverLimit, "the partition is there", func() error {
			if at := c.shards1(); !slices.Contains(at, i%c.partitions) {
				return fmt.Errorf("s1 has %v", at)
			}
			return nil
		})
		l.advance(steady)
	}
	c.check(l.stop())
}

// shards1 are the partitions of the first shard.
func (c *cluster) shards1() []int { return c.wallet.shards()["s1"] }
