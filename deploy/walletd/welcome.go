package walletd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// welcome tells a newcomer where everything is, and three commands that work as they stand.
func (a *app) welcome(info *readyInfo, n *node) {
	self := os.Args[0]
	if strings.ContainsAny(self, " '\"") || strings.Contains(self, "go-build") {
		self = "walletd"
	}
	server := ""
	if info.HTTP != "http://127.0.0.1:8080" {
		server = " --server " + info.HTTP
	}
	token := "no token is set: everyone on this machine may do everything"
	if n.cfg.token != "" {
		token = "requests need the bearer token"
	}
	fmt.Fprintf(a.err, `walletd is ready: %d partitions on %d shards (%s)

  REST       %s
  WebSocket  %s
  operators  %s
  data       %s

Try:
  %[8]s transfer alice bob 12.50 USD --key order-42%[9]s
  %[8]s balance alice%[9]s
  curl %[4]s/v1/accounts/bob/entries

Ctrl-C stops it; started again, every balance is there.
`, n.cfg.partitions, len(n.cfg.keeps), token, info.HTTP, info.WS, info.Admin, info.Data, self, server)
}

// statusLine keeps one line on a terminal up to date, until ctx ends; elsewhere it says nothing.
func (a *app) statusLine(ctx context.Context, n *node) {
	if !terminal(a.err) {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last uint64
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			fmt.Fprint(a.err, "\r\033[K")
			return
		case <-tick.C:
		}
		events, behind := n.progress()
		rate := uint64(0)
		if !first && events >= last {
			rate = events - last
		}
		last = events
		serving, _ := n.serving()
		fmt.Fprintf(a.err, "\r\033[K%d events (%d/s) · projection %d behind · %d sessions · %d of %d partitions serve", events, rate, behind, n.gateway.Sessions(), serving, n.cfg.partitions)
	}
}
