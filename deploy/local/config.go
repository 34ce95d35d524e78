package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dial connects for one question; the connection ends with ctx, two seconds at most.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	const limit = 2 * time.Second
	d := net.Dialer{Timeout: limit}
	conn, err := d.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(limit)
	if until, ok := ctx.Deadline(); ok && until.Before(deadline) {
		deadline = until
	}
	if err := conn.SetDeadline(deadline); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func checkDir(dir string) error {
	if dir == "" {
		return errors.New("Dir is empty: name a directory for its data")
	}
	return nil
}

func checkPort(port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("Port is %d: it must be 1 to 65535, or 0 for any that is free", port)
	}
	return nil
}

// makeDir makes dir and returns its absolute path: servers run inside it.
func makeDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return abs, os.MkdirAll(abs, 0o700)
}

// propertyLines is the text of a Java properties file.
func propertyLines(lines []string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }
