package client

import (
	"errors"
	"testing"
	"time"
)

func TestBatchRemembersThatItMayHaveHappened(t *testing.T) {
	f := newFake(t)
	f.onFrame = func(c *fakeConn, _ []byte, commands []command) {
		for i := range commands {
			m := &commands[i]
			if m.Batch == nil {
				c.answer(m)
				continue
			}
			if c.number == 1 { // it happens, and the reply is lost
				for _, x := range m.Batch.Transfers {
					c.f.execute(x.Key, x.From)
				}
				c.close(1001)
				return
			}
			c.reply(m.ID, `"ok":{"data":[{"error":{"code":"shard_unavailable","retryable":true}}]}`) // from here on the payee's shard is away
		}
	}
	for _, retries := range []int{-1, 0} {
		f.moves, f.outcomes = map[string]int{}, map[string]string{}
		c := f.dial(func(c *Config) { c.Retries, c.Timeout = retries, 500*time.Millisecond })
		out, err := c.Batch(t.Context(), []Transfer{pay("k")})
		var refused *RefusedError
		var unknown *UnknownError
		if f.movesOf("k") == 1 && errors.As(out[0].Err, &refused) && !errors.As(out[0].Err, &unknown) {
			t.Errorf("retries %d: money moved, and the batch says %v (%v)", retries, out[0].Err, err)
		}
		c.Close()
		f.sessions.Store(0)
	}
}
