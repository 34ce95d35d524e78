package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redisSays sends one inline command on a connection of its own and returns the first line
// of the answer, or of the bulk string that it is.
func redisSays(addr, command string, patience time.Duration) (string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err == nil && line[0] == '$' && line != "$-1\r\n" {
		line, err = r.ReadString('\n')
	}
	return strings.TrimSpace(line), err
}

func mustSay(t *testing.T, addr, command, want string) {
	t.Helper()
	got, err := redisSays(addr, command, 5*time.Second)
	if err != nil || got != want {
		t.Fatalf("%s on %s: got %q, %v; want %q", command, addr, got, err, want)
	}
}

// setting reads one setting as the running server has it.
func setting(t *testing.T, addr, name string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONFIG GET %s\r\nQUIT\r\n", name)
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(conn); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(answer.String(), "\r\n") // *2 $n name $n value +OK
	if len(lines) < 5 {
		t.Fatalf("CONFIG GET %s: %q", name, answer.String())
	}
	return lines[4]
}

func TestRedisRunsWithTheSettingsOfAShard(t *testing.T) {
	s := Redis(t)
	for name, want := range map[string]string{
		"save":                      "",
		"appendonly":                "no",
		"maxmemory-policy":          "noeviction",
		"hash-max-listpack-entries": "0",
		"bind":                      "127.0.0.1",
		"daemonize":                 "no",
		"port":                      s.Addr[strings.IndexByte(s.Addr, ':')+1:],
	} {
		if got := setting(t, s.Addr, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestRedisExtraArgumentsWin(t *testing.T) {
	s := Redis(t, "--maxmemory", "100mb", "--appendonly", "yes")
	if got := setting(t, s.Addr, "maxmemory"); got != "104857600" {
		t.Errorf("maxmemory is %q", got)
	}
	if got := setting(t, s.Addr, "appendonly"); got != "yes" {
		t.Errorf("appendonly is %q", got)
	}
}

func TestRedisThatWantsAPasswordIsReady(t *testing.T) {
	s := Redis(t, "--requirepass", "secret")
	mustSay(t, s.Addr, "PING", "-NOAUTH Authentication required.")
}

func TestKillAndRestart(t *testing.T) {
	s := Redis(t)
	first, addr := s.PID, s.Addr
	mustSay(t, addr, "SET k v", "+OK")

	exited := s.Exited()
	s.Kill()
	select {
	case <-exited:
	default:
		t.Error("Exited is still open after Kill")
	}
	if !portIsFree(addr) {
		t.Errorf("%s is not free after Kill", addr)
	}
	s.Kill() // of what is gone already: nothing happens
	s.Stop()

	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID == first || s.Addr != addr {
		t.Errorf("restarted as pid %d on %s, was %d on %s", s.PID, s.Addr, first, addr)
	}
	mustSay(t, addr, "GET k", "$-1") // it comes back empty
	select {
	case <-s.Exited():
		t.Error("Exited is closed after Restart")
	default:
	}
}

func TestRestartOfARunningServer(t *testing.T) {
	s := Redis(t)
	first := s.PID
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID == first {
		t.Errorf("it is still pid %d", first)
	}
	mustSay(t, s.Addr, "PING", "+PONG")
}

func TestExitedTellsOfADeathThatNobodyHereCaused(t *testing.T) {
	s := Redis(t)
	if _, err := redisSays(s.Addr, "SHUTDOWN NOSAVE", 5*time.Second); err == nil {
		t.Error("SHUTDOWN was answered")
	}
	select {
	case <-s.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("Exited stays open")
	}
	if err := s.Pause(); err == nil {
		t.Error("Pause of what is gone: no error")
	}
	if err := s.Resume(); err == nil {
		t.Error("Resume of what is gone: no error")
	}
}

func TestPauseAndResume(t *testing.T) {
	s := Redis(t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if got := processState(s.PID); got != "T" {
		t.Errorf("after Pause its state is %q, want T", got)
	}
	if answer, err := redisSays(s.Addr, "PING", 50*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("a paused Redis: %q, %v; want a time-out", answer, err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	mustSay(t, s.Addr, "PING", "+PONG")
}

func TestAPausedServerCanBeStoppedAndKilled(t *testing.T) {
	for name, end := range map[string]func(*Server){"Stop": (*Server).Stop, "Kill": (*Server).Kill} {
		s := Redis(t)
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		end(s)
		// Stop waits five seconds before it kills: less means that the server heard it.
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if !portIsFree(s.Addr) {
			t.Errorf("%s: %s is not free", name, s.Addr)
		}
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	// A shell that ignores SIGTERM stands for a server that hangs.
	hangs := filepath.Join(t.TempDir(), "here")
	s, err := start(t.Context(), program{
		name: "deaf", path: "/bin/sh", args: []string{"-c", "trap '' TERM; touch " + hangs + "; while :; do read x; done < /dev/zero"},
		ready: func(context.Context, int) error { _, err := os.Stat(hangs); return err },
		poll:  time.Millisecond, upLimit: 10 * time.Second, stopLimit: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if got := processState(s.PID); got != "" {
		t.Errorf("its state is %q after Stop", got)
	}
}

func TestChildrenHaveTheirOwnProcessGroup(t *testing.T) {
	s := Redis(t)
	group, err := syscall.Getpgid(s.PID)
	if err != nil || group != s.PID {
		t.Errorf("process group %d, %v; want %d, so that Ctrl-C does not reach it", group, err, s.PID)
	}
}

func TestAMissingRedisIsOneLineWithTheFix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := StartRedis(t.Context(), RedisConfig{Dir: t.TempDir()})
	var missing ErrMissing
	if !errors.As(err, &missing) || missing.Server != "redis-server" {
		t.Fatalf("got %v, want an ErrMissing", err)
	}
	want := "redis-server is not installed: run `make deps` or `apt-get install redis-server`"
	if err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
}

func TestAPortInUseIsOneLineWithThePort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port

	_, err = StartRedis(t.Context(), RedisConfig{Dir: t.TempDir(), Port: port})
	if !errors.As(err, new(ErrPortInUse)) {
		t.Fatalf("got %v, want an ErrPortInUse", err)
	}
	if text := err.Error(); !strings.Contains(text, strconv.Itoa(port)) || strings.Contains(text, "\n") {
		t.Errorf("it says %q: want one line that names port %d", text, port)
	}
}

func TestAPortThatIsTakenAfterTheLookIsNamedToo(t *testing.T) {
	// A second Redis takes the port while the first one starts: forged by a program that
	// says that it listens elsewhere than it does.
	first := Redis(t)
	port := strings.TrimPrefix(first.Addr, "127.0.0.1:")
	s := &Server{Name: "redis", Addr: first.Addr, program: program{
		name: "redis", path: "redis-server", args: []string{"--bind", "127.0.0.1", "--port", port}, dir: t.TempDir(),
		ready: func(ctx context.Context, pid int) error {
			if err := redisServes(ctx, first.Addr, pid); err == nil {
				t.Errorf("the answer of another Redis was taken for that of pid %d", pid)
			}
			return errors.New("not ours")
		},
		poll: time.Millisecond, upLimit: 10 * time.Second,
	}}
	err := s.up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ddress already in use") {
		t.Fatalf("got %v, want its log", err)
	}
	s.program.ports = []string{first.Addr}
	if err := s.up(t.Context()); !errors.As(err, new(ErrPortInUse)) {
		t.Errorf("got %v, want an ErrPortInUse", err)
	}
}

func TestAServerThatDoesNotComeUpShowsItsLog(t *testing.T) {
	var log bytes.Buffer
	_, err := StartRedis(t.Context(), RedisConfig{Dir: t.TempDir(), Extra: []string{"--no-such-setting", "1"}, LogTo: &log})
	if err == nil {
		t.Fatal("it came up")
	}
	for _, want := range []string{"did not come up", "exit status 1", "no-such-setting"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if !strings.Contains(log.String(), "no-such-setting") {
		t.Errorf("LogTo lacks the log: %q", log.String())
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pid, asked := 0, 0
	_, err := start(ctx, program{
		name: "slow", path: "/bin/sleep", args: []string{"60"}, poll: time.Millisecond, upLimit: time.Minute,
		ready: func(ctx context.Context, p int) error {
			if pid, asked = p, asked+1; asked == 1 {
				return errors.New("still loading")
			}
			cancel()
			return ctx.Err()
		},
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "still loading") {
		t.Errorf("got %v, want Canceled and the last answer", err)
	}
	if got := processState(pid); got != "" {
		t.Errorf("its state is %q, it should be gone", got)
	}
}

func TestConfigsNameEveryFault(t *testing.T) {
	_, redisErr := StartRedis(t.Context(), RedisConfig{Port: 70000})
	_, zooKeeperErr := StartZooKeeper(t.Context(), ZooKeeperConfig{Port: -1})
	_, kafkaErr := StartKafka(t.Context(), KafkaConfig{Port: -1})
	for _, err := range []error{redisErr, zooKeeperErr, kafkaErr} {
		if err == nil || !strings.Contains(err.Error(), "Dir is empty") || !strings.Contains(err.Error(), "Port is") {
			t.Errorf("got %v, want both faults", err)
		}
	}
	if _, err := StartKafkaQuorum(t.Context(), t.TempDir(), 0); err == nil {
		t.Error("a quorum of none was started")
	}
}

// processState is the state letter of a process ("S" sleeps, "T" stopped, "Z" dead and not
// reaped), "" when there is none.
func processState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}
