package walletd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"walletd/gateway/tcc"
	"walletd/journal"
)

// ignorant has evicted something, and has never heard of any key.
type ignorant struct{}

func (ignorant) Past(_ context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	known := make([]tcc.Known, len(questions))
	for i := range known {
		known[i].EvictedMS = 5
	}
	return known, nil
}

// TestAnotherWalletsProjectorIsNotBelieved: one that has never heard of a key would have it executed a second time.
func TestAnotherWalletsProjectorIsNotBelieved(t *testing.T) {
	ours := &node{cfg: nodeConfig{wallet: "ours", partitions: 8}}
	for _, other := range []*node{ours, {cfg: nodeConfig{wallet: "theirs", partitions: 8}}, {cfg: nodeConfig{wallet: "ours", partitions: 4}}} {
		server := httptest.NewServer(servePast(ignorant{}, other.pastName()))
		p := &remotePast{url: server.URL, wallet: ours.pastName(), client: &http.Client{}}
		known, err := p.Past(t.Context(), []tcc.Question{{At: journal.Position{Partition: 1, Epoch: 2, Seq: 3}, ID: journal.ID{1}}})
		if mine := other == ours; mine != (err == nil) || mine != (len(known) == 1) || (!mine && !strings.Contains(err.Error(), "projector_url")) {
			t.Errorf("%s: %+v %v", other.pastName(), known, err)
		}
		p.client.CloseIdleConnections()
		server.Close()
	}
}

// lagging has one partition that does not come.
type lagging struct{}

func (lagging) Past(ctx context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	known := make([]tcc.Known, len(questions))
	for i, q := range questions {
		if q.At.Partition == 0 {
			<-ctx.Done()
			known[i].Behind = true
		}
		known[i].EvictedMS = 5
	}
	return known, nil
}

// TestOnePartitionBehindLeavesTheOthers: what a projector knows it tells before its gateway has given up.
func TestOnePartitionBehindLeavesTheOthers(t *testing.T) {
	server := httptest.NewServer(servePast(lagging{}, "w"))
	defer server.Close()
	p := &remotePast{url: server.URL, wallet: "w", client: server.Client()}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a coordinator's
	defer cancel()
	known, err := p.Past(ctx, []tcc.Question{{At: journal.Position{Partition: 0}}, {At: journal.Position{Partition: 1}}})
	if err != nil || len(known) != 2 || !known[0].Behind || known[1].Behind {
		t.Errorf("%+v %v", known, err)
	}
}
