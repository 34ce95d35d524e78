package local

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// srvrMode is what a ZooKeeper says of itself: "standalone", "leader", "follower".
func srvrMode(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	_, mode, _ := strings.Cut(string(answer), "\nMode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	return mode
}

// quiet keeps the client library from writing to the test's output.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func connect(t *testing.T, addrs ...string) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect(addrs, 5*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestZooKeeperKeepsItsDataOverARestart(t *testing.T) {
	s := SharedZooKeeper(t)
	if again := SharedZooKeeper(t); again != s {
		t.Errorf("two shared servers: pid %d and %d", s.PID, again.PID)
	}
	if mode := srvrMode(t, s.Addr); mode != "standalone" {
		t.Errorf("its mode is %q", mode)
	}
	conn := connect(t, s.Addr)
	node := "/kept-" + kafkaID() // the shared server outlives this test
	if _, err := conn.Create(node, []byte("v"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []byte
	eventually(t, "the client has its node again", func() bool {
		var err error
		got, _, err = conn.Get(node)
		return err == nil
	})
	if string(got) != "v" {
		t.Errorf("%s is %q", node, got)
	}
}

func TestZooKeeperQuorumSurvivesItsLeader(t *testing.T) {
	servers, err := StartZooKeeperQuorum(t.Context(), t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(servers) })

	var leader *Server
	var rest []string
	for _, s := range servers {
		switch mode := srvrMode(t, s.Addr); mode {
		case "leader":
			leader = s
		case "follower":
			rest = append(rest, s.Addr)
		default:
			t.Errorf("%s is %q", s.Name, mode)
		}
	}
	if leader == nil || len(rest) != 2 {
		t.Fatalf("leader %v, followers %v", leader, rest)
	}
	leader.Kill()
	conn := connect(t, rest...)
	eventually(t, "the two that are left take a write", func() bool {
		_, err := conn.Create("/after", nil, 0, zk.WorldACL(zk.PermAll))
		return err == nil || errors.Is(err, zk.ErrNodeExists)
	})
	if err := leader.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mode := srvrMode(t, leader.Addr); mode != "follower" {
		t.Errorf("the old leader came back as %q", mode)
	}
}

func TestAMissingJavaIsOneLineWithTheFix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	_, zooKeeperErr := StartZooKeeper(t.Context(), ZooKeeperConfig{Dir: t.TempDir()})
	_, kafkaErr := StartKafka(t.Context(), KafkaConfig{Dir: t.TempDir()})
	for _, err := range []error{zooKeeperErr, kafkaErr} {
		var missing ErrMissing
		if !errors.As(err, &missing) || missing.Server != "java" || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want an ErrMissing for java", err)
		}
	}
}
