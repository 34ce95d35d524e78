package systemtest

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	throng "walletd/bench/crowd"
	"walletd/journal"
	"walletd/journal/filelog"
)

// populate adds n accounts to a dev wallet that is not running.
func (d *dev) populate(n int) {
	d.t.Helper()
	log, err := filelog.Open(filelog.Config{Dir: filepath.Join(d.data, "journal")})
	if err != nil {
		d.t.Fatal(err)
	}
	populate(d.t, log, n)
	if err := log.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// populate adds n accounts to a cluster, whose keepers stand still meanwhile.
func (c *cluster) populate(n int) {
	c.t.Helper()
	for _, k := range c.keepers {
		k.kill()
	}
	log, closeLog, err := c.openLog()
	if err != nil {
		c.t.Fatal(err)
	}
	populate(c.t, log, n)
	if err := closeLog(); err != nil {
		c.t.Fatal(err)
	}
	for _, k := range c.keepers {
		k.restart()
	}

}

func populate(t testing.TB, log journal.Log, n int) {
	t.Helper()
	begin := time.Now()
	err := throng.Write(t.Context(), throng.Config{Log: log, Accounts: n, Name: func(i int) string { return "crowd" + strconv.Itoa(i) }, Amount: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d accounts were put into the journal in %v", n, time.Since(begin).Round(time.Millisecond))
}
