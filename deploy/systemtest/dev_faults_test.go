package systemtest

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"walletd/gateway/client"
)

// P3, P17: walletd itself dies in the middle of the work, again and again; started on the same directory it goes on.
func TestWalletdIsKilledUnderLoad(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	chance := dice(t, 0)
	for range rounds(t, 3) {
		l.advance(steady)
		d.kill()
		d.launch() // and while it starts: a recovery that is cut short is recovered from
		await(t, upLimit, "a moment", after(time.Duration(chance.Int64N(int64(200*time.Millisecond)))))
		d.kill()
		d.start()
	}
	l.advance(steady)
	d.check(l.stop())
}

// P3, P15: a shard's Redis dies and comes back empty. It is rebuilt from the journal while the others serve.
func TestRedisIsKilledUnderLoad(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	for i := range rounds(t, 4) {
		shard := i % len(d.ready.Redis)
		l.advance(steady)
		before := d.signalRedis(shard, syscall.SIGKILL)
		if i%2 == 1 { // and again while it is being rebuilt
			await(t, recoverLimit, "the shard is started again", func() error {
				pid, err := redisPID(d.ready.Redis[shard].Addr)
				if err == nil && pid == before {
					err = fmt.Errorf("pid %d answers", pid)
				}
				return err
			})
			before = d.signalRedis(shard, syscall.SIGKILL)
		}
		l.advance(steady)
		if after, err := redisPID(d.ready.Redis[shard].Addr); err != nil || after == before {
			t.Errorf("shard %d: pid %d after the kill of %d, %v", shard, after, before, err)
		}
	}
	d.check(l.stop())
}

// P15: a shard that hangs fails only its own accounts; when it goes on, so do they, and nothing has happened twice.
func TestRedisFreezesUnderLoad(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	for i := range rounds(t, 2) {
		shard := i % len(d.ready.Redis)
		l.advance(steady)
		pid := d.signalRedis(shard, syscall.SIGSTOP)
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // gone with walletd, mostly
		hung, well := d.split(shard)
		l.payWithin(well, 10)
		each(hung, func(p int) {
			if _, err := d.probe(p); err == nil {
				t.Errorf("a transfer in partition %d was acknowledged while its shard hangs", p)
			}
		})
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		l.advance(steady)
	}
	d.check(l.stop())
}

// split are the partitions of a shard, and the others.
func (d *dev) split(shard int) (its, others []int) {
	d.t.Helper()
	for p, owner := range d.shardOf() {
		if owner == d.ready.Redis[shard].Shard {
			its = append(its, p)
		} else {
			others = append(others, p)
		}
	}
	if len(its) == 0 || len(others) == 0 {
		d.t.Fatalf("shard %d has partitions %v, the others %v", shard, its, others)
	}
	return its, others
}

// probe makes a transfer within a partition, with two seconds for it.
func (d *dev) probe(partition int) (client.Result, error) {
	taken := map[string]bool{}
	from, to := d.inPartition("acc", partition, taken), d.inPartition("acc", partition, taken)
	c, err := client.Dial(within(d.t, answerLimit), d.config())
	if err != nil {
		return client.Result{}, err
	}
	defer c.Close()
	return c.Transfer(within(d.t, 2*time.Second), client.Transfer{From: from, To: to, Amount: 1, Asset: "USD"})
}

// payWithin waits until transfers within each of the partitions go through, one after the other.
func (l *load) payWithin(partitions []int, n int) {
	l.w.t.Helper()
	c := l.w.dial()
	for _, p := range partitions {
		taken := map[string]bool{}
		from, to := l.w.inPartition("acc", p, taken), l.w.inPartition("acc", p, taken)
		for i := range n {
			if _, err := c.Transfer(within(l.w.t, answerLimit), client.Transfer{From: from, To: to, Amount: 1, Asset: "USD"}); err != nil {
				l.w.t.Errorf("transfer %d within partition %d, whose shard is well: %v", i, p, err)
				break
			}
		}
	}
}

// P3: power is cut: walletd and every Redis die at once, under load.
func TestEverythingIsKilledAtOnce(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	for range rounds(t, 2) {
		l.advance(steady)
		d.killAll()
		d.start()
	}
	l.advance(steady)
	d.check(l.stop())
}

// Ctrl-C in the middle of the work ends well and leaves nothing behind; the next start shows every balance as it was.
func TestCleanStopKeepsEveryBalance(t *testing.T) {
	d := startDev(t, 8)
	l := startLoad(t, d.wallet)
	for range rounds(t, 1) {
		l.advance(steady)
		d.stop()
		d.start()
	}
	l.advance(steady)
	d.check(l.stop())

	before := d.balances()
	d.stop()
	if r := run(t, nil, "journal", "verify", "--data", d.data); r.code != 0 {
		t.Errorf("walletd journal verify after a clean stop: %v", r)
	}
	d.start()
	if after := d.balances(); !maps.Equal(after, before) {
		for _, id := range slices.Sorted(maps.Keys(before)) {
			if after[id] != before[id] {
				t.Errorf("%s was %s, after the restart %s", id, before[id], after[id])
			}
		}
	}
	d.reconciled()
}

// balances are all accounts' balances as text, without the epoch of their position.
func (d *dev) balances() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	for _, id := range d.replay().ids() {
		b := d.balance(id)
		all[id] = fmt.Sprintf("%d available, %d reserved, version %d, seq %d", b.Available, b.Reserved, b.Version, b.Position.Seq)
	}
	return all
}
