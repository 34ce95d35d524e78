package systemtest

import (
	"fmt"
	"time"
)

// In a third of the schedules keys leave the shards after a moment, while clients repeat keys of every age.

// repeatsMax bounds how many keys are repeated in the end, of each outcome.
const repeatsMax = 250

// keysGone waits until no key is in a shard any more.
func (w *wallet) keysGone() {
	w.t.Helper()
	count := w.keyRecords
	if count == nil {
		count = func() (float64, error) { return w.sum("wallet_key_records{") }
	}
	await(w.t, recoverLimit, "all keys have gone", func() error {
		held, err := count()
		if err == nil && held > 0 {
			err = fmt.Errorf("%v are held", held)
		}
		return err
	})
}

// keyRecords is how many keys the shards hold, by their keepers, in the form in process.
func (f *inprocess) keyRecords() (sum float64, err error) {
	for _, k := range f.keepers {
		sum += float64(k.kept.Load().Stats().Window.Keys)
	}
	return sum, nil
}

// slice is how many keys of the window lie together; 0: as usual.
func (f *inprocess) slice() time.Duration { return min(f.window, time.Second) }
