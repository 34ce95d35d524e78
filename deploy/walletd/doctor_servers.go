package walletd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"walletd/journal/filelog"
	"walletd/journal/kafkalog"
	"walletd/luascripts"
	"walletd/shardrouter"
)

// memoryWarn is the share of maxmemory beyond which a shard is nearly full.
const memoryWarn = 0.8

// cluster looks at the servers of a cluster, and at who is there.
func (d *doctor) cluster(ctx context.Context, c *Config) {
	for i := range c.Shards {
		for n, addr := range c.Shards[i].addrs() {
			check := "redis " + c.Shards[i].ID
			if n > 0 {
				check = fmt.Sprintf("%s, replica %d", check, n)
			}
			d.redis(ctx, check, addr)
		}
	}
	for _, addr := range c.Spares {
		d.redis(ctx, "redis spare "+addr, addr)
	}
	d.kafka(ctx, c)
	d.zooKeeper(ctx, c)
}

// redis looks at a shard's server: reachable, its settings (those that keepers check, in their words), memory, clock.
func (d *doctor) redis(ctx context.Context, check, addr string) {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	shard, err := luascripts.Open(luascripts.Config{Addr: addr})
	if err != nil {
		d.fail(check, "correct the address", "%v", err)
		return
	}
	defer shard.Close()
	h, err := shard.Health(ctx)
	if err != nil {
		d.fail(check, "start it, or correct its address", "%s does not answer: %v", addr, err)
		return
	}
	d.ok(check, "%s is Redis %s, %s with %d replicas", addr, h.Version, h.Role, h.Replicas)
	if err := shard.CheckSettings(ctx); err != nil {
		d.problems(check+" settings", "", err)
	} else {
		d.ok(check+" settings", "as a shard needs them")
	}
	switch used := float64(h.Used); {
	case h.Max == 0:
		d.warn(check+" memory", "set maxmemory below the machine's memory: beyond it the kernel kills the server", "%d MiB used, no maxmemory", h.Used>>20)
	case used > memoryWarn*float64(h.Max):
		d.warn(check+" memory", "raise maxmemory, or move partitions to another shard: a full shard refuses what needs room", "%d of %d MiB used", h.Used>>20, h.Max>>20)
	default:
		d.ok(check+" memory", "%d of %d MiB used", h.Used>>20, h.Max>>20)
	}
	d.skew(ctx, check, shard)
}

func (d *doctor) skew(ctx context.Context, check string, shard *luascripts.Shard) {
	begin := time.Now()
	theirs, err := shard.Time(ctx)
	if err != nil {
		d.warn(check+" clock", "", "%v", err)
		return
	}
	ours := begin.Add(time.Since(begin) / 2)
	if skew := theirs.Sub(ours).Abs(); skew > skewWarn {
		d.warn(check+" clock", "run chrony or systemd-timesyncd on both machines", "it is %v from this machine's", skew.Round(time.Millisecond))
		return
	}
	d.ok(check+" clock", "as this machine's")
}

// kafka looks at the journal's topic: what the relay checks at start, in its words, and whether all copies are in sync.
func (d *doctor) kafka(ctx context.Context, c *Config) {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	t, err := kafkalog.Examine(ctx, kafkalog.Config{Brokers: c.Kafka, Topic: c.Topic, Partitions: c.Partitions, Replicas: c.Replicas, Dev: d.dev})
	const check = "kafka"
	switch {
	case errors.Is(err, kafkalog.ErrNoTopic):
		d.fail(check, "run walletd cluster init -c …", "%v", err)
		return
	case err != nil && !errors.Is(err, kafkalog.ErrSettings):
		d.fail(check, "start the brokers, or correct kafka: and topic:", "%v", err)
		return
	case err != nil:
		d.problems(check+" settings", "correct it with kafka-configs, or the topic's creator", err)
	default:
		d.ok(check+" settings", "topic %s: %d partitions, %d copies each", c.Topic, t.Partitions, t.Replicas)
	}
	if len(t.Behind) > 0 {
		d.warn(check+" copies", "see to the broker that is down or slow: one more and writes are refused", "not all in sync in partitions %v", t.Behind)
	} else {
		d.ok(check+" copies", "all in sync")
	}
}

