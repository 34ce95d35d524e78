package systemtest

import (
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
)

// freezeFor is longer than a ZooKeeper session (4 s) and than a keeper waits for its shard (3 s).
const freezeFor = 6 * time.Second

// P3, P7: the servers hang, one after the other, with all connections open, until whoever depends on them has given them
// up. When they go on, so does the wallet, and what had been taken for lost happens once or not at all.
func TestClusterServersFreeze(t *testing.T) {
	c := startCluster(t, clusterOptions{ownServers: true})
	l := startLoad(t, c.wallet)
	for round := range rounds(t, 1) {
		for _, s := range []*local.Server{c.shards[round%len(c.shards)], c.kafka[0], c.zookeeper[0]} {
			l.advance(steady)
			t.Logf("freezing %s", s.Name)
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			await(t, upLimit, "a while", after(freezeFor))
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
			l.advance(steady)
		}
	}
	c.check(l.stop())
}

// P4: the wires to the shards are bad: slow, cut, dead without a word, refused.
func TestClusterWiresAreBad(t *testing.T) {
	c := startCluster(t, clusterOptions{proxies: true})
	l := startLoad(t, c.wallet)
	for round := range rounds(t, 1) {
		for _, fault := range []struct {
			what string
			on   func(p *faultproxy.Proxy)
			lost time.Duration // 0: the load goes on meanwhile
		}{
			{"cut", (*faultproxy.Proxy).Cut, 0},
			{"slow", func(p *faultproxy.Proxy) { p.Delay(5 * time.Millisecond) }, 0},
			{"refused", func(p *faultproxy.Proxy) { p.Refuse(true); p.Cut() }, time.Second},
			{"dead for a moment", func(p *faultproxy.Proxy) { p.BlackHole(true) }, time.Second},
			{"dead", func(p *faultproxy.Proxy) { p.BlackHole(true) }, freezeFor},
		} {
			l.advance(steady)
			t.Logf("the wires are %s", fault.what)
			p := c.proxies[round%len(c.proxies)]
			fault.on(p)
			if fault.lost == 0 {
				l.advance(steady)
			} else {
				await(t, upLimit, "a while", after(fault.lost))
			}
			p.Heal()
			l.advance(steady)
		}
	}
	c.check(l.stop())
}

// A rolling restart: every process is told to stop, ends well, and comes back; the load goes on.
func TestRollingRestart(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	for range rounds(t, 1) {
		for _, m := range c.members() {
			l.advance(steady)
			begin := time.Now()
			if code := m.interrupt(); code != 0 {
				t.Errorf("%s ended with code %d", m.name, code)
			}
			t.Logf("%s has stopped after %v", m.name, time.Since(begin).Round(time.Millisecond))
			l.advance(steady)
			m.restart()
		}
	}
	c.check(l.stop())
}
