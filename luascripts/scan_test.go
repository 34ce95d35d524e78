package luascripts

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
)

// Replies of a scan are small in bytes, however large the fields are, and all fields are there.
func TestScansAreSmall(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	for what, c := range map[string]struct{ fields, size int }{"small records": {20_000, 60}, "large ones": {300, 60_000}, "none": {0, 0}} {
		must(t, s.client.Del(t.Context(), "hash").Err())
		for i := range c.fields {
			must(t, s.client.HSet(t.Context(), "hash", fmt.Sprint(i), strings.Repeat("x", c.size)).Err())
		}
		seen, pages := map[string]bool{}, 0
		must(t, s.eachPage(t.Context(), "hash", nil, func(words []string) error {
			bytes := 0
			for i := 0; i < len(words); i += 2 {
				seen[words[i]] = true
				bytes += len(words[i]) + len(words[i+1])
			}
			if pages++; bytes > 8*scanBytes {
				t.Errorf("%s: a page of %d bytes", what, bytes)
			}
			return nil
		}))
		if len(seen) != c.fields || pages > 10+c.fields/4+c.fields*c.size/scanBytes {
			t.Errorf("%s: %d fields of %d in %d pages", what, len(seen), c.fields, pages)
		}
	}
}

// A partition that nobody waits for is read in the pauses of those that serve: behind every reply the shard is theirs.
func TestDumpLeavesTheShardToOthers(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	b := journal.NewBook(0, 1)
	b.Epoch = 1
	for i := range 20_000 {
		b.State.SetAccount(journal.HandleOf(fmt.Sprint(i)), journal.Account{})
	}
	must(t, s.Load(t.Context(), b))
	if s.dumperOf(0, 1, false).pace != nil {
		t.Error("a partition that waits is read with pauses")
	}
	d, rests := s.dumperOf(0, 1, true), 0
	pace := d.pace
	if pace == nil {
		t.Fatal("one that nobody waits for is not")
	}
	d.pace = func(ctx context.Context, took time.Duration) {
		rests++
		pace(ctx, took)
	}
	must(t, d.all(t.Context()))
	if len(d.book(0).State.(*journal.Memory).Accounts) != 20_000 || rests < 20_000/scanCount {
		t.Errorf("%d pauses", rests)
	}
}
