package systemtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/kafkalog"
)

const clusterPartitions = 8

// cluster is a wallet of many processes on real ZooKeeper, Kafka and Redis: two gateways, two keepers, one projector.
type cluster struct {
	*wallet
	name   string
	config string // walletd.yaml

	zookeeper, kafka []*local.Server    // one each, or three
	reached          map[string]string  // the way to a server by its address, where it is not the straight one
	shards           []*local.Server    // s1, s2
	replicas         [2][]*local.Server // of s1, s2, where asked for
	spares           []*local.Server
	proxies          []*faultproxy.Proxy // before the shards, where asked for

	gateways  []*member
	keepers   []*member
	projector *member
}

// member is one process of a cluster; it keeps its name and its addresses over restarts.
type member struct {
	*process
	t    testing.TB
	name string
	addr string // that must serve before it is ready
	path string // what is asked there
	args []string
}

// clusterOptions say what is not as usual.
type clusterOptions struct {
	ownServers bool // ZooKeeper and Kafka of its own: the test kills them
	quorum     bool // three of each, of its own
	proxies    bool // fault proxies between all processes and the shards
	replicas   int  // of each shard
	spares     int
	keyWindow  string // where it is set
	snapshots  bool   // in a directory that all processes see
	events     bool   // are published
	webhook    string // address of a receiver of confirmed reservations

	servers func(c *cluster) // where it is set, finds or starts servers, and says where they are reached
}

var clusters atomic.Int64

// startCluster starts the servers, makes the cluster and starts its processes.
func startCluster(t testing.TB, o clusterOptions) *cluster {
	t.Helper()
	c := &cluster{}
	c.startServers(t, o)
	c.name = fmt.Sprintf("system%d", clusters.Add(1))
	topic := "wallet.journal." + c.name
	yaml := fmt.Sprintf("cluster: %s\npartitions: %d\ntopic: %s\nreplicas: %d\ndev: true\nzookeeper: [%s]\nkafka: [%s]\nshards:\n",
		c.name, clusterPartitions, topic, len(c.kafka), strings.Join(c.addrs(c.zookeeper), ", "), strings.Join(c.addrs(c.kafka), ", "))
	for i := range 2 {
		if len(c.shards) == i {
			c.shards = append(c.shards, local.Redis(t))
		}
		addr := c.addrs(c.shards[i:])[0]
		if o.proxies {
			p := faultproxy.ForTest(t, addr)
			c.proxies, addr = append(c.proxies, p), p.Addr()
		}
		for range o.replicas {
			c.replicas[i] = append(c.replicas[i], local.Redis(t))
		}
		yaml += fmt.Sprintf("  - {id: s%d, addr: %q, replicas: [%s]}\n", i+1, addr, strings.Join(c.addrs(c.replicas[i]), ", "))
	}
	for range o.spares {
		c.spares = append(c.spares, local.Redis(t))
	}
	yaml += fmt.Sprintf("spares: [%s]\n", strings.Join(c.addrs(c.spares), ", "))
	if o.keyWindow != "" {
		yaml += "key_window: " + o.keyWindow + "\n"
	}
	dir := t.TempDir()
	if o.snapshots {
		yaml += fmt.Sprintf("snapshots: {dir: %q, at: off}\n", filepath.Join(dir, "snapshots"))
	}
	if o.events {
		yaml += fmt.Sprintf("events: {publish: true, topic: %q}\n", c.eventsTopic())
	}
	yaml += "reconcile_every: 2s\n"
	if o.webhook != "" {
		yaml += fmt.Sprintf("webhooks: [{name: shop, url: %q, secrets: [%s], types: [reservation.confirmed], allow_private: true}]\n", o.webhook, webhookSecret)
	}
	reads := freeAddr(t)
	c.config = filepath.Join(dir, "walletd.yaml")
	if err := os.WriteFile(c.config, []byte(yaml+fmt.Sprintf("projector_url: %q\n", "http://"+reads)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, "cluster", "init", "-c", c.config); r.code != 0 {
		t.Fatalf("walletd cluster init: %v", r)
	}

	c.wallet = &wallet{t: t, partitions: clusterPartitions, verify: []string{"-c", c.config}}
	c.openLog = func() (journal.Log, func() error, error) {
		log, err := kafkalog.Open(context.Background(), kafkalog.Config{Brokers: addrsOf(c.kafka), Topic: topic, Partitions: clusterPartitions, Replicas: len(c.kafka), Dev: true})
		if err != nil {
			return nil, nil, err
		}
		return log, log.Close, nil
	}
	for i := range 2 {
		c.keepers = append(c.keepers, c.member(fmt.Sprintf("keeper-%d", i+1), "/livez", "keeper"))
	}
	c.projector = c.member("projector-1", "/livez", "projector", "--reads-http", reads, "--data", filepath.Join(dir, "projector-1"))
	c.admin, c.audited = c.projector.addr, []string{"--admin", "http://" + c.projector.addr}
	for i := range 2 {
		http := freeAddr(t)
		g := c.member(fmt.Sprintf("gateway-%d", i+1), "/readyz", "gateway", "--http", http)
		c.gateways, c.wallet.gateways = append(c.gateways, g), append(c.wallet.gateways, http)
	}
	for _, m := range c.members() {
		m.launch()
	}
	for _, m := range c.members() {
		m.awaitReady()
	}
	return c
}

func (c *cluster) eventsTopic() string { return "wallet.events." + c.name }

// startServers starts ZooKeeper and Kafka: those that all tests share, or some for this one.
func (c *cluster) startServers(t testing.TB, o clusterOptions) {
	t.Helper()
	switch {
	case o.servers != nil:
		o.servers(c)
	case o.quorum:
		var err error
		if c.zookeeper, err = local.StartZooKeeperQuorum(t.Context(), t.TempDir(), 3); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { killAll(c.zookeeper) })
		if c.kafka, err = local.StartKafkaQuorum(t.Context(), t.TempDir(), 3); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { killAll(c.kafka) })
	case o.ownServers:
		c.zookeeper, c.kafka = []*local.Server{local.ZooKeeper(t)}, []*local.Server{local.Kafka(t)}
	default:
		c.zookeeper, c.kafka = []*local.Server{local.SharedZooKeeper(t)}, []*local.Server{local.SharedKafka(t)}
	}
}

