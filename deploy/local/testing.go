package local

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Redis starts a redis-server for the test, with more arguments if given, and ends it with
// the test. A missing redis-server fails the test; nothing is ever skipped.
func Redis(t testing.TB, extra ...string) *Server {
	t.Helper()
	return forTest(t, func(ctx context.Context, dir string) (*Server, error) {
		return StartRedis(ctx, RedisConfig{Dir: dir, Extra: extra})
	})
}

// ZooKeeper starts a ZooKeeper for the test (about a second) and ends it with the test.
func ZooKeeper(t testing.TB) *Server {
	t.Helper()
	return forTest(t, startZooKeeperIn)
}

// Kafka starts a broker for the test (about three seconds) and ends it with the test.
func Kafka(t testing.TB) *Server {
	t.Helper()
	return forTest(t, startKafkaIn)
}

// S3 starts an S3 server for the test (a fraction of a second) and ends it with the test.
func S3(t testing.TB, access, secret string, buckets ...string) *Server {
	t.Helper()
	return forTest(t, func(ctx context.Context, dir string) (*Server, error) {
		return StartS3(ctx, S3Config{Dir: dir, AccessKey: access, SecretKey: secret, Buckets: buckets})
	})
}

// Postgres starts a PostgreSQL for the test (a second or two), with more settings if given, and ends it with the test.
func Postgres(t testing.TB, settings ...string) *Server {
	t.Helper()
	// Not t.TempDir: its parent is ours alone, and PostgreSQL does not run as root.
	dir, err := os.MkdirTemp("", "walletd-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what stays is in the way of nobody
	s, err := StartPostgres(t.Context(), PostgresConfig{Dir: dir, Extra: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop) // its processes are several: all of them must be gone before their directory is
	return s
}

func startZooKeeperIn(ctx context.Context, dir string) (*Server, error) {
	return StartZooKeeper(ctx, ZooKeeperConfig{Dir: dir})
}

func startKafkaIn(ctx context.Context, dir string) (*Server, error) {
	return StartKafka(ctx, KafkaConfig{Dir: dir})
}

func forTest(t testing.TB, start func(ctx context.Context, dir string) (*Server, error)) *Server {
	t.Helper()
	s, err := start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill) // its directory goes with the test: nothing is worth a clean stop
	return s
}

// SharedZooKeeper is one ZooKeeper for all tests of this process; each uses a chroot of its
// own. One that a test has killed is replaced for the next.
func SharedZooKeeper(t testing.TB) *Server {
	t.Helper()
	return sharedZooKeeper.get(t, startZooKeeperIn)
}

// SharedKafka is one broker for all tests of this process; each uses topics of its own. One
// that a test has killed is replaced for the next.
func SharedKafka(t testing.TB) *Server {
	t.Helper()
	return sharedKafka.get(t, startKafkaIn)
}

// StopShared ends the shared servers and removes their data. A test process that does not
// call it loses them anyway when it ends, and their data when a later one starts its own.
// See M.
func StopShared() {
	sharedZooKeeper.stop()
	sharedKafka.stop()
}

// M runs the tests and then StopShared; for packages that look for leaked goroutines:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }
type M struct{ *testing.M }

// Run is what TestMain calls.
func (m M) Run() int {
	defer StopShared()
	return m.M.Run()
}

var sharedZooKeeper, sharedKafka shared

// shared is a server that outlives the test which needed it first.
type shared struct {
	mu     sync.Mutex
	server *Server
	dir    string
	lock   *os.File // held as long as this process lives: dir is in use
}

func (s *shared) get(t testing.TB, start func(ctx context.Context, dir string) (*Server, error)) *Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		select {
		case <-s.server.Exited():
			s.clear()
		default:
			return s.server
		}
	}
	if err := s.start(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	return s.server
}

func (s *shared) start(ctx context.Context, start func(ctx context.Context, dir string) (*Server, error)) (err error) {
	sweepShared()
	if s.dir, err = os.MkdirTemp("", sharedPrefix); err != nil {
		return err
	}
	if s.lock, err = lockShared(s.dir); err == nil {
		s.server, err = start(ctx, filepath.Join(s.dir, "server"))
	}
	if err != nil {
		s.clear()
	}
	return err
}

func (s *shared) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.server.Kill()
		s.clear()
	}
}

// clear forgets a server that is gone, and removes its data.
func (s *shared) clear() {
	_ = os.RemoveAll(s.dir) // what stays is swept by a later process
	if s.lock != nil {
		_ = s.lock.Close()
	}
	s.server, s.dir, s.lock = nil, "", nil
}

const (
	sharedPrefix = "walletd-shared-"
	sharedLock   = "in-use"
)

// lockShared marks dir as used by this process. The kernel takes the lock back when the
// process ends, in whatever way.
func lockShared(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, sharedLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweepShared removes what processes left that ended without StopShared: their directories
// are not locked any more. A new one is let alone, its owner may be about to lock it.
func sweepShared() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), sharedPrefix+"*", sharedLock))
	for _, path := range locks {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := lockShared(filepath.Dir(path)); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
			_ = lock.Close()
		}
	}
}
