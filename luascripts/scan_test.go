package luascripts

import (
	"fmt"
	"strconv"
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

// A partition that nobody waits for is read in the pauses of those that serve: the shard is somebody else's for half of the time.
func TestDumpLeavesTheShardToOthers(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	b := journal.NewBook(0, 1)
	b.Epoch = 1
	for i := range 100_000 {
		b.State.SetAccount(journal.HandleOf(fmt.Sprint(i)), journal.Account{})
	}
	must(t, s.Load(t.Context(), b))
	must(t, s.client.ConfigResetStat(t.Context()).Err())
	began := time.Now()
	d, err := s.DumpPart(t.Context(), 0, 1, true)
	took := time.Since(began)
	must(t, err)
	if d.Digest() != b.Digest() {
		t.Error("it is not what was loaded")
	}
	stats, err := s.client.InfoMap(t.Context(), "commandstats").Result()
	must(t, err)
	words := strings.FieldsFunc(stats["Commandstats"]["cmdstat_hscan"], func(r rune) bool { return r == '=' || r == ',' })
	us, err := strconv.Atoi(words[3]) // calls, n, usec, n
	must(t, err)
	if worked := time.Duration(us) * time.Microsecond; worked == 0 || took < 2*worked {
		t.Errorf("the shard worked for %v of %v", worked, took)
	}
}
