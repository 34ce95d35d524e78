package local

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFreePortIsFreeAndNotTheSameTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
		if first := firstEphemeralPort(); first != 0 && port >= first {
			t.Errorf("port %d lies where the kernel takes those of outgoing connections, from %d", port, first)
		}
		l, err := net.Listen("tcp4", loopback(port))
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		l.Close()
	}
}

func TestOnPortTriesAnotherWhenTheFreeOneWasTaken(t *testing.T) {
	var ports []int
	s, err := onPort(0, func(port int) (*Server, error) {
		ports = append(ports, port)
		if len(ports) < 3 {
			return nil, ErrPortInUse{"redis", loopback(port)}
		}
		return &Server{Addr: loopback(port)}, nil
	})
	if err != nil || s == nil || len(slices.Compact(ports)) != 3 {
		t.Errorf("tried %v: %v, %v", ports, s, err)
	}
	tries := 0
	if _, err := onPort(7, func(int) (*Server, error) { tries++; return nil, ErrPortInUse{"redis", loopback(7)} }); err == nil || tries != 1 {
		t.Errorf("a port that was asked for: %d tries, %v", tries, err)
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var to bytes.Buffer
	log := &tail{to: &to}
	for i := range 100 {
		half := fmt.Sprintf("line %d", i)
		fmt.Fprint(log, half[:3])
		fmt.Fprint(log, half[3:], "\n")
	}
	fmt.Fprint(log, "no end")

	lines := strings.Split(log.String(), "\n")
	if len(lines) != tailLines+1 || lines[0] != "line 80" || lines[tailLines] != "no end" {
		t.Errorf("kept %q", lines)
	}
	if got := strings.Count(to.String(), "\n"); got != 100 || strings.Contains(to.String(), "no end") {
		t.Errorf("handed on %d lines: %q", got, to.String())
	}
}

func TestTailIsBounded(t *testing.T) {
	log := &tail{}
	chunk := bytes.Repeat([]byte("x"), 100_000)
	for range 10 {
		if n, err := log.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := len(log.String()); got > (tailLines+1)*(tailLineSize+1) {
		t.Errorf("it keeps %d bytes of a line without an end", got)
	}
}

func TestKafkaJars(t *testing.T) {
	put := func(dir string) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "kafka_2.13-4.3.1.jar"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	empty, full, cache, home := t.TempDir(), put(t.TempDir()), t.TempDir(), t.TempDir()
	inCache := put(filepath.Join(cache, "walletd", "kafka-"+kafkaVersion))
	inHome := put(filepath.Join(home, ".cache", "walletd", "kafka-"+kafkaVersion))

	for _, row := range []struct{ libs, cache, home, want, fault string }{
		{full, cache, home, full, ""},
		{"", cache, home, inCache, ""},
		{"", "", home, inHome, ""},
		{empty, cache, home, "", "WALLETD_KAFKA_LIBS names " + empty},
		{"", empty, home, "", "kafka 4.3.1 is not installed: run `make deps`"},
	} {
		t.Setenv("WALLETD_KAFKA_LIBS", row.libs)
		t.Setenv("XDG_CACHE_HOME", row.cache)
		t.Setenv("HOME", row.home)
		dir, err := KafkaJars()
		if dir != row.want || (err == nil) != (row.fault == "") || err != nil && !strings.Contains(err.Error(), row.fault) {
			t.Errorf("libs %q cache %q: got %q, %v; want %q, %q", row.libs, row.cache, dir, err, row.want, row.fault)
		}
		if err != nil {
			if _, ok := err.(ErrMissing); !ok || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: want an ErrMissing of one line", err)
			}
		}
	}
}

func TestSharedDirectoriesOfDeadProcessesAreSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	old := time.Now().Add(-time.Hour)
	mk := func(name string, age time.Time) string {
		t.Helper()
		dir := filepath.Join(os.TempDir(), sharedPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		lock, err := lockShared(dir)
		if err != nil {
			t.Fatal(err)
		}
		if name == "used" {
			t.Cleanup(func() { lock.Close() })
		} else {
			lock.Close()
		}
		if err := os.Chtimes(filepath.Join(dir, sharedLock), age, age); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	used, left, fresh := mk("used", old), mk("left", old), mk("fresh", time.Now())
	sweepShared()
	for dir, stays := range map[string]bool{used: true, left: false, fresh: true} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: stays %t, want %t", filepath.Base(dir), err == nil, stays)
		}
	}
}
