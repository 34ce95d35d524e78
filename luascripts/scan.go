package luascripts

import (
	"context"
	"fmt"
	"time"
)

const (
	scanCount = 1000      // fields a reply, at most
	scanFirst = 16        // in the first one, when nobody knows how large they are
	scanBytes = 256 << 10 // a reply, about: it lies in the shard's memory until it has been sent, and a full Redis refuses others for it
)

// eachPage calls fn with fields and values of a hash, in turn, some at a time, until all have been there. pace, if set, is what
// comes after a reply that took so long.
func (s *Shard) eachPage(ctx context.Context, key string, pace func(ctx context.Context, took time.Duration), fn func(words []string) error) error {
	var cursor uint64
	for count := scanFirst; ; {
		began := time.Now()
		words, next, err := s.client.HScan(ctx, key, cursor, "", int64(count)).Result()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if pace != nil {
			pace(ctx, time.Since(began))
		}
		if err := fn(words); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
		count = nextCount(count, words)
	}
}

// nextCount is how many fields to ask for after a reply: as many as make scanBytes, if they are like these.
func nextCount(count int, words []string) int {
	bytes := 0
	for _, w := range words {
		bytes += len(w)
	}
	if bytes == 0 {
		return min(4*count, scanCount) // a sparse table
	}
	return min(max(1, scanBytes*(len(words)/2)/bytes), 4*count, scanCount)
}
