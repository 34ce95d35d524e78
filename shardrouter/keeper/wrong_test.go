package keeper

import (
	"testing"
	"time"

	"walletd/journal"
)

// TestWrongPrimaries: what can be wrong with a primary that has a replica, and where the shard is served afterwards.
func TestWrongPrimaries(t *testing.T) {
	const back = `local p = redis.call('HGET', 'parts', '\0\0')
redis.call('HSET', 'parts', '\0\0', struct.pack('>I4', struct.unpack('>I4', p) - 1) .. string.sub(p, 5))`
	for what, w := range map[string]struct {
		do    func(c *cluster)
		moves bool // to the replica
		stays bool // nothing happens at all
	}{
		"dies":                        {do: func(c *cluster) { c.redis[0].Kill() }, moves: true},
		"evicts, and nobody helps it": {do: func(c *cluster) { c.redisCLI(0, "config", "set", "maxmemory-policy", "allkeys-lru") }, moves: true},
		"comes back empty":            {do: func(c *cluster) { c.redis[0].Kill(); c.must(c.redis[0].Restart(c.Context())) }},
		"comes back with older data": {do: func(c *cluster) {
			c.redisCLI(0, "save")
			a := c.asker()
			a.open(c.account(0, "unsaved"), 0)
			c.redis[0].Kill()
			c.must(c.redis[0].Restart(c.Context()))
		}},
		"is in an older epoch": {do: func(c *cluster) { c.redisCLI(0, "eval", back, "0") }},
		"became a replica":     {do: func(c *cluster) { c.redisCLI(0, "replicaof", "127.0.0.1", "1") }},
		"loses its scripts":    {do: func(c *cluster) { c.redisCLI(0, "script", "flush") }},
		"loses its library":    {do: func(c *cluster) { c.redisCLI(0, "function", "flush") }},
		"is full":              {do: func(c *cluster) { c.redisCLI(0, "config", "set", "maxmemory", "1") }, stays: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 1, config: soon})
			c.keepAll()
			b := c.bank(2, 100)
			c.linked("k-s1", 1)
			k := c.keepers["k-s1"]
			w.do(c)
			want := c.redis[0].Addr
			switch {
			case w.moves:
				want = c.replicas[0][0].Addr
				fallthrough
			case !w.stays:
				c.eventually("it is served again", func() bool { s := k.Stats(); return s.Reigns > 1 && s.State == Serving })
			default:
				time.Sleep(2 * time.Second) // longer than a keeper waits
				c.redisCLI(0, "config", "set", "maxmemory", "0")
				if s := k.Stats(); s.Reigns != 1 || s.State != Serving {
					t.Errorf("%+v", s)
				}
			}
			a := c.asker()
			if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
				t.Errorf("%v", s)
			}
			c.rest()
			if at := c.static.Current().Shards["s1"].Primary; at != want {
				t.Errorf("it is served at %s, want %s", at, want)
			}
		})
	}
}
