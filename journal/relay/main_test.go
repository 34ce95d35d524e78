package relay

import (
	"testing"

	"go.uber.org/goleak"

	"walletd/deploy/local"
)

// Nothing outlives Run, nor a log that is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }
