package keeper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// TestRepair: replicas are cut off at random points of random histories, and the log stops taking events at others, before the
// primary dies for good. The replica is repaired, not rebuilt, and is then the log's Books byte for byte.
func TestRepair(t *testing.T) {
	behind, beyond := 0, 0
	for seed := uint64(1); seed <= 15 && (seed <= 3 || behind == 0 || beyond == 0) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			l := &mute{}
			c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 4,
				journalOf: func(_ string, log journal.Log) journal.Log { l.Log = log; return l },
				config:    func(k *Config) { soon(k); k.ReplicasEvery = 100 * time.Millisecond }})
			c.keepAll()
			b := c.bank(2, 10_000)
			c.linked("k-s1", 1)
			// A primary keeps what follows a full copy until the replica has acknowledged that, up to a second later.
			c.eventually("the replica follows", func() bool { return offset(t, c.redis[0].Addr) == offset(t, c.replicas[0][0].Addr) })
			ctx, stop := context.WithCancel(t.Context())
			var workers sync.WaitGroup
			for w := range 12 {
				workers.Go(func() { b.mix(ctx, rand.New(rand.NewPCG(seed, uint64(w))), fmt.Sprint(w)) })
			}
			nap := func(most int) { time.Sleep(time.Duration(rng.IntN(most)) * time.Millisecond) }
			nap(150)
			if seed%3 != 1 { // it stays behind: its primary does not answer it any more
				cut(t, c.redis[0].Addr)
				nap(150)
			}
			if seed%3 != 0 { // what runs now, the log will never have
				l.away.Store(true)
				time.Sleep(50 * time.Millisecond)
			}
			c.redis[0].Kill()
			c.eventually("the reign ends", func() bool { return c.keepers["k-s1"].Stats().State != Serving }) // with what it had in memory
			replica, err := luascripts.Open(luascripts.Config{Addr: c.replicas[0][0].Addr})
			c.must(err)
			defer replica.Close()
			parts, err := replica.Parts(ctx)
			c.must(err)
			for p, seq := range c.fold().seqs() {
				switch {
				case parts[p].Seq < seq:
					behind++
				case parts[p].Seq > seq:
					beyond++
				}
			}
			l.away.Store(false) // not before the replica was looked at: no reign begins without the log, so nobody has repaired it yet
			c.eventually("the replica serves", func() bool { return c.keepers["k-s1"].Stats().Failovers == 1 })
			nap(100)
			stop()
			workers.Wait()
			c.rest()
			if s := c.keepers["k-s1"].Stats(); s.Repaired != 1 {
				t.Errorf("%d repaired, %d rebuilt", s.Repaired, s.Rebuilt)
			}
		})
	}
	t.Logf("partitions behind the log: %d, beyond it: %d", behind, beyond)
	if behind == 0 || beyond == 0 {
		t.Error("the test shows less than it should")
	}
}

// cut lets a primary feed no replica any more, as a network does that loses what is between them.
func cut(t *testing.T, addr string) {
	t.Helper()
	redisCLI(t, addr, "acl", "setuser", "default", "-psync", "-sync")
	redisCLI(t, addr, "client", "kill", "type", "replica")
}

