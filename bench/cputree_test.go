package bench

import (
	"bufio"
	"os/exec"
	"testing"
	"time"
)

// A server that forks: what its children use counts while they live, and once, when they have ended.
func TestCPUOfAServerThatForks(t *testing.T) {
	for _, row := range []struct{ name, script string }{
		{"a child lives", "(while :; do :; done) & echo ready; read x"},
		{"a child has ended", "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done) & wait; echo ready; read x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := exec.Command("sh", "-c", row.script+"; kill $! 2>/dev/null")
			in, err := server.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				in.Close()
				_ = server.Wait() // its status is the kill's
			}()
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			const want = 50_000
			var tree int64
			for end := time.Now().Add(20 * time.Second); tree < want && time.Now().Before(end); {
				c, err := readCPU(&Processes{Postgres: []int{server.Process.Pid}})
				if err != nil {
					t.Fatal(err)
				}
				tree = c.postgres
			}
			own, _, err := readProcess(server.Process.Pid)
			if err != nil || tree < want || own > want/2 {
				t.Errorf("its tree has used %d µs, itself %d (%v)", tree, own, err)
			}
		})
	}
	if _, _, err := readTree(1 << 30); err == nil {
		t.Error("a tree that does not exist was read")
	}
}
