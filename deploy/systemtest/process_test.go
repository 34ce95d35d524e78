package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one walletd that this test started. Signals go to it by pid, and never to a pid that has been reaped.
type process struct {
	t      testing.TB
	name   string
	pid    int
	out    *tail
	exited chan struct{} // closed when it has been reaped

	mu   sync.Mutex // guards gone: no signal after the reaping
	cmd  *exec.Cmd
	gone bool
	code int // exit code, −1 after a signal; to be read when exited is closed
}

// forks starts every child from one OS thread that never ends: the kernel ties the parent-death signal to the thread
// that forked.
var forks = sync.OnceValue(func() chan<- func() {
	orders := make(chan func())
	go func() {
		runtime.LockOSThread()
		for order := range orders {
			order()
		}
	}()
	return orders
})

// launch starts walletd with these arguments; it ends with the test, and a failed test shows what it said.
func launch(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, out: new(tail), exited: make(chan struct{}), cmd: exec.Command(binary, args...)}
	p.cmd.Env = append(cleanEnvironment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = diesWithUs()
	p.cmd.WaitDelay = 5 * time.Second // its children may hold its output open
	started := make(chan error)
	forks() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p.pid = p.cmd.Process.Pid
	go p.reap()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s (pid %d) said:\n%s", p.name, p.pid, p.out)
		}
	})
	return p
}

// cleanEnvironment is ours without the variables that walletd would read as configuration.
func cleanEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WALLETD_") || strings.HasPrefix(v, "WALLETD_KAFKA_LIBS=") || strings.HasPrefix(v, "WALLETD_LOG=") {
			env = append(env, v)
		}
	}
	return env
}

func (p *process) reap() {
	err := p.cmd.Wait()
	p.mu.Lock()
	p.gone, p.code = true, p.cmd.ProcessState.ExitCode()
	p.mu.Unlock()
	if err != nil && p.code == 0 {
		p.code = -1
	}
	close(p.exited)
}

// signal sends a signal, unless the process is gone.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		_ = p.cmd.Process.Signal(s) // one that has just ended needs none
	}
}

// kill ends it as a crash does, and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// freeze stops it in its tracks, its connections open; thaw lets it go on.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	await(p.t, answerLimit, "freeze "+p.name, func() error {
		if s := stateOf(p.pid); s != "T" {
			return fmt.Errorf("its state is %q", s)
		}
		return nil
	})
}

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// interrupt is Ctrl-C. It returns the exit code, and fails the test if the process does not end.
func (p *process) interrupt() int {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	return p.wait(stopLimit)
}

// wait returns the exit code once the process has ended by itself.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.code
	case <-time.After(limit):
		p.signal(syscall.SIGQUIT) // the Go runtime tells where every goroutine is
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
		}
		p.t.Fatalf("%s has not ended within %v", p.name, limit)
		return -1
	}
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ready waits until ok answers nil, or fails the test when the process ends before.
func (p *process) ready(ok func() error) {
	p.t.Helper()
	await(p.t, upLimit, p.name+" serves", func() error {
		if !p.alive() {
			return errFinal{fmt.Errorf("%s ended with code %d: %s", p.name, p.code, p.out)}
		}
		return ok()
	})
}

// result is how a command that ended by itself ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
}

// commandLimit bounds a command that ends by itself. A test of many accounts raises it.
var commandLimit = upLimit

// run runs a walletd command to its end.
func run(t testing.TB, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandLimit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(cleanEnvironment(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("walletd %s has not ended within %v\n%s%s", strings.Join(args, " "), commandLimit, out.String(), errs.String())
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("walletd %s: %v\n%v", strings.Join(args, " "), err, r)
	}
	return r
}

// stateOf is a process's state as the kernel shows it: R, S, T (stopped), Z (dead, not reaped); "" when there is none.
func stateOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

// leftovers are the running processes whose command line names path.
func leftovers(path string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		b, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() || !bytes.Contains(b, []byte(path)) {
			continue
		}
		if s := stateOf(pid); s != "" && s != "Z" {
			found = append(found, fmt.Sprintf("%d: %s", pid, bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// noneLeft fails the test when something that names path still runs a moment later.
func noneLeft(t testing.TB, path string) {
	t.Helper()
	await(t, answerLimit, "nothing is left running", func() error {
		if left := leftovers(path); len(left) > 0 {
			return fmt.Errorf("still there: %s", strings.Join(left, "; "))
		}
		return nil
	})
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 64 << 10

func (o *tail) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	if n := len(o.text) - tailBytes; n > tailBytes {
		o.text = append(o.text[:0], o.text[n:]...)
	}
	return len(b), nil
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
