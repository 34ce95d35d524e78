package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// program is how one server is run; immutable.
type program struct {
	name  string // for messages
	path  string // of the executable
	args  []string
	dir   string // working directory
	logTo io.Writer

	addr  string   // where clients connect
	ports []string // every address that it listens on, addr included
	// ready asks the server of that pid once, in its own protocol; nil when it serves.
	ready     func(ctx context.Context, pid int) error
	poll      time.Duration // between two questions
	upLimit   time.Duration // to come up, when the caller's context allows more
	stopLimit time.Duration // between SIGTERM and SIGKILL

	as         *syscall.Credential // whom it runs as; nil: as we do
	stopSignal syscall.Signal      // 0: SIGTERM
}

// process is one run of a program.
type process struct {
	cmd    *exec.Cmd
	log    *tail
	exited chan struct{} // closed when reaped and the log is read to its end
	err    error         // how it ended; valid after exited
}

// launch forks p.
func launch(p program) (*process, error) {
	proc := &process{
		cmd:    exec.Command(p.path, p.args...),
		log:    &tail{to: p.logTo},
		exited: make(chan struct{}),
	}
	proc.cmd.Dir = p.dir
	proc.cmd.Stdout, proc.cmd.Stderr = proc.log, proc.log
	proc.cmd.SysProcAttr = childAttr()
	proc.cmd.SysProcAttr.Credential = p.as
	proc.cmd.WaitDelay = time.Second // for the log, once the process is gone
	if err := children.start(proc.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		proc.err = proc.cmd.Wait()
		children.reaped()
		close(proc.exited)
	}()
	return proc, nil
}

// signal reaches only a process that has not been reaped: os.Process holds its pid until
// then.
func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// kill ends the process, running or stopped, and waits until it is reaped.
func (p *process) kill() {
	_ = p.signal(syscall.SIGKILL) // fails only when it is gone already
	<-p.exited
}

// terminate asks the process to end and kills it when it does not within the limit.
func (p *process) terminate(how syscall.Signal, limit time.Duration) {
	_ = p.signal(cmp.Or(how, syscall.SIGTERM))
	_ = p.signal(syscall.SIGCONT) // a stopped one would not hear it
	bound := time.NewTimer(limit)
	defer bound.Stop()
	select {
	case <-p.exited:
	case <-bound.C:
		p.kill()
	}
}

// awaitReady asks until the server serves, exits, or ctx ends.
func (p *process) awaitReady(ctx context.Context, prog program) error {
	tick := time.NewTicker(prog.poll)
	defer tick.Stop()
	notYet := errors.New("it was not asked yet")
	for {
		err := prog.ready(ctx, p.cmd.Process.Pid)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			notYet = err
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("it exited: %w", p.exitError())
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), notYet)
		}
	}
}

// exitError is never nil: a server that ends by itself with status 0 has failed, too.
func (p *process) exitError() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// withLog adds the last lines of the log to an error.
func (p *process) withLog(err error) error {
	if log := p.log.String(); log != "" {
		return fmt.Errorf("%w\nthe last lines of its log:\n  %s", err, strings.ReplaceAll(log, "\n", "\n  "))
	}
	return err
}

// runToEnd runs a tool (not a server) under the same rules and waits for it.
func runToEnd(ctx context.Context, p program) error {
	proc, err := launch(p)
	if err != nil {
		return err
	}
	select {
	case <-proc.exited:
	case <-ctx.Done():
		proc.kill()
		return fmt.Errorf("%s: %w", p.name, ctx.Err())
	}
	if proc.err != nil {
		return proc.withLog(fmt.Errorf("%s: %w", p.name, proc.err))
	}
	return nil
}
