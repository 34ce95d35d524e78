//go:build !linux

package systemtest

import (
	"errors"
	"syscall"
)

// diesWithUs: other systems cannot tell a child of its parent's death; the tests' own clean-up ends it.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func fileLimit(int, uint64) error { return errors.ErrUnsupported }
