// Package local starts and stops the real servers that walletd stands on (Redis,
// ZooKeeper, Kafka, S3), and the one that it is compared with (PostgreSQL), on 127.0.0.1: for
// tests, for `walletd dev`, for `make cluster` and for `walletd bench rival`.
//
//	StartRedis / StartZooKeeper / StartKafka / StartS3 / StartPostgres ──> *Server ── Stop Kill Pause Resume Restart
//	                 │                              │
//	                 └ answers its protocol         └ Exited: closed when the process is gone
//
// What it guarantees:
//
//   - A Start returns when the server answers its own protocol (PING, srvr, ApiVersions
//     and metadata), not when a port is open. When it does not come up, the error holds the
//     last lines of its log.
//   - A server dies with the process that started it, also when that one is killed with
//     SIGKILL (Linux: parent-death signal), and does not get the terminal's Ctrl-C: its
//     owner decides the order in which things stop.
//   - Signals go only to processes started here, by pid, and never to a pid that has been
//     reaped and may belong to somebody else by now.
//   - A server that is not installed is an ErrMissing: one line with the fix. A port that is
//     taken is an ErrPortInUse: one line with the port.
//
// What it refuses to do: install anything (install.sh beside it does), listen elsewhere than
// on 127.0.0.1, touch a server that it did not start, skip a test because a server is
// missing.
//
// Tests use the helpers of testing.go:
//
//	redis := local.Redis(t)          // one for this test, gone with it
//	kafka := local.SharedKafka(t)    // one per test process: use own topic names
//
// The flags and settings of each server, and the reasons for them, stand at the top of
// redis.go, zookeeper.go, kafka.go and postgres.go.
package local
