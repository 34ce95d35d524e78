package faultproxy

import (
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// While nobody listens on a held port, nobody else can take it, not even one who would share it; a listener of ours can.
func TestHeldPortIsOurs(t *testing.T) {
	p := ForTest(t, "127.0.0.1:1")
	for range 2 {
		p.Refuse(true)
		if err := bindShared(t, p.Addr()); err == nil {
			t.Error("another socket has taken the port while connections are refused")
		}
		p.Refuse(false)
		if err := bindShared(t, p.Addr()); err == nil {
			t.Error("another socket has taken the port while we listen")
		}
	}
}

// A process that is being started has our sockets until it is another program: the port is free again all the same.
func TestRefuseWhileProcessesStart(t *testing.T) {
	p := ForTest(t, "127.0.0.1:1")
	stop := make(chan struct{})
	var starts sync.WaitGroup
	for range 4 {
		starts.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := exec.Command("true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 2000 {
		p.Refuse(true)
		p.Refuse(false)
	}
	close(stop)
	starts.Wait()
}

// bindShared binds a socket of another's to the address, as net.Listen would before it listens.
func bindShared(t *testing.T, addr string) error {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	return syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: portOf(t, addr)})
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
