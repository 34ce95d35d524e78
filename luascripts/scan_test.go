package luascripts

import (
	"fmt"
	"strings"
	"testing"

	"walletd/deploy/local"
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
