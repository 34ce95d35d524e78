package systemtest

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
)

// The form of a cluster: a process of each role on real ZooKeeper, Kafka and Redis, with proxies on every wire. Servers
// are used again by the next run, if they live.

// clusterStand is a cluster in the laboratory.
type clusterStand struct {
	*cluster
	t       testing.TB
	around  *wallet
	redis   [labShards]*redisFaults
	wires   map[string]*faultproxy.Proxy // by target
	servers map[string]*serverFaults     // ZooKeeper and the broker
	members map[string]*memberFaults
	moves   *moves
}

// clusterSlot are the servers that runs share.
type clusterSlot struct {
	zookeeper *local.Server
	broker    *labBroker
}

func newClusterForm(t testing.TB) *form {
	s := newClusterSlot(t)
	return &form{
		timing: timing{length: 8 * time.Second, lasts: 5 * time.Second, faultsMax: 5, window: 2 * time.Second},
		load:   loadOptions{sessions: 4, workers: 12, perSecond: 500, perPartition: 1, loners: 2, readers: 1, burst: 100},
		can:    func() []fault { return sortedFaults(newClusterFaults().faults()) },
		start:  func(t testing.TB, _ int, of *schedule, _ string) stand { return newClusterStand(t, s, of.window) },
		slots:  1,
	}
}

func newClusterSlot(t testing.TB) *clusterSlot {
	return &clusterSlot{zookeeper: local.ZooKeeper(t), broker: newLabBroker(t)}
}

// Names of targets.
const (
	zkName, kafkaName     = "zookeeper", "broker"
	zkWire, kafkaWire     = "↔zookeeper", "↔kafka"
	redisWire, clientWire = "↔redis", "client↔gateway"
)

// newClusterFaults makes a stand that has names, and nothing behind them.
func newClusterFaults() *clusterStand {
	s := &clusterStand{wires: map[string]*faultproxy.Proxy{zkWire: nil, kafkaWire: nil}, servers: map[string]*serverFaults{zkName: nil, kafkaName: nil},
		members: map[string]*memberFaults{"projector": nil}}
	for i := range 2 {
		s.wires[numbered(redisWire, i)], s.wires[numbered(clientWire, i)] = nil, nil
		s.members[numbered("gateway", i)], s.members[numbered("keeper", i)] = nil, nil
	}
	return s
}

func newClusterStand(t testing.TB, slot *clusterSlot, window time.Duration) *clusterStand {
	t.Helper()
	s := newClusterFaults()
	s.t = t
	s.wires[kafkaWire], s.wires[zkWire] = slot.broker.wire, faultproxy.ForTest(t, slot.zookeeper.Addr)
	var keyWindow string
	if window > 0 {
		keyWindow = window.String()
	}
	s.cluster = startCluster(t, clusterOptions{keyWindow: keyWindow, servers: func(c *cluster) {
		c.zookeeper, c.kafka = []*local.Server{slot.zookeeper}, []*local.Server{slot.broker.server}
		c.reached = map[string]string{slot.zookeeper.Addr: s.wires[zkWire].Addr(), slot.broker.server.Addr: slot.broker.wire.Addr()}
		for i := range labShards {
			dir := t.TempDir()
			server, err := local.StartRedis(t.Context(), local.RedisConfig{Dir: dir})
			mustDo(t, "redis", err)
			t.Cleanup(server.Kill)
			s.redis[i] = &redisFaults{t: t, name: numbered("redis", i), hand: ownRedis{server, dir}, set: map[string]bool{}}
			wire := faultproxy.ForTest(t, server.Addr)
			s.wires[numbered(redisWire, i)], c.reached[server.Addr] = wire, wire.Addr()
			c.shards = append(c.shards, server)
		}
	}})
	s.servers[zkName], s.servers[kafkaName] = &serverFaults{t: t, server: slot.zookeeper}, &slot.broker.serverFaults
	slot.broker.t = t
	s.members["projector"] = &memberFaults{member: s.projector}
	s.moves = s.cluster.wallet.movesAt(func() (addrs []string) {
		for _, m := range s.cluster.members() {
			addrs = append(addrs, m.addr)
		}
		return addrs
	})
	s.cluster.wallet.keyRecords = s.keyRecords
	around := *s.cluster.wallet
	s.around, around.gateways = &around, nil
	for i := range 2 {
		s.members[numbered("gateway", i)], s.members[numbered("keeper", i)] = &memberFaults{member: s.gateways[i]}, &memberFaults{member: s.keepers[i]}
		door := faultproxy.ForTest(t, s.cluster.wallet.gateways[i])
		s.wires[numbered(clientWire, i)] = door
		around.gateways = append(around.gateways, door.Addr())
	}
	return s
}

