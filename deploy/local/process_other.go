//go:build unix && !linux

package local

import "syscall"

// childAttr: own process group, so that the terminal's Ctrl-C reaches only the parent.
// Only Linux has a parent-death signal: elsewhere a parent that is killed leaves its
// servers behind.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitStopped cannot be told here; the signal arrives soon.
func awaitStopped(int) error { return nil }
