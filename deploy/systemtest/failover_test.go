package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// shownShards are the shards as a gateway's map shows them.
func (c *cluster) shownShards(g *member) (map[string]shardrouter.Shard, error) {
	a, err := callAt(g.addr, "GET", "/admin/v1/shards", nil, nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Data []shardrouter.Shard }
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, fmt.Errorf("%v: %w", a, err)
	}
	shards := map[string]shardrouter.Shard{}
	for _, s := range list.Data {
		shards[s.ID] = s
	}
	return shards, nil
}

// primaryIs waits until every gateway's map has the shard's primary at an address.
func (c *cluster) primaryIs(shard, addr string) {
	c.t.Helper()
	await(c.t, recoverLimit, shard+" is at "+addr, func() error {
		for _, g := range c.gateways {
			shown, err := c.shownShards(g)
			if err != nil {
				return err
			}
			if s := shown[shard]; s.Primary != addr {
				return fmt.Errorf("%s shows %+v", g.name, s)
			}
		}
		return nil
	})
}

// P3, P10, P15, P17: a shard's primary dies for good: its replica takes over; when that dies, too, a spare does; then the first,
// which came back, is frozen in its turn. The other shard's accounts never notice.
func TestPrimaryDiesForGood(t *testing.T) {
	c := startCluster(t, clusterOptions{replicas: 1, spares: 1})
	l := startLoad(t, c.wallet)
	first, second, third := c.shards[0], c.replicas[0][0], c.spares[0]
	probers := c.probers()
	others := int64(0) // transfers of the other shard while the first has no primary
	lose := func(what string, fault func(), to string) {
		t.Helper()
		l.advance(steady)
		t.Logf("%s", what)
		began := time.Now()
		fault()
		stop := unharmed(t, probers)
		c.primaryIs("s1", to)
		n := stop()
		t.Logf("every gateway has the new primary %v later; the other shard confirmed %d transfers meanwhile, and refused none", time.Since(began).Round(time.Millisecond), n)
		others += n
		l.advance(steady)
	}
	lose("the primary dies", first.Kill, second.Addr)
	lose("its replica dies", second.Kill, third.Addr)
	restartServer(t, first)
	c.linked("s1", first.Addr)
	lose("the spare is frozen", func() { must(t, syscall.Kill(third.PID, syscall.SIGSTOP)) }, first.Addr)
	must(t, syscall.Kill(third.PID, syscall.SIGCONT))
	c.linked("s1", third.Addr)
	l.advance(steady)
	if others < 100 {
		t.Errorf("the other shard confirmed %d transfers while the first had no primary", others)
	}
	c.check(l.stop())
}

// linked waits until the shard's keeper says that a replica is linked.
func (c *cluster) linked(shard, addr string) {
	c.t.Helper()
	await(c.t, recoverLimit, addr+" replicates "+shard, func() error {
		for _, k := range c.keepers {
			a, err := callAt(k.addr, "GET", "/metrics", nil, nil)
			if err != nil {
				return err
			}
			if strings.Contains(string(a.body), fmt.Sprintf("wallet_replica_linked{addr=%q,shard=%q} 1", addr, shard)) {
				return nil
			}
		}
		return errors.New("no keeper says so")
	})
}

// unharmed pays in the partitions of the second shard, which the map deals out in turn, until it is stopped: nothing is refused.
func unharmed(t *testing.T, probers []*prober) (stop func() (paid int64)) {
	var paid atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for p := 1; p < len(probers); p += 2 {
		wg.Go(func() {
			for !over.Load() {
				if err := probers[p].pay(answerLimit); err != nil {
					t.Errorf("partition %d, of the shard that lives: %v", p, err)
					return
				}
				paid.Add(1)
			}
		})
	}
	return func() int64 { over.Store(true); wg.Wait(); return paid.Load() }
}

// P10: a primary and its keeper are frozen; another keeper fails over. When both go on, the old primary answers nobody any more,
// neither what waited at it meanwhile nor what a gateway with the old map sends it afterwards.
func TestFrozenPrimaryAndKeeperAnswerNobody(t *testing.T) {
	c := startCluster(t, clusterOptions{replicas: 1})
	l := startLoad(t, c.wallet)
	k := c.probers()[0] // of a partition of s1
	old, other := c.leading(c.leader(0))
	first, second := c.shards[0], c.replicas[0][0]
	c.linked("s1", second.Addr)
	shown, err := c.shownShards(c.gateways[0])
	must(t, err)
	stale, err := luascripts.Open(luascripts.Config{Addr: first.Addr, Epoch: shown["s1"].Epoch, ReadTimeout: 2 * recoverLimit})
	must(t, err)
	defer stale.Close()
	from, to := journal.HandleOf(k.from), journal.HandleOf(k.to)
	ask := func(key string) (journal.Status, error) {
		var tr luascripts.Train
		tr.Section(from.Partition(clusterPartitions), shown["s1"].Epoch)
		row := journal.Row{Op: journal.OpRead, Account: from}
		if key != "" {
			row = journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, ID: journal.IDOf(from, key), Account: from, To: to, Amount: 1, Asset: 1, Key: []byte(key)}
		}
		tr.Add(row.Append(nil))
		reply, err := stale.Run(t.Context(), &tr)
		if err == nil && !reply.NextSection() {
			err = reply.Err()
		}
		return reply.Section().Status, err
	}
	if s, err := ask(""); err != nil || s != journal.OK {
		t.Fatalf("before: %v, %v", s, err)
	}
	l.advance(steady)
	must(t, syscall.Kill(first.PID, syscall.SIGSTOP))
	old.freeze()
	refused := func(what, key string) {
		if s, err := ask(key); err == nil && s == journal.OK || err != nil && !luascripts.NothingMoved(err) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	var waiting sync.WaitGroup
	for i := range 4 {
		waiting.Go(func() { refused("a read that waited", "") })
		waiting.Go(func() { refused("a transfer that waited", fmt.Sprint("waited-", i)) })
	}
	c.primaryIs("s1", second.Addr)
	await(t, recoverLimit, "a probe pays", func() error { return k.pay(answerLimit) })
	l.advance(steady)
	if owner := c.leader(0); owner != other.name {
		t.Errorf("partition 0 belongs to %s, not %s", owner, other.name)
	}
	must(t, syscall.Kill(first.PID, syscall.SIGCONT))
	waiting.Wait()
	old.thaw()
	for began, i := time.Now(), 0; time.Since(began) < 2*time.Second; i++ {
		refused("a read", "")
		refused("a transfer", fmt.Sprint("late-", i))
	}
	c.linked("s1", first.Addr)
	l.advance(steady)
	c.check(l.stop())
}
