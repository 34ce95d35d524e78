package systemtest

import (
	"fmt"
	"testing"
)

// P3, P17: every kind of process of a cluster is killed, one after the other, and the load goes on. Where another one can
// take over, it does so before the dead one comes back.
func TestClusterLosesEveryKind(t *testing.T) {
	c := startCluster(t, clusterOptions{ownServers: true})
	l := startLoad(t, c.wallet)
	faults := []struct {
		what string
		do   func(round int)
	}{
		{"a gateway", func(round int) {
			g := c.gateways[round%len(c.gateways)]
			g.kill()
			l.advance(steady)
			g.restart()
		}},
		{"the keeper of a partition", func(round int) {
			leader, _ := c.leading(c.leader(round % clusterPartitions))
			leader.kill()
			l.advance(steady)
			leader.restart()
		}},
		{"the projector", func(int) {
			c.projector.kill()
			l.advance(steady)
			c.projector.restart()
		}},
		{"a Redis", func(round int) {
			s := c.shards[round%len(c.shards)]
			s.Kill()
			restartServer(t, s)
			l.advance(steady)
		}},
		{"the Kafka broker", func(int) {
			c.kafka.Kill()
			restartServer(t, c.kafka)
			l.advance(steady)
		}},
		{"ZooKeeper", func(int) {
			c.zookeeper.Kill()
			restartServer(t, c.zookeeper)
			l.advance(steady)
		}},
	}
	for round := range rounds(t, 1) {
		for _, f := range faults {
			l.advance(steady)
			t.Logf("killing %s", f.what)
			f.do(round)
		}
	}
	for _, m := range c.members() {
		if !m.alive() {
			t.Errorf("%s has ended", m.name)
		}
	}
	c.check(l.stop())
}

// P10: the keeper that owns partitions is frozen; the other takes over; the frozen one goes on as if nothing had happened,
// a zombie that believes to own them. Nothing is lost, nothing happens twice, and it is of use again.
func TestFrozenKeeperDoesNoHarm(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	for range rounds(t, 2) {
		l.advance(steady)
		name := c.leader(0)
		frozen, other := c.leading(name)
		frozen.freeze()
		await(t, recoverLimit, other.name+" takes over", func() error {
			for p := range clusterPartitions {
				if owner := c.leader(p); owner != other.name {
					return fmt.Errorf("partition %d belongs to %s", p, owner)
				}
			}
			return nil
		})
		l.advance(steady)
		frozen.thaw()
		l.advance(steady)

		other.kill() // now the zombie is needed
		l.advance(steady)
		other.restart()
		if !frozen.alive() {
			t.Errorf("%s has ended after it was frozen", frozen.name)
		}
	}
	c.check(l.stop())
}

// A frozen gateway's requests end at the other one; what it had taken and executes when it goes on happens once.
func TestFrozenGatewayDoesNoHarm(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	for i := range rounds(t, 2) {
		g := c.gateways[i%len(c.gateways)]
		l.advance(steady)
		g.freeze()
		l.advance(steady)
		g.thaw()
		l.advance(steady)
	}
	c.check(l.stop())
}
