package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// portsFrom is the lowest port that FreePort gives; well-known servers live below it.
const portsFrom = 15000

// handedOut remembers the ports that FreePort gave in this process: a quorum draws all its
// ports before any of its servers listens.
var handedOut = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePort returns a port of 127.0.0.1 that nobody listens on, and not the same one twice.
// It lies below the range from which the kernel takes the local ports of outgoing
// connections: such a connection would otherwise take the port of a server that a test
// keeps down for a while, and its restart on the same port would fail now and then.
func FreePort() (int, error) {
	below := firstEphemeralPort()
	if below <= portsFrom {
		return kernelPort()
	}

	handedOut.Lock()
	defer handedOut.Unlock()
	for range 1000 {
		port := portsFrom + rand.IntN(below-portsFrom)
		if handedOut.ports[port] || !portIsFree(loopback(port)) {
			continue
		}
		handedOut.ports[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("find a free port: tried 1000 between %d and %d, all are in use", portsFrom, below-1)
}

// firstEphemeralPort reads where the kernel's range begins; 0 when it cannot be told.
func firstEphemeralPort() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		return 0
	}
	return first
}

// kernelPort lets the kernel choose.
func kernelPort() (int, error) {
	l, err := net.Listen("tcp4", loopback(0))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// portIsFree tells whether a server could listen on addr now.
func portIsFree(addr string) bool {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	l.Close()
	return true
}

// onPort starts a server on the port asked for, or (0) on a free one: then another process
// may have taken it in between, and the next one is tried.
func onPort(port int, start func(port int) (*Server, error)) (*Server, error) {
	if port != 0 {
		return start(port)
	}
	const tries = 5
	for try := 1; ; try++ {
		free, err := FreePort()
		if err != nil {
			return nil, err
		}
		s, err := start(free)
		if err == nil || try == tries || !errors.As(err, new(ErrPortInUse)) {
			return s, err
		}
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