func killAll(servers []*local.Server) {
	for _, s := range servers {
		s.Kill()
	}
}

// addrs are the servers' addresses as walletd is to reach them.
func (c *cluster) addrs(servers []*local.Server) (addrs []string) {
	for _, addr := range addrsOf(servers) {
		if way := c.reached[addr]; way != "" {
			addr = way
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

func addrsOf(servers []*local.Server) (addrs []string) {
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

func (c *cluster) member(name, path, role string, flags ...string) *member {
	m := &member{t: c.t, name: name, addr: freeAddr(c.t), path: path}
	m.args = append([]string{role, "-c", c.config, "--id", name, "--admin", m.addr}, flags...)
	return m
}

func (c *cluster) members() []*member {
	return slices.Concat(c.keepers, []*member{c.projector}, c.gateways)
}

func (m *member) launch() {
	m.t.Helper()
	m.process = launch(m.t, m.name, nil, m.args...)
}

func (m *member) awaitReady() {
	m.t.Helper()
	m.ready(func() error { return answers(m.addr, m.path) })
}

// restart starts it again and returns when it serves.
func (m *member) restart() {
	m.t.Helper()
	m.launch()
	m.awaitReady()
}

// leader is the name of the keeper that owns the partition, as the journal says: who started its last epoch.
func (c *cluster) leader(partition int) string { return c.replay().owners[partition] }

// leading is the keeper of a name, and the other one.
func (c *cluster) leading(name string) (leader, other *member) {
	c.t.Helper()
	for i, k := range c.keepers {
		if k.name == name || strings.HasPrefix(name, k.name) {
			return k, c.keepers[1-i]
		}
	}
	c.t.Fatalf("the journal names the keeper %q, which is none of ours", name)
	return nil, nil
}

// restartServer starts a server again; what it remembers is its own affair.
func restartServer(t testing.TB, s *local.Server) {
	t.Helper()
	if err := s.Restart(within(t, upLimit)); err != nil {
		t.Fatal(err)
	}
}
