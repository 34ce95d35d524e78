package systemtest

import (
	"bytes"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
)

const repliesLost = 40

// P4: a shard executes a train, and its answer is lost, many times, for gateways and keepers alike. Each transfer
// happens once.
func TestLostRepliesOfShards(t *testing.T) {
	c := startCluster(t, clusterOptions{proxies: true})
	l := startLoad(t, c.wallet)
	loseReplies(t, c.proxies, func(request []byte) bool {
		head := bytes.ToUpper(request[:min(len(request), 32)])
		return bytes.Contains(head, []byte("EVAL")) || bytes.Contains(head, []byte("FCALL"))
	})
	l.advance(steady)
	c.check(l.stop())
}

// P4: the answer to a client is lost on its way. It asks again, over another connection, and is told the first outcome.
func TestLostRepliesOfGateways(t *testing.T) {
	d := startDev(t, 8)
	proxies := []*faultproxy.Proxy{faultproxy.ForTest(t, d.gateways[0]), faultproxy.ForTest(t, d.gateways[0])}
	around := *d.wallet
	around.gateways = []string{proxies[0].Addr(), proxies[1].Addr()}
	l := startLoad(t, &around)
	loseReplies(t, proxies, nil)
	l.advance(steady)
	d.check(l.stop())
}

// loseReplies loses a reply of one proxy after the other, each when the one before is lost.
func loseReplies(t *testing.T, proxies []*faultproxy.Proxy, match func([]byte) bool) {
	t.Helper()
	for i := range rounds(t, repliesLost) {
		p := proxies[i%len(proxies)]
		select {
		case <-p.DropNextReply(match):
		case <-time.After(recoverLimit):
			t.Fatalf("no reply could be lost any more after %d", i)
		}
	}
	lost := int64(0)
	for _, p := range proxies {
		lost += p.Counts().DroppedReplies
	}
	if lost < repliesLost {
		t.Fatalf("only %d replies were lost", lost)
	}
	t.Logf("%d replies lost", lost)
}
