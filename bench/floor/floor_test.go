package floor

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"walletd/deploy/local"
)

func TestFloorTouchesWhatATransferDoes(t *testing.T) {
	addr := local.Redis(t).Addr
	c := Config{Addr: addr, Accounts: 500, Bulk: 16, Bulks: 20, Rounds: 2, Seed: 1}
	r, err := Run(t.Context(), c, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Cross.Median <= 0 || r.Same.Median <= 0 || r.Cross.Min > r.Cross.Max {
		t.Errorf("costs %+v", r)
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	ran := int64((c.Rounds + 1) * c.Bulks) // bulks of each kind
	for key, want := range map[string]int64{accounts: int64(c.Accounts), keys: 2 * ran * int64(c.Bulk)} {
		if n, err := client.HLen(t.Context(), key).Result(); err != nil || n != want {
			t.Errorf("%s has %d fields, want %d: %v", key, n, want, err)
		}
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	err := Config{Accounts: 10, Bulk: 2000, Bulks: 1, Rounds: 0}.Validate()
	if err == nil || !strings.Contains(err.Error(), "bulk: 2000") || !strings.Contains(err.Error(), "rounds: 0") {
		t.Errorf("got %v", err)
	}
}
