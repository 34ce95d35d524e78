package systemtest

import "syscall"

// diesWithUs lets the kernel end a child when this test process ends, in whatever way.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
