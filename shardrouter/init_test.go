package shardrouter

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/deploy/local"

	"github.com/go-zookeeper/zk"
)

func TestInitTwice(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	z := router(t, devConfig(zoo.Addr), cluster)
	raise(t, z, "s1", "127.0.0.1:1")
	again := testConfig
	again.Assets = []Asset{{"KRW", 0}, {"USD", 2}} // in another order
	again.CreatedAt = time.Now().Add(time.Hour)
	if err := Init(within(t, 10*time.Second), z.conn, cluster, again, twoShards(t)); err != nil {
		t.Fatal(err)
	}
	m, _, err := z.readMap(within(t, 10*time.Second))
	if err != nil || m.Version != 2 || m.Shards["s1"].Primary != "127.0.0.1:1" {
		t.Errorf("the map is now %+v, %v", m, err)
	}
	c, err := ReadConfig(within(t, 10*time.Second), z.conn, cluster)
	if err != nil || !slices.Equal(c.Assets, testConfig.Assets) || c.Check(testConfig) != nil || time.Since(c.CreatedAt).Abs() > time.Minute {
		t.Errorf("the config is %+v, %v", c, err)
	}
}

func TestInitRefusesAnotherConfig(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	c := dial(t, devConfig(zoo.Addr))
	for field, other := range map[string]Config{
		"partitions": {Partitions: 8, Hash: HashV1, Assets: testConfig.Assets},
		"assets":     {Partitions: 4, Hash: HashV1, Assets: []Asset{{"USD", 3}, {"KRW", 0}}},
	} {
		err := Init(within(t, 10*time.Second), c, cluster, other, mustMap(t, other.Partitions))
		var m *MismatchError
		if !errors.As(err, &m) || !errors.Is(err, ErrMismatch) || m.Field != field || !strings.Contains(err.Error(), "field "+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if got, err := ReadConfig(within(t, 10*time.Second), c, cluster); err != nil || got.Check(testConfig) != nil {
		t.Errorf("the config is now %+v, %v", got, err)
	}
}

// A cluster of another program's hash is nothing that this one may touch.
func TestAnotherHashIsRefused(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	c := dial(t, devConfig(zoo.Addr))
	p, _ := pathsOf(cluster)
	other := testConfig
	other.Hash, other.CreatedAt = "sha256/handle-v2", time.Now().UTC()
	data, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.transact(within(t, 5*time.Second), write{path: p.config(), data: data, version: -1}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"init": Init(within(t, 5*time.Second), c, cluster, testConfig, twoShards(t)),
		"read": func() error { _, err := ReadConfig(within(t, 5*time.Second), c, cluster); return err }(),
	} {
		var m *MismatchError
		if !errors.As(err, &m) || m.Field != "hash" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Init(within(t, 5*time.Second), c, freshCluster(), other, twoShards(t)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a hash that this program cannot compute: %v", err)
	}
}

func TestInitWritesNothingThatIsInvalid(t *testing.T) {
	t.Parallel()
	c := dial(t, devConfig(local.SharedZooKeeper(t).Addr))
	cluster := freshCluster()
	ctx := within(t, 10*time.Second)
	for name, err := range map[string]error{
		"a map of other size":  Init(ctx, c, cluster, testConfig, mustMap(t, 8)),
		"an impossible config": Init(ctx, c, cluster, Config{Hash: HashV1}, twoShards(t)),
		"an impossible map":    Init(ctx, c, cluster, testConfig, twoShards(t).WithoutShard("s1")),
		"a path as a name":     Init(ctx, c, "a/b", testConfig, twoShards(t)),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.exists(ctx, walletPath+"/"+cluster); !errors.Is(err, ErrNoNode) {
		t.Errorf("something was written: %v", err)
	}
	if _, err := ReadConfig(ctx, c, cluster); !errors.Is(err, ErrNoNode) {
		t.Errorf("a config from nowhere: %v", err)
	}
}

// Whatever call of an Init is lost, the next one completes it.
func TestInitWithLostCalls(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	eachLoss(t, zoo.Addr, func(t *testing.T, c *Conn, arm func(), disarm func() bool) {
		cluster := freshCluster()
		arm()
		err := Init(within(t, 10*time.Second), c, cluster, testConfig, twoShards(t))
		if disarm() && !errors.Is(err, ErrUnavailable) {
			t.Errorf("a lost call: %v", err)
		}
		if err := Init(within(t, 10*time.Second), c, cluster, testConfig, twoShards(t)); err != nil {
			t.Fatal(err)
		}
		z, err := NewZooKeeper(c, cluster)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := z.NextEpoch(within(t, 10*time.Second), "s2", []int{1}); err != nil || e != 1 {
			t.Errorf("epoch %d, %v", e, err)
		}
		elect(t, z, "me").Resign()
	})
}

// An Init that was interrupted after the map decides how many partitions there are.
func TestInitRefusesAMapOfAnotherSize(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr)
	c := dial(t, devConfig(zoo.Addr))
	p, _ := pathsOf(cluster)
	ctx := within(t, 10*time.Second)
	if err := c.remove(ctx, p.config()); err != nil {
		t.Fatal(err)
	}
	eight := testConfig
	eight.Partitions = 8
	var m *MismatchError
	if err := Init(ctx, c, cluster, eight, mustMap(t, 8)); !errors.As(err, &m) || m.Field != "partitions" {
		t.Errorf("init: %v", err)
	}
	if err := Init(ctx, c, cluster, testConfig, twoShards(t)); err != nil {
		t.Errorf("of the same size: %v", err)
	}
}

// Several start at once, with two opinions: all of one opinion are served.
func TestConcurrentInits(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := freshCluster()
	eight := testConfig
	eight.Partitions = 8
	var mu sync.Mutex
	outcome := map[int][]error{}
	var wg sync.WaitGroup
	for i := range 6 {
		cfg := []Config{testConfig, eight}[i%2]
		c := dial(t, devConfig(zoo.Addr))
		wg.Go(func() {
			err := Init(within(t, 20*time.Second), c, cluster, cfg, mustMap(t, cfg.Partitions))
			mu.Lock()
			defer mu.Unlock()
			outcome[cfg.Partitions] = append(outcome[cfg.Partitions], err)
		})
	}
	wg.Wait()
	won, err := ReadConfig(within(t, 5*time.Second), dial(t, devConfig(zoo.Addr)), cluster)
	if err != nil {
		t.Fatal(err)
	}
	for partitions, errs := range outcome {
		for _, err := range errs {
			if served := partitions == won.Partitions; served != (err == nil) || (!served && !errors.Is(err, ErrMismatch)) {
				t.Errorf("%d partitions where %d won: %v", partitions, won.Partitions, err)
			}
		}
	}
}

func credential(addr, user, password string) ConnConfig {
	cfg := devConfig(addr)
	cfg.Dev, cfg.User, cfg.Password = false, user, password
	return cfg
}

func TestNodesBelongToTheCredential(t *testing.T) {
	t.Parallel()
	zoo := local.ZooKeeper(t) // its /wallet must be ours, too
	owner := credential(zoo.Addr, "wallet", "secret")
	cluster := freshCluster()
	c := dial(t, owner)
	ctx := within(t, 20*time.Second)
	if err := Init(ctx, c, cluster, testConfig, twoShards(t)); err != nil {
		t.Fatal(err)
	}
	z := router(t, owner, cluster)
	if _, err := z.NextEpoch(ctx, "s1", nil); err != nil {
		t.Fatal(err)
	}
	raise(t, z, "s1", "127.0.0.1:1")
	l := elect(t, z, "me")
	defer l.Resign()
	if err := CheckACL(ctx, c, cluster); err != nil {
		t.Errorf("its own nodes: %v", err)
	}
	want := zk.DigestACL(zk.PermAll, "wallet", "secret")
	for _, path := range tree(t, c, walletPath) {
		if acl, err := c.accessList(ctx, path); err != nil || !slices.Equal(acl, want) {
			t.Errorf("%s has %v, %v", path, acl, err)
		}
	}
	for name, cfg := range map[string]ConnConfig{
		"nobody":         devConfig(zoo.Addr),
		"another":        credential(zoo.Addr, "other", "secret"),
		"wrong password": credential(zoo.Addr, "wallet", "guess"),
	} {
		stranger := dial(t, cfg)
		if _, err := ReadConfig(ctx, stranger, cluster); !errors.Is(err, ErrNoAuth) {
			t.Errorf("%s reads: %v", name, err)
		}
		if err := Init(ctx, stranger, freshCluster(), testConfig, twoShards(t)); !errors.Is(err, ErrNoAuth) {
			t.Errorf("%s creates: %v", name, err)
		}
	}

	// The credential survives what a session and a connection go through.
	if err := zoo.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "it is healthy again", func() bool { return z.Health() == nil })
	raise(t, z, "s1", "127.0.0.1:2")
}

// tree lists a node and everything below it.
func tree(t *testing.T, c *Conn, path string) []string {
	t.Helper()
	all := []string{path}
	names, err := c.children(within(t, 5*time.Second), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		all = append(all, tree(t, c, path+"/"+name)...)
	}
	return all
}

func TestWorldWritableIsRefusedOutsideDev(t *testing.T) {
	t.Parallel()
	zoo := local.SharedZooKeeper(t)
	cluster := initialised(t, zoo.Addr) // by dev, open to all
	c := dial(t, credential(zoo.Addr, "wallet", "secret"))
	dev := dial(t, devConfig(zoo.Addr))
	ctx := within(t, 30*time.Second)
	if err := CheckACL(ctx, c, cluster); !errors.Is(err, ErrWorldWritable) {
		t.Errorf("check: %v", err)
	}
	if err := Init(ctx, c, cluster, testConfig, twoShards(t)); !errors.Is(err, ErrWorldWritable) {
		t.Errorf("init: %v", err)
	}
	if err := CheckACL(ctx, dev, cluster); err != nil {
		t.Errorf("dev: %v", err)
	}
	// One open node among closed ones is found, whichever it is. One that all may
	// read is none.
	p, _ := pathsOf(cluster)
	setACL := func(path string, acl []zk.ACL) {
		t.Helper()
		_, err := call(ctx, c, "set access list of", path, func(z *zk.Conn) (*zk.Stat, error) { return z.SetACL(path, acl, -1) })
		if err != nil {
			t.Fatal(err)
		}
	}
	ours := zk.DigestACL(zk.PermAll, "wallet", "secret")
	nodes := tree(t, c, p.root)
	for _, path := range nodes {
		setACL(path, append(zk.WorldACL(zk.PermRead), ours...))
	}
	if err := CheckACL(ctx, c, cluster); err != nil {
		t.Errorf("all may read: %v", err)
	}
	for _, path := range nodes {
		for _, perm := range []int32{zk.PermWrite, zk.PermCreate, zk.PermDelete, zk.PermAdmin} {
			setACL(path, append(zk.WorldACL(perm), ours...))
			if err := CheckACL(ctx, c, cluster); !errors.Is(err, ErrWorldWritable) || !strings.Contains(err.Error(), path+";") {
				t.Errorf("%s open with %d: %v", path, perm, err)
			}
		}
		setACL(path, ours)
	}
	if err := CheckACL(ctx, c, freshCluster()); !errors.Is(err, ErrNoNode) {
		t.Errorf("a cluster that is not there: %v", err)
	}
}
