package filelog

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing outlives a log that is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
