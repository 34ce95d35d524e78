package systemtest

import (
	"syscall"
	"unsafe"
)

// diesWithUs lets the kernel end a child when this test process ends, in whatever way.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// fileLimit lets a running process of ours write no byte of a file behind the limit, as if its disk were full there; 0 = no
// limit. It reaches the process alone, not its children.
func fileLimit(pid int, bytes uint64) error {
	const infinite = 1<<64 - 1
	limit := syscall.Rlimit{Cur: bytes, Max: infinite}
	if bytes == 0 {
		limit.Cur = infinite
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
