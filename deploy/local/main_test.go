package local

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVar makes the test binary another process: one that starts a server and is then
// killed by the test that runs it.
const roleVar = "WALLETD_LOCAL_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(roleVar); dir != "" {
		parentMain(dir)
	}
	goleak.VerifyTestMain(M{m})
}

// parentMain starts a Redis from a goroutine that takes its OS thread down with it, prints
// the Redis's pid and address, and waits to be killed.
func parentMain(dir string) {
	started := make(chan *Server)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s, err := StartRedis(ctx, RedisConfig{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		started <- s
	}()
	s := <-started
	fmt.Println(s.PID, s.Addr)
	select {}
}

// eventually waits until ok, and fails the test with what it waited for after half a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
