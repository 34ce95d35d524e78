package systemtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"walletd/deploy/local"
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
			c.kafka[0].Kill()
			restartServer(t, c.kafka[0])
			l.advance(steady)
		}},
		{"ZooKeeper", func(int) {
			c.zookeeper[0].Kill()
			restartServer(t, c.zookeeper[0])
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
// a zombie that believes to own them. Nothing is lost, nothing happens twice, and it is of use again. In the second round a
// gateway is frozen with it, which believes what it says, and the shards lose what the zombie alone may still know.
func TestFrozenKeeperDoesNoHarm(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	l := startLoad(t, c.wallet)
	for round := range rounds(t, 2) {
		l.advance(steady)
		frozen, other := c.leading(c.leader(0))
		accomplice := c.gateways[round%len(c.gateways)]
		frozen.freeze()
		if round%2 == 1 {
			accomplice.freeze()
			for _, s := range c.shards {
				s.Kill()
				restartServer(t, s)
			}
		}
		await(t, recoverLimit, other.name+" takes over", func() error {
			for p := range clusterPartitions {
				if owner := c.leader(p); owner != other.name {
					return fmt.Errorf("partition %d belongs to %s", p, owner)
				}
			}
			return nil
		})
		l.advance(steady)
		accomplice.thaw()
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

// P3: with three of each, a broker and a ZooKeeper may stay dead, those that lead above all: the journal goes on with new
// leaders, and the dead ones catch up when they come back. With two of each dead nobody is told yes until they are back, and
// then everything heals by itself.
func TestQuorumsLoseAMember(t *testing.T) {
	c := startCluster(t, clusterOptions{quorum: true})
	l := startLoad(t, c.wallet)
	for round := range rounds(t, 1) {
		for _, s := range []*local.Server{c.kafkaLeader(round % clusterPartitions), c.zooKeeperLeader()} {
			l.advance(steady)
			t.Logf("killing %s at %s, which leads", s.Name, s.Addr)
			s.Kill()
			l.advance(steady)
			restartServer(t, s)
		}
		await(t, recoverLimit, "the journal has all its copies again", func() error { return c.inSync() })
		l.advance(steady)
		c.losesMost(l, round)
		await(t, recoverLimit, "the journal has all its copies again", func() error { return c.inSync() })
	}
	c.check(l.stop())
}

// losesMost kills two of each, sees that nobody is told yes, and starts them again.
func (c *cluster) losesMost(l *load, round int) {
	c.t.Helper()
	c.t.Log("killing two of each")
	for i := range 2 {
		c.kafka[(round+i)%3].Kill()
		c.zookeeper[(round+i)%3].Kill()
	}
	n := 0
	pay := func() (answer, error) {
		n++
		return c.pay(l.accounts[n%len(l.accounts)], l.accounts[(n+1)%len(l.accounts)], fmt.Sprintf("most/%d/%d", round, n))
	}
	await(c.t, recoverLimit, "writes are refused", func() error {
		a, err := pay()
		if err == nil && (a.status != http.StatusServiceUnavailable || !slices.Contains([]string{"journal_unavailable", "shard_unavailable"}, a.problem().Code)) {
			err = fmt.Errorf("a transfer answers %v", a)
		}
		return err
	})
	before := l.acknowledged()
	away := after(3 * time.Second)
	await(c.t, recoverLimit, "a while without a quorum", func() error {
		if a, err := pay(); err == nil && a.status < http.StatusInternalServerError {
			c.t.Errorf("without a quorum of anything a transfer answers %v", a)
		}
		return away()
	})
	if now := l.acknowledged(); now != before {
		c.t.Errorf("%d transfers were acknowledged without a quorum", now-before)
	}
	for i := range 2 {
		restartServer(c.t, c.zookeeper[(round+i)%3])
	}
	for i := range 2 {
		restartServer(c.t, c.kafka[(round+i)%3])
	}
	l.advance(steady)
}

// acknowledged is how many transfers have been.
func (l *load) acknowledged() (n int64) {
	for p := range l.acked {
		n += l.acked[p].Load()
	}
	return n
}

// kafkaLeader is the broker that leads a partition of the journal.
func (c *cluster) kafkaLeader(partition int) (leader *local.Server) {
	c.t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(addrsOf(c.kafka)...), Timeout: answerLimit}
	await(c.t, recoverLimit, "the journal has a leader", func() error {
		m, err := client.Metadata(within(c.t, answerLimit), &kafka.MetadataRequest{})
		if err != nil {
			return err
		}
		for _, topic := range m.Topics {
			for _, p := range topic.Partitions {
				for _, s := range c.kafka {
					if p.ID == partition && strings.HasPrefix(topic.Name, "wallet.journal") && s.Addr == fmt.Sprintf("%s:%d", p.Leader.Host, p.Leader.Port) {
						leader = s
						return nil
					}
				}
			}
		}
		return errors.New("none")
	})
	return leader
}

// zooKeeperLeader is the one of the ensemble that says that it leads.
func (c *cluster) zooKeeperLeader() (leader *local.Server) {
	c.t.Helper()
	await(c.t, recoverLimit, "ZooKeeper has a leader", func() error {
		for _, s := range c.zookeeper {
			conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
			if err != nil {
				continue
			}
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			_, _ = io.WriteString(conn, "srvr")
			b, _ := io.ReadAll(conn)
			_ = conn.Close()
			if strings.Contains(string(b), "Mode: leader") {
				leader = s
				return nil
			}
		}
		return errors.New("none")
	})
	return leader
}

// inSync asks whether every partition's copies are in sync, so that the next broker may die.
func (c *cluster) inSync() error {
	client := &kafka.Client{Addr: kafka.TCP(addrsOf(c.kafka)...), Timeout: answerLimit}
	m, err := client.Metadata(within(c.t, answerLimit), &kafka.MetadataRequest{})
	if err != nil {
		return err
	}
	for _, topic := range m.Topics {
		for _, p := range topic.Partitions {
			if len(p.Isr) < len(p.Replicas) || len(p.Replicas) == 0 {
				return fmt.Errorf("partition %d of %s: %d of %d are in sync", p.ID, topic.Name, len(p.Isr), len(p.Replicas))
			}
		}
	}
	return nil
}
