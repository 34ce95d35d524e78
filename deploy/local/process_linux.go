package local

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr: own process group, so that the terminal's Ctrl-C reaches only the parent;
// SIGKILL when the thread that forked it ends (see fork.go).
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStopped returns when every thread of the child pid stands still. SIGSTOP itself is
// delivered later than kill(2) returns, and a server could still answer meanwhile.
func awaitStopped(pid int) error {
	for {
		// WNOWAIT leaves the exit status to cmd.Wait.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for pid %d to stand still: %w", pid, err)
		}
		return nil
	}
}