// zooKeeper looks at the session, the cluster's configuration, access lists, the map and who has registered.
func (d *doctor) zooKeeper(ctx context.Context, c *Config) {
	ctx, cancel := context.WithTimeout(ctx, 2*doctorLimit)
	defer cancel()
	const check = "zookeeper"
	conn, err := dialZooKeeper(c, quietLogger())
	if err != nil {
		d.fail(check, "", "%v", err)
		return
	}
	defer conn.Close()
	has, err := shardrouter.ReadConfig(ctx, conn, c.Cluster)
	switch {
	case errors.Is(err, shardrouter.ErrNoNode):
		d.fail(check, "run walletd cluster init -c …", "%v", err)
		return
	case err != nil:
		d.fail(check, "start it, or correct zookeeper: and zookeeper_auth:", "%v", err)
		return
	}
	d.ok(check, "a session, and cluster %s", c.Cluster)
	if err := sameCluster(c, &has); err != nil {
		d.fail(check+" config", "correct walletd.yaml", "%v", err)
	} else {
		d.ok(check+" config", "as walletd.yaml: %d partitions, %d assets", has.Partitions, len(has.Assets))
	}
	switch err := shardrouter.CheckACL(ctx, conn, c.Cluster); {
	case d.dev:
		d.ok(check+" access", "not looked at in dev")
	case err != nil:
		d.fail(check+" access", "", "%v", err)
	default:
		d.ok(check+" access", "nobody else may write")
	}
	d.present(ctx, c, conn)
}

// present looks at the map and at who stands behind it.
func (d *doctor) present(ctx context.Context, c *Config, conn *shardrouter.Conn) {
	who, err := shardrouter.ReadPresence(ctx, conn, c.Cluster)
	if err != nil {
		d.fail("processes", "", "%v", err)
		return
	}
	if len(who.Gateways) == 0 {
		d.warn("gateways", "start one: walletd gateway -c …", "none has registered")
	} else {
		d.ok("gateways", "%v", who.Gateways)
	}
	m, err := shardrouter.ReadMap(ctx, conn, c.Cluster)
	if err != nil {
		d.fail("map", "", "%v", err)
		return
	}
	for _, s := range c.Shards {
		switch in := m.Shards[s.ID]; {
		case who.Keepers[s.ID] == 0:
			d.fail("keeper of "+s.ID, "start one: walletd keeper -c …", "nobody stands for the shard")
		case in.State != shardrouter.StateServing && len(m.PartitionsOf(s.ID)) > 0:
			d.fail("keeper of "+s.ID, "its log says what it waits for", "the shard is %q in the map", in.State)
		case who.Keepers[s.ID] == 1:
			d.warn("keeper of "+s.ID, "start a second one, on another machine", "one, and nobody to take over")
		default:
			d.ok("keeper of "+s.ID, "%d stand for it", who.Keepers[s.ID])
		}
	}
}

// sameCluster compares walletd.yaml with what the cluster was made with.
func sameCluster(c *Config, has *shardrouter.Config) error {
	if has.Partitions != c.Partitions {
		return differentPartitions(c, has.Partitions)
	}
	for i, a := range has.Assets {
		if i >= len(c.Assets) || c.Assets[i].Code != a.Code || c.Assets[i].Exponent != a.Exponent {
			return fmt.Errorf("cluster %s has the assets %v, the configuration says %v", c.Cluster, has.Assets, c.Assets)
		}
	}
	return nil
}

// differentPartitions says it as a start does.
func differentPartitions(c *Config, has int) error {
	return fmt.Errorf("cluster %s has %d partitions, the configuration says %d: the number is fixed for ever; correct walletd.yaml", c.Cluster, has, c.Partitions)
}

// dataDir looks at a dev wallet's directory, and, while it runs, at its shards.
func (d *doctor) dataDir(ctx context.Context, dir *dataDir) {
	d.ok("data directory", "%s: a wallet of %d partitions, journal in %s", dir.path, dir.Partitions, dir.Journal)
	lock, err := filelog.Lock(dir.journalDir())
	if err == nil {
		_ = lock.Close()
		if dir.Journal == "file" && !filelog.Exists(dir.journalDir()) {
			d.fail("journal", "restore it from a backup", "%s is gone", dir.journalDir())
			return
		}
		d.ok("walletd", "it does not run; walletd journal verify --data looks at the journal")
		return
	}
	if !errors.Is(err, filelog.ErrLocked) {
		d.fail("journal", "", "%v", err)
		return
	}
	d.ok("walletd", "it runs")
	b, err := os.ReadFile(dir.mapFile())
	if err != nil {
		d.fail("map", "", "%v", err)
		return
	}
	m, err := shardrouter.SavedMap(b)
	if err != nil {
		d.fail("map", "", "%v", err)
		return
	}
	for _, id := range dir.Shards {
		d.redis(ctx, "redis "+id, m.Shards[id].Primary)
	}
}