func redisCLI(t *testing.T, addr string, args ...string) string {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	out, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (b *books) seqs() map[int]uint64 {
	seqs := map[int]uint64{}
	for p, book := range b.book {
		seqs[p] = book.Seq
	}
	return seqs
}

// mix does acts of every kind, whatever is answered.
func (b *bank) mix(ctx context.Context, rng *rand.Rand, name string) {
	a, n := b.c.asker(), b.c.partitions
	for i := 0; ctx.Err() == nil; i++ {
		from, to := b.customers[rng.IntN(len(b.customers))], b.customers[rng.IntN(len(b.customers))]
		key := fmt.Sprint(name, "-", i)
		id, home := journal.IDOf(from, key), from.Partition(n)
		switch rng.IntN(8) {
		case 0:
			h := b.c.account(home, "new"+key)
			a.ask(home, journal.Row{Op: journal.OpOpen, Account: h, Text: []byte(`{"id":"x"}`)})
			a.move(from, h, key, 1, a.ask)
		case 1:
			a.ask(home, journal.Row{Op: journal.OpCancel, ByKey: true, ID: id, Account: from})
			if from != to { // of what never was
				a.ask(home, journal.Row{Op: journal.OpConfirm, Verdict: uint8(journal.OK), ID: journal.ConfirmIDOf(id, "c"), Reservation: id, To: to, Amount: 4, Key: []byte("c")})
			}
		case 2, 3:
			a.ask(home, journal.Row{Op: journal.OpReserve, ID: id, Account: from, Amount: 9, ExpiresInS: uint32(1 + rng.IntN(2)*3600)})
			switch rng.IntN(3) {
			case 0:
				a.ask(home, journal.Row{Op: journal.OpCancel, ID: id})
			case 1:
				r := journal.Row{Op: journal.OpConfirm, Verdict: uint8(journal.OK), ID: journal.ConfirmIDOf(id, "c"), Reservation: id, To: to, Amount: 4, Final: rng.IntN(2) == 0, Key: []byte("c")}
				if to.Partition(n) == home {
					r.Verdict = journal.VerdictLocal
				}
				if from != to {
					a.ask(home, r)
				}
			}
		default:
			if from != to {
				a.move(from, to, key, journal.Amount(1+rng.IntN(30)), a.ask)
			}
		}
	}
}

// TestRepairDoesNotTrust: a replica whose data does not fit the log is rebuilt, whatever is wrong with it.
func TestRepairDoesNotTrust(t *testing.T) {
	for what, spoil := range map[string]func(cli func(...string)){
		"a hash is gone": func(cli func(...string)) { cli("del", "details") },
		"an account is gone": func(cli func(...string)) {
			cli("eval", "redis.call('HDEL', 'accounts', redis.call('HKEYS', 'accounts')[1])", "0")
		},
		"a record too many":                   func(cli func(...string)) { cli("hset", "details", "twelve bytes", "1234567{}") },
		"a partition is gone":                 func(cli func(...string)) { cli("eval", `redis.call('HDEL', 'parts', '\0\1')`, "0") },
		"an epoch before the log's":           func(cli func(...string)) { cli("eval", spoilPart, "0", "0", "0") },
		"a seq that its outbox does not have": func(cli func(...string)) { cli("eval", spoilPart, "0", "1", "5000") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, clusterOptions{servers: 1, replicas: 1, partitions: 2, config: soon})
			c.keepAll()
			b := c.bank(2, 100)
			c.linked("k-s1", 1)
			c.rest()
			c.eventually("the replica has all", func() bool { return offset(t, c.redis[0].Addr) == offset(t, c.replicas[0][0].Addr) })
			redisCLI(t, c.replicas[0][0].Addr, "config", "set", "replica-read-only", "no")
			spoil(func(args ...string) { redisCLI(t, c.replicas[0][0].Addr, args...) })
			c.redis[0].Kill()
			c.eventually("the replica serves", func() bool { return c.keepers["k-s1"].Stats().Failovers == 1 })
			a := c.asker()
			if s := a.move(b.customers[0], b.customers[1], "after", 1, a.sure); s != journal.Confirmed {
				t.Errorf("%v", s)
			}
			c.rest()
			if s := c.keepers["k-s1"].Stats(); s.Repaired != 0 || s.Rebuilt < 2 {
				t.Errorf("%d repaired, %d rebuilt", s.Repaired, s.Rebuilt)
			}
		})
	}
}

// offset is how far a Redis is in its replication stream.
func offset(t *testing.T, addr string) string {
	t.Helper()
	_, rest, ok := strings.Cut(redisCLI(t, addr, "info", "replication"), "master_repl_offset:")
	if !ok {
		t.Fatal("it does not tell its offset")
	}
	n, _, _ := strings.Cut(rest, "\r\n")
	return n
}

// spoilPart sets a partition's epoch to ARGV[1] + its own × ARGV[1], and adds ARGV[2] to its seq.
const spoilPart = `local p = redis.call('HGET', 'parts', '\0\1')
local epoch, seq = struct.unpack('>I4I7', p)
redis.call('HSET', 'parts', '\0\1', struct.pack('>I4I7', epoch * ARGV[1], seq + ARGV[2]) .. string.sub(p, 12))`

// A confirm that was refused has touched its key and nothing else; the reservation may never have been.
func TestRefusedConfirmIsRepaired(t *testing.T) {
	b := journal.NewBook(0, 1)
	touched := newTouched(b)
	id := journal.IDOf(journal.HandleOf("payer"), "never")
	row := journal.Row{Op: journal.OpConfirm, Verdict: journal.VerdictLocal, ID: journal.ConfirmIDOf(id, "c"), Reservation: id, To: journal.HandleOf("payee"), Amount: 4, Key: []byte("c")}
	if err := touched.event(&journal.Event{Status: journal.AlreadyCancelled, Packed: row.Append(nil)}); err != nil {
		t.Errorf("refused: %v", err)
	}
	if !touched.ids[row.ID] || len(touched.ids) != 1 || len(touched.accounts) != 0 {
		t.Errorf("%d ids, %d accounts", len(touched.ids), len(touched.accounts))
	}
	if err := touched.event(&journal.Event{Status: journal.Confirmed, Packed: row.Append(nil)}); err == nil {
		t.Error("a confirm of a reservation that nobody knows is believed")
	}
}
