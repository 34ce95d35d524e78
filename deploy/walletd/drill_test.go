package walletd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"walletd/shardrouter/keeper"
)

// TestADrillNeedsConsent: outside dev nothing is emptied for whoever does not name the wallet, or asks a process that does not
// lead the shard.
func TestADrillNeedsConsent(t *testing.T) {
	n := &node{cfg: nodeConfig{wallet: "main", keeps: []string{"s1"}}, keepers: []*keeper.Keeper{{}}} // no shard is reached
	for body, want := range map[string]struct {
		status int
		detail string
	}{
		`{"shard":"s1"}`:                    {http.StatusForbidden, "--yes-i-mean-it main"},
		`{"shard":"s1","wallet":"another"}`: {http.StatusForbidden, "--yes-i-mean-it main"},
		`{"shard":"s2","wallet":"main"}`:    {http.StatusNotFound, "s2"},
		`{"shard":"s1","wallet":"main"}`:    {http.StatusServiceUnavailable, "does not lead shard s1"},
	} {
		w := httptest.NewRecorder()
		n.adminShardLoss(w, httptest.NewRequest(http.MethodPost, "/admin/v1/drills/shard-loss", strings.NewReader(body)))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.detail) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}
