package keeper

import (
	"context"
	"testing"
	"time"
)

// A clock that is set back does not keep the outbox from being read: others' trains would wait for as long as it was set back.
func TestTheOutboxIsReadWhenTheClockWasSetBack(t *testing.T) {
	for name, took := range map[string]time.Duration{ // ago
		"nothing was ever taken":      time.Duration(now()),
		"the last train is long ago":  time.Second,
		"the last train is yet to be": -time.Hour,
	} {
		o := newOutbox(nil)
		o.took.Store(now() - int64(took))
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if block, err := o.await(soon); err != nil || block != outboxBlock {
			t.Errorf("%s: blocks for %v, %v", name, block, err)
		}
		cancel()
	}
}
