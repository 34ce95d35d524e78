package local

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
)

// Server is a real server on this machine that this process started. Its methods may be
// called from several goroutines.
type Server struct {
	Name string // what runs, for messages: "redis", "kafka-2"
	Addr string // where clients connect: "127.0.0.1:port"
	// PID of the process, the last one's when it is gone. Restart changes it: whoever
	// restarts from another goroutine must not read it at the same time.
	PID int

	program program // immutable

	restarting sync.Mutex // one Restart at a time
	mu         sync.Mutex // guards proc
	proc       *process
}

// start launches p and returns when it serves. ctx bounds the start only, not the server's
// life.
func start(ctx context.Context, p program) (*Server, error) {
	s := &Server{Name: p.name, Addr: p.addr, program: p}
	if err := s.up(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// up launches the program and waits until it serves; on an error nothing runs.
func (s *Server) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.program.upLimit)
	defer cancel()

	if err := s.portsFree(); err != nil {
		return err
	}
	proc, err := launch(s.program)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc, s.PID = proc, proc.cmd.Process.Pid
	s.mu.Unlock()

	err = proc.awaitReady(ctx, s.program)
	if err == nil {
		return nil
	}
	proc.kill()
	// Somebody may have taken the port between our look and the server's bind.
	if strings.Contains(proc.log.String(), "ddress already in use") {
		if err := s.portsFree(); err != nil {
			return err
		}
	}
	return proc.withLog(fmt.Errorf("%s on %s did not come up: %w", s.Name, s.Addr, err))
}

// portsFree is an ErrPortInUse for the first port that is taken.
func (s *Server) portsFree() error {
	for _, addr := range s.program.ports {
		if !portIsFree(addr) {
			return ErrPortInUse{Server: s.Name, Addr: addr}
		}
	}
	return nil
}

func (s *Server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// Stop ends the server with SIGTERM, after a bound with SIGKILL, and returns when it is
// gone. A paused server is woken for it. Stopping twice is fine.
func (s *Server) Stop() { s.current().terminate(s.program.stopSignal, s.program.stopLimit) }

// Kill ends the server with SIGKILL, as a crash does, and returns when it is reaped: its
// port is free again.
func (s *Server) Kill() { s.current().kill() }

// Pause freezes the server with SIGSTOP and returns when it stands still: its connections
// stay open, and the kernel still accepts new ones for it, but nothing is answered. An error
// says that it is gone.
func (s *Server) Pause() error {
	proc := s.current()
	if err := proc.signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", s.Name, err)
	}
	if err := awaitStopped(proc.cmd.Process.Pid); err != nil {
		return fmt.Errorf("pause %s: %w", s.Name, err)
	}
	return nil
}

// Resume lets a paused server go on. An error says that it is gone.
func (s *Server) Resume() error {
	if err := s.current().signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume %s: %w", s.Name, err)
	}
	return nil
}

// Restart stops the server if it runs, starts it again on the same port and directory, and
// returns when it serves. What it then remembers is its own affair: a Redis comes back
// empty, ZooKeeper and Kafka with their data. After an error it is down and may be restarted
// again.
func (s *Server) Restart(ctx context.Context) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	s.Stop()
	return s.up(ctx)
}

// Exited is closed when the process that runs now is gone, however that came about. After a
// Restart ask again.
func (s *Server) Exited() <-chan struct{} { return s.current().exited }
