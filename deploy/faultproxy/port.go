package faultproxy

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// heldPort is a port of 127.0.0.1 that stays ours while nobody listens on it: a second
// socket is bound to it and never listens. Without it another process could take the port
// while connections are refused.
//
// It shares its port (SO_REUSEADDR) only with a listener of ours: the system gives a port that
// is shared, and on which nobody listens, to whoever asks for any.
type heldPort struct {
	addr string
	once sync.Once
	fd   int
}

func holdPort() (*heldPort, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	h := &heldPort{fd: fd}
	port, err := bindAny(fd)
	if err != nil {
		h.release()
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	h.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return h, nil
}

// share lets a listener, for which net.Listen sets the same, bind beside the held socket, or
// (false) nobody any more.
func (h *heldPort) share(on bool) error {
	value := 0
	if on {
		value = 1
	}
	if err := syscall.SetsockoptInt(h.fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, value); err != nil {
		return fmt.Errorf("share port %s: %w", h.addr, err)
	}
	return nil
}

// bindAny binds fd to a free port.
func bindAny(fd int) (port int, err error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	in4, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("bound to a %T", name)
	}
	return in4.Port, nil
}

func (h *heldPort) release() { h.once.Do(func() { _ = syscall.Close(h.fd) }) }
