package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// RedisConfig says how to start one redis-server.
type RedisConfig struct {
	Dir   string    // its working directory; made when it does not exist
	Port  int       // 0 = any that is free
	Extra []string  // more arguments, which win over the standard ones: "--maxmemory", "100mb"
	LogTo io.Writer // gets its log, one Write per line; nil = nowhere
}

func (c RedisConfig) validate() error { return errors.Join(checkDir(c.Dir), checkPort(c.Port)) }

// StartRedis starts a redis-server and returns when it answers PING. Nothing is persisted:
// the journal is the truth, and a Redis that comes back empty is rebuilt. ctx bounds the
// start only. Errors: ErrMissing, ErrPortInUse, and one with its log when it does not come
// up.
func StartRedis(ctx context.Context, c RedisConfig) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrMissing{"redis-server", "run `make deps` or `apt-get install redis-server`"}
	}
	dir, err := makeDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return onPort(c.Port, func(port int) (*Server, error) {
		addr := loopback(port)
		return start(ctx, program{
			name: "redis", path: path, dir: dir, logTo: c.LogTo,
			args:  append(redisArgs(port, dir), c.Extra...),
			addr:  addr,
			ports: []string{addr},
			ready: func(ctx context.Context, pid int) error { return redisServes(ctx, addr, pid) },
			poll:  5 * time.Millisecond, upLimit: 30 * time.Second, stopLimit: 5 * time.Second,
		})
	})
}

func redisArgs(port int, dir string) []string {
	return []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(port),
		"--dir", dir,
		"--daemonize", "no",
		"--save", "", // no snapshots, no AOF: the journal is the truth
		"--appendonly", "no",
		"--maxmemory-policy", "noeviction", // an evicted account would be lost money
		"--repl-diskless-sync-delay", "0", // nobody waits for a second replica
		"--hash-max-listpack-entries", "0", // small hashes are scanned linearly otherwise
	}
}

// redisServes asks PING, and which process it is that answers: another one may have taken
// the port first.
func redisServes(ctx context.Context, addr string, pid int) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PING\r\nINFO server\r\nQUIT\r\n"); err != nil {
		return fmt.Errorf("ask %s: %w", addr, err)
	}
	r := bufio.NewReader(conn)
	answer, err := r.ReadString('\n')
	switch {
	case err != nil:
		return fmt.Errorf("PING %s: %w", addr, err)
	case strings.HasPrefix(answer, "-NOAUTH"): // it serves, but not us
		return nil
	case answer != "+PONG\r\n":
		return fmt.Errorf("PING %s: answered %q", addr, strings.TrimSpace(answer))
	}
	info, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return fmt.Errorf("INFO %s: %w", addr, err)
	}
	if !strings.Contains(string(info), fmt.Sprintf("\nprocess_id:%d\r\n", pid)) {
		return fmt.Errorf("another Redis than pid %d answers on %s", pid, addr)
	}
	return nil
}
