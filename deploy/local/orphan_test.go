package local

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestChildrenDieWithAKilledParent kills a process of its own with SIGKILL and sees that the
// Redis which that one had started is gone, too.
func TestChildrenDieWithAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVar+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	defer func() {
		if !killed {
			_ = parent.Process.Kill()
			_ = parent.Wait()
		}
	}()

	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var addr string
	if _, err := fmt.Sscan(line, &pid, &addr); err != nil {
		t.Fatalf("the parent says %q: %v", line, err)
	}
	defer func() {
		if t.Failed() { // leave nothing behind
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	mustSay(t, addr, "PING", "+PONG")

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	killed = true
	eventually(t, "the Redis of the killed parent is gone", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		state := processState(pid)
		// Whoever inherits it may be slow to reap it.
		return err != nil && (state == "" || state == "Z")
	})
}

// TestChildrenSurviveTheThreadThatAskedForThem: the parent-death signal is tied to the OS
// thread that forked; a start from a goroutine that takes its thread down must not take the
// server with it.
func TestChildrenSurviveTheThreadThatAskedForThem(t *testing.T) {
	dir := t.TempDir()
	thread := make(chan int, 1)
	started := make(chan *Server, 1)
	offMainThread(t, func() {
		defer close(started)
		thread <- unix.Gettid()
		s, err := StartRedis(t.Context(), RedisConfig{Dir: dir})
		if err != nil {
			t.Error(err)
			return
		}
		started <- s
	})
	s := <-started
	if s == nil {
		t.FailNow()
	}
	t.Cleanup(s.Kill)

	id := <-thread
	eventually(t, "the thread that asked is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id))
		return err != nil
	})
	mustSay(t, s.Addr, "PING", "+PONG")
	select {
	case <-s.Exited():
		t.Error("the server died with the thread that asked for it")
	case <-time.After(20 * time.Millisecond): // the signal is immediate; PING went before
	}
}

// offMainThread runs f on an OS thread that ends with it. The process's first thread cannot
// end: it is kept busy until the test ends when chance would have taken it.
func offMainThread(t *testing.T, f func()) {
	t.Helper()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f() // never unlocked
			return
		}
		go func() {
			runtime.LockOSThread()
			f()
		}()
		<-release
		runtime.UnlockOSThread()
	}()
}
