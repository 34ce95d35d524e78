package local

import (
	"os/exec"
	"runtime"
	"sync"
)

// children forks every child of this package from one OS thread.
//
// The kernel ties the parent-death signal to the thread that forked, not to its process:
// when the Go runtime ends that thread (it ends the thread of a goroutine that returns while
// locked to it), the child dies although its parent is well. So one goroutine, locked to its
// thread, forks all children, and lives as long as any of them does.
var children forker

type forker struct {
	mu       sync.Mutex
	alive    int            // children forked and not yet reaped
	requests chan forkOrder // nil while none is alive
}

type forkOrder struct {
	cmd  *exec.Cmd
	done chan<- error
}

// start forks cmd. After a nil error the caller must call reaped once, when cmd.Wait has
// returned.
func (f *forker) start(cmd *exec.Cmd) error {
	f.mu.Lock()
	if f.alive == 0 {
		f.requests = make(chan forkOrder)
		go forkLoop(f.requests)
	}
	f.alive++
	requests := f.requests
	f.mu.Unlock()

	done := make(chan error, 1)
	requests <- forkOrder{cmd, done}
	err := <-done
	if err != nil {
		f.reaped()
	}
	return err
}

// reaped says that a child is gone; with the last one the thread goes, too.
func (f *forker) reaped() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive--
	if f.alive == 0 {
		close(f.requests)
		f.requests = nil
	}
}

// forkLoop never unlocks its thread: nobody else shall run on it, and it ends with the loop.
func forkLoop(requests <-chan forkOrder) {
	runtime.LockOSThread()
	for r := range requests {
		r.done <- r.cmd.Start()
	}
}
