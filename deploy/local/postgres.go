package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PostgresConfig says how to start one PostgreSQL server.
type PostgresConfig struct {
	Dir   string    // holds data/; made when it does not exist, kept over restarts
	Port  int       // 0 = any that is free
	Extra []string  // settings "name=value", which win over the standard ones
	LogTo io.Writer // gets its log, one Write per line; nil = nowhere
}

func (c PostgresConfig) validate() error { return errors.Join(checkDir(c.Dir), checkPort(c.Port)) }

// PostgresUser is the superuser of every PostgreSQL here; its database is "postgres". Whoever reaches 127.0.0.1 is trusted.
const PostgresUser = "walletd"

// StartPostgres makes a database cluster in Dir, unless there is one, starts it, and returns when it lets a client in. It
// is set up for nothing to be lost (fsync, full_page_writes and synchronous_commit stay on) and otherwise as PostgreSQL
// comes: whoever measures it tunes it by Extra. PostgreSQL refuses to run as root: it then runs as the user postgres, or
// nobody, who must be able to enter Dir. ctx bounds the start only. Errors: ErrMissing, ErrPortInUse, and one with its log
// when it does not come up.
func StartPostgres(ctx context.Context, c PostgresConfig) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	server, err := postgresBinary("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	as, err := postgresUser(dir)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	data := filepath.Join(dir, "data")
	if err := initPostgres(ctx, dir, data, as); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return onPort(c.Port, func(port int) (*Server, error) {
		addr := loopback(port)
		return start(ctx, program{
			name: "postgres", path: server, dir: dir, logTo: c.LogTo, as: as,
			args:  postgresArgs(port, data, c.Extra),
			addr:  addr,
			ports: []string{addr},
			ready: func(ctx context.Context, pid int) error { return postgresServes(ctx, addr, data, pid) },
			poll:  10 * time.Millisecond, upLimit: 60 * time.Second, stopLimit: 20 * time.Second,
			stopSignal: syscall.SIGINT, // "fast": SIGTERM would wait until every client has gone
		})
	})
}

func postgresArgs(port int, data string, extra []string) []string {
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",                                 // no socket: nothing outside of Dir
		"fsync=on", "full_page_writes=on", "synchronous_commit=on", // the defaults, on which everything here stands
	}, extra...) {
		args = append(args, "-c", setting)
	}
	return args
}

// postgresBinary finds a program of PostgreSQL: in the PATH, or where Debian puts it, the newest version first.
func postgresBinary(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	best, newest := "", -1
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	for _, path := range paths {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && version > newest {
			best, newest = path, version
		}
	}
	if best == "" {
		return "", ErrMissing{"postgres (PostgreSQL)", "run `make deps` or `apt-get install postgresql`"}
	}
	return best, nil
}

// initPostgres makes the cluster, unless there is one. One that was left half-made is made anew.
func initPostgres(ctx context.Context, dir, data string, as *syscall.Credential) error {
	done := filepath.Join(dir, "initialised")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	path, err := postgresBinary("initdb")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	err = runToEnd(ctx, program{name: "initdb", path: path, dir: dir, as: as,
		args: []string{"-D", data, "-U", PostgresUser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"}})
	if err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

// postgresServes logs in as a client does, and asks which process it is that answers: another one may have taken the port
// first. Nothing but the first byte of the answer is read: R lets the client go on, E does not.
func postgresServes(ctx context.Context, addr, data string, pid int) error {
	lock, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return err
	}
	if first, _, _ := strings.Cut(string(lock), "\n"); first != strconv.Itoa(pid) {
		return fmt.Errorf("%s belongs to process %s, not to %d", data, first, pid)
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	const version3 = 3 << 16
	hello := binary.BigEndian.AppendUint32(make([]byte, 4), version3)
	hello = append(hello, "user\x00"+PostgresUser+"\x00database\x00postgres\x00\x00"...)
	binary.BigEndian.PutUint32(hello, uint32(len(hello)))
	if _, err := conn.Write(hello); err != nil {
		return fmt.Errorf("log in at %s: %w", addr, err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("log in at %s: %w", addr, err)
	}
	if answer[0] != 'R' {
		return fmt.Errorf("log in at %s: refused", addr)
	}
	return nil
}
