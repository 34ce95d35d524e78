//go:build planted

package planted

import (
	"os"
	"sync/atomic"
)

var chosen atomic.Value

func init() { chosen.Store(Bug(os.Getenv("WALLETD_PLANTED"))) }

// Choose plants one bug in this process, "" none.
func Choose(b Bug) { chosen.Store(b) }

// Is reports whether the bug is the one that is planted.
func Is(b Bug) bool { return chosen.Load() == b }
