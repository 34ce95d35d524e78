package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	zooKeeperJar = "/usr/share/java/zookeeper.jar" // its manifest names the rest of the class path
	// Without a logger on the class path ZooKeeper says nothing; this one writes to stderr.
	// It comes with the same packages, and Java does not mind when it is absent.
	zooKeeperLogJar = "/usr/share/java/slf4j-simple.jar"
)

// ZooKeeperConfig says how to start one ZooKeeper that stands alone.
type ZooKeeperConfig struct {
	Dir   string    // holds zoo.cfg and data/; made when it does not exist, kept over restarts
	Port  int       // 0 = any that is free
	LogTo io.Writer // gets its log (warnings), one Write per line; nil = nowhere
}

func (c ZooKeeperConfig) validate() error { return errors.Join(checkDir(c.Dir), checkPort(c.Port)) }

// StartZooKeeper starts a ZooKeeper and returns when `srvr` answers its mode. ctx bounds the
// start only. Errors: ErrMissing, ErrPortInUse, and one with its log when it does not come
// up.
func StartZooKeeper(ctx context.Context, c ZooKeeperConfig) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	return onPort(c.Port, func(port int) (*Server, error) {
		return zooKeeper{name: "zookeeper", dir: c.Dir, logTo: c.LogTo, port: port}.start(ctx)
	})
}

// StartZooKeeperQuorum starts n ZooKeepers (1 to 9; a quorum of three survives one) in
// dir/zookeeper-1 … and returns when each has found its leader. On an error none is left.
func StartZooKeeperQuorum(ctx context.Context, dir string, n int) ([]*Server, error) {
	if err := errors.Join(checkDir(dir), checkQuorum(n)); err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	var members []string
	var nodes []zooKeeper
	for id := 1; id <= n; id++ {
		client, peer, election, err := threePorts()
		if err != nil {
			return nil, fmt.Errorf("zookeeper: %w", err)
		}
		name := fmt.Sprintf("zookeeper-%d", id)
		nodes = append(nodes, zooKeeper{name: name, dir: filepath.Join(dir, name), port: client,
			id: id, peers: []string{loopback(peer), loopback(election)}})
		members = append(members, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", id, peer, election))
	}
	return startAll(ctx, n, func(ctx context.Context, i int) (*Server, error) {
		nodes[i].members = members
		return nodes[i].start(ctx)
	})
}

// zooKeeper is one node.
type zooKeeper struct {
	name, dir string
	logTo     io.Writer
	port      int

	// In a quorum only.
	id      int
	peers   []string // the addresses on which the others reach it
	members []string // the lines of zoo.cfg that name all of them
}

func (z zooKeeper) start(ctx context.Context) (*Server, error) {
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(zooKeeperJar); err != nil {
		return nil, ErrMissing{"zookeeper", "run `make deps` or `apt-get install zookeeper`"}
	}
	dir, err := z.writeConfig()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", z.name, err)
	}
	addr := loopback(z.port)
	args := append([]string{"-Xms32m", "-Xmx128m"}, jvmFlags...)
	args = append(args, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", strings.Join([]string{dir, zooKeeperLogJar, zooKeeperJar}, ":"),
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg")
	return start(ctx, program{
		name: z.name, path: java, dir: dir, logTo: z.logTo,
		args:  args,
		addr:  addr,
		ports: append([]string{addr}, z.peers...),
		ready: func(ctx context.Context, _ int) error { return zooKeeperServes(ctx, addr) },
		poll:  20 * time.Millisecond, upLimit: 60 * time.Second, stopLimit: 5 * time.Second,
	})
}

// writeConfig writes zoo.cfg, and in a quorum the node's number, and returns the directory.
func (z zooKeeper) writeConfig() (dir string, err error) {
	if dir, err = makeDir(z.dir); err != nil {
		return "", err
	}
	data, err := makeDir(filepath.Join(dir, "data"))
	if err != nil {
		return "", err
	}
	lines := append([]string{
		"tickTime=1000",
		"initLimit=10",
		"syncLimit=5",
		"dataDir=" + data,
		"clientPort=" + strconv.Itoa(z.port),
		"clientPortAddress=127.0.0.1",
		"admin.enableServer=false", // it would listen on 8080, on every address
		"4lw.commands.whitelist=ruok,srvr,mntr",
		"maxClientCnxns=0", // every client here comes from one address
	}, z.members...)
	if err := os.WriteFile(filepath.Join(dir, "zoo.cfg"), propertyLines(lines), 0o600); err != nil {
		return "", err
	}
	if z.id == 0 {
		return dir, nil
	}
	return dir, os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(z.id)+"\n"), 0o600)
}

// zooKeeperServes asks `srvr`: it answers a mode (standalone, leader, follower) when it
// serves, and a sentence before.
func zooKeeperServes(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return fmt.Errorf("ask srvr: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 16<<10))
	if err != nil {
		return fmt.Errorf("read the answer to srvr: %w", err)
	}
	if !strings.Contains(string(answer), "\nMode: ") {
		return fmt.Errorf("srvr: answered %q", strings.TrimSpace(string(answer)))
	}
	return nil
}