func (s *clusterStand) of() *wallet { return s.around }

func (s *clusterStand) faults() map[fault]func() func() {
	all := map[fault]func() func(){}
	for i, r := range s.redis {
		maps.Copy(all, r.all(numbered("redis", i)))
	}
	for target := range s.wires {
		match := func([]byte) bool { return true }
		if target == numbered(redisWire, 0) || target == numbered(redisWire, 1) {
			match = aScript
		}
		maps.Copy(all, wireFaults(target, match, func() []*faultproxy.Proxy { return []*faultproxy.Proxy{s.wires[target]} }))
	}
	for target, x := range s.servers {
		all[fault{kindKill, target}], all[fault{kindFreeze, target}] = x.kill, x.freeze
	}
	for target, m := range s.members {
		all[fault{kindKill, target}], all[fault{kindFreeze, target}] = m.kill, m.freeze
	}
	maps.Copy(all, s.moves.faults(clusterPartitions))
	for i := range labShards {
		all[fault{kindDrain, numbered("shard", i)}] = func() func() { return s.cluster.wallet.drain(i) }
	}
	return all
}

// keyRecords is how many keys the shards hold, by their keepers.
func (s *clusterStand) keyRecords() (sum float64, err error) {
	for _, k := range s.keepers {
		held, err := s.at(k).sum("wallet_key_records{")
		if err != nil {
			return 0, err
		}
		sum += held
	}
	return sum, nil
}

func (s *clusterStand) whole() {
	s.moves.end()
	for _, x := range s.servers {
		if x != nil {
			x.whole()
		}
	}
	for _, r := range s.redis {
		if r != nil {
			r.whole()
		}
	}
	for _, w := range s.wires {
		if w != nil {
			w.Heal()
		}
	}
	for _, m := range s.members {
		if m != nil {
			m.whole()
		}
	}
	for _, m := range s.members {
		if m != nil && !s.t.Failed() { // else it is over, and nobody needs them
			m.awaitReady()
		}
	}
}

// serverFaults are what can happen to ZooKeeper or the broker.
type serverFaults struct {
	t      testing.TB
	server *local.Server
	mu     sync.Mutex
	down   bool
	still  bool
}

func (x *serverFaults) kill() (heal func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server.Kill()
	x.down, x.still = true, false
	return x.whole
}

func (x *serverFaults) freeze() (heal func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.still = !x.down && x.server.Pause() == nil
	return x.whole
}

func (x *serverFaults) whole() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.still {
		_ = x.server.Resume()
	}
	if x.down {
		ctx, cancel := context.WithTimeout(context.Background(), upLimit)
		defer cancel()
		mustDo(x.t, "restart "+x.server.Name, x.server.Restart(ctx))
	}
	x.down, x.still = false, false
}

// memberFaults are what can happen to a process of walletd.
type memberFaults struct {
	*member
	still bool
}

func (m *memberFaults) kill() (heal func()) {
	m.member.kill()
	m.still = false
	return m.whole
}

func (m *memberFaults) freeze() (heal func()) {
	if m.alive() && !m.still {
		m.member.freeze()
		m.still = true
	}
	return m.whole
}

func (m *memberFaults) whole() {
	if m.still {
		m.thaw()
		m.still = false
	}
	if !m.alive() {
		m.launch() // it may wait for servers that are away: nobody waits for it here
	}
}
