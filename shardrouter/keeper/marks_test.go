package keeper

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"walletd/luascripts"
)

// TestMarksThatNobodyHears are told every so often only, until somebody does; then every one is, at once.
func TestMarksThatNobodyHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 200 * time.Millisecond
		m := newMarks()
		m.begin(3, 1, 0)
		var told []uint64
		var heard atomic.Bool
		heard.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.tell(ctx, m.remote, every, func(marks []luascripts.Mark) bool {
			told = append(told, marks[0].Seq)
			return heard.Load()
		})
		rises := func(seq uint64, want int) {
			t.Helper()
			m.advance(3, seq)
			synctest.Wait()
			if len(told) != want {
				t.Fatalf("at seq %d, told %v, want %d marks", seq, told, want)
			}
		}
		synctest.Wait()
		rises(1, 2) // the first was of its beginning
		rises(2, 3)
		heard.Store(false)
		rises(3, 4) // to nobody
		rises(4, 4)
		rises(5, 4)
		heard.Store(true) // somebody has come
		time.Sleep(every + time.Millisecond)
		synctest.Wait()
		if len(told) != 5 || told[4] != 5 {
			t.Fatalf("after a while told %v, want the newest", told)
		}
		rises(6, 6)
	})
}
