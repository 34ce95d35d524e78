package luascripts

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
	"walletd/journal"
)

// dump is the shard's whole content and outbox, to see that nothing was written.
func (b *teller) dump() string {
	b.t.Helper()
	books, err := b.s.Dump(b.t.Context(), 1)
	must(b.t, err)
	n, err := b.s.client.XLen(b.t.Context(), outboxKey).Result()
	must(b.t, err)
	return dumpText(b.t, books[0]) + strconv.FormatInt(n, 10)
}

func (b *teller) set(name, value string) {
	b.t.Helper()
	must(b.t, b.s.client.ConfigSet(b.t.Context(), name, value).Err())
}

func (b *teller) train(lines ...string) *Train {
	b.t.Helper()
	b.tr.Reset()
	b.tr.Section(0, 1)
	for _, line := range lines {
		r := b.row(strings.Fields(line))
		b.tr.Add(r.Append(nil))
	}
	return &b.tr
}

// A Redis that is full refuses a whole train, with nothing written; what releases money goes through.
func TestOutOfMemory(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open MINT issuance       -> opened
		open A                   -> opened
		open B                   -> opened
		transfer mint MINT A 100 -> confirmed
		reserve r1 A B 40        -> tried
		reserve r2 A B 20        -> tried
	`)
	before := b.dump()
	b.set("maxmemory", "1")
	_, err := b.s.Run(t.Context(), b.train("cancel r1:A", "transfer t1 A B 1"))
	if !errors.Is(err, ErrOutOfMemory) || !NothingMoved(err) {
		t.Fatalf("a train with a transfer in it: %v", err)
	}
	if after := b.dump(); after != before {
		t.Fatalf("something was written:\n%s\nbefore:\n%s", after, before)
	}
	b.read(`
		confirm c1 r1:A B 40     -> confirmed 40
		cancel r2:A              -> cancelled
		deliver 0 5 A 7          -> delivered
	`)
	b.set("maxmemory", "0")
	b.read(`
		balance A                -> 67 0
		balance B                -> 40 0
		transfer t1 A B 1        -> confirmed
	`)
}

func TestLoadIntoAFullShard(t *testing.T) {
	b := newTeller(t)
	book := bigBooks(1, 10)[0]
	b.set("maxmemory", "1")
	if err := b.s.Load(t.Context(), book); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("a load into a full shard: %v", err)
	}
	b.set("maxmemory", "0")
	b.read(`open A -> shard_uninitialised`)
	must(t, b.s.Load(t.Context(), book))
	b.read(`open A -> opened`)
}

// A Redis that came back, with whatever data, runs no train before a keeper has admitted it; empty, not even then (design
// section 5).
func TestRestartedRedisDoesNotServe(t *testing.T) {
	server := local.Redis(t)
	b := tellerAt(t, openShard(t, server.Addr))
	b.read(`open A -> opened`)
	must(t, server.Restart(t.Context()))
	for _, line := range []string{"open A", "cancel r1:A"} { // in both flavours of the script
		if _, err := b.s.Run(t.Context(), b.train(line)); !errors.Is(err, ErrNotReady) || !NothingMoved(err) {
			t.Errorf("%s: %v", line, err)
		}
	}
	must(t, b.s.Admit(t.Context(), 0, forever))
	before := b.s.client.DBSize(t.Context()).Val()
	b.read(`
		open A           -> shard_uninitialised
		check A 1        -> shard_uninitialised
		cancel r1:A      -> shard_uninitialised
		deliver 0 1 A 1  -> shard_uninitialised
	`)
	if n := b.s.client.DBSize(t.Context()).Val(); n != before {
		t.Errorf("%d keys were made", n-before)
	}
}

// What Redis refuses before it starts a script has a name, and nothing moved.
func TestRefusedByRedis(t *testing.T) {
	for name, c := range map[string]struct {
		set  [2]string
		back string
		want error
	}{
		"no replicas": {[2]string{"min-replicas-to-write", "1"}, "0", ErrNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTeller(t)
			b.set(c.set[0], c.set[1])
			_, err := b.s.Run(t.Context(), b.train("open A"))
			if !errors.Is(err, c.want) || !NothingMoved(err) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			b.set(c.set[0], c.back)
			b.read(`open A -> opened`)
		})
	}
	t.Run("a replica", func(t *testing.T) {
		b := newTeller(t)
		must(t, b.s.client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
		_, err := b.s.Run(t.Context(), b.train("open A"))
		if !errors.Is(err, ErrReadOnly) || !NothingMoved(err) {
			t.Errorf("got %v, want %v", err, ErrReadOnly)
		}
	})
	t.Run("busy", func(t *testing.T) {
		b := newTeller(t)
		b.set("busy-reply-threshold", "1")
		endless := make(chan error, 1)
		other := openShard(t, b.s.Addr())
		go func() {
			endless <- other.client.Eval(context.WithoutCancel(t.Context()), "while true do end", nil).Err()
		}()
		waitFor(t, func() bool {
			_, err := b.s.Run(t.Context(), b.train("check A 1"))
			if err != nil && (!errors.Is(err, ErrBusy) || !NothingMoved(err)) {
				t.Fatalf("got %v, want %v", err, ErrBusy)
			}
			return err != nil
		})
		must(t, b.s.client.ScriptKill(t.Context()).Err())
		<-endless
		b.read(`open A -> opened`)
	})
}

// An error that a running script raises is not a refusal: what it did is unknown.
func TestScriptErrorIsUnknown(t *testing.T) {
	b := newTeller(t)
	must(t, b.s.client.Set(t.Context(), accountsKey, "not a hash", 0).Err())
	if _, err := b.s.Run(t.Context(), b.train("open A")); !errors.Is(err, ErrUnknown) || NothingMoved(err) {
		t.Errorf("got %v", err)
	}
	tr := b.train("open A")
	tr.arg[0]++
	if _, err := b.s.Run(t.Context(), tr); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "another build") {
		t.Errorf("a train of another build: %v", err)
	}
}

// The one write that Redis could refuse comes first: a counter that somebody has lost harms nothing else.
func TestLostCounterWritesNothing(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open MINT issuance      -> opened
		open A                  -> opened
	`)
	must(t, b.s.client.HDel(t.Context(), partsKey, counterField).Err())
	before := b.dump()
	if _, err := b.s.Run(t.Context(), b.train("transfer t1 MINT A 5")); !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	if after := b.dump(); after != before {
		t.Fatalf("something was written:\n%s\nbefore:\n%s", after, before)
	}
}

// What never left this process is told apart from what may have.
func TestNotSent(t *testing.T) {
	server := local.Redis(t)
	proxy := faultproxy.ForTest(t, server.Addr)
	s, err := Open(Config{Addr: proxy.Addr(), PoolSize: 1, PoolTimeout: 20 * time.Millisecond, ReadTimeout: 300 * time.Millisecond})
	must(t, err)
	defer s.Close()
	must(t, s.Admit(t.Context(), 0, forever))
	b := tellerAt(t, s)
	notSent := func(ctx context.Context, why string) {
		t.Helper()
		var tr Train
		tr.Section(0, 1)
		tr.Add((&journal.Row{Op: journal.OpOpen, Account: account("Z")}).Append(nil))
		if _, err := s.Run(ctx, &tr); !errors.Is(err, ErrNotSent) || !NothingMoved(err) {
			t.Errorf("%s: %v", why, err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	notSent(over, "the context is over")

	proxy.BlackHole(true)
	busy := make(chan error, 1)
	var waiting Train
	waiting.Section(0, 1)
	waiting.Add((&journal.Row{Op: journal.OpOpen, Account: account("Y")}).Append(nil))
	go func() { _, err := s.Run(context.WithoutCancel(t.Context()), &waiting); busy <- err }()
	waitFor(t, func() bool { return proxy.Counts().SwallowedBytes > 0 })
	notSent(t.Context(), "no connection is free")
	if err := <-busy; !errors.Is(err, ErrUnknown) || NothingMoved(err) {
		t.Errorf("no answer in time: %v", err)
	}
	proxy.Heal()
	b.read(`open A -> opened`)

	proxy.Refuse(true)
	proxy.Cut()
	waitFor(t, func() bool { _, err := s.Parts(t.Context()); return err != nil })
	notSent(t.Context(), "connections are refused")
	proxy.Heal()
	waitFor(t, func() bool { return s.Ping(t.Context()) == nil })
	b.read(`
		open A -> account_exists
		check Z 1 -> payee_account_not_found
		check Y 1 -> payee_account_not_found
	`)
}

// A reply that is lost leaves the outcome unknown; it has happened once, the client does not repeat it, and the same key
// answers what it was.
func TestLostReply(t *testing.T) {
	server := local.Redis(t)
	proxy := faultproxy.ForTest(t, server.Addr)
	b := tellerAt(t, openShard(t, proxy.Addr()))
	b.read(`
		open MINT issuance        -> opened
		open A                    -> opened
	`)
	lost := proxy.DropNextReply(func(request []byte) bool { return strings.Contains(string(request), "fcall") })
	_, err := b.s.Run(t.Context(), b.train("transfer t1 MINT A 100"))
	if !errors.Is(err, ErrUnknown) || NothingMoved(err) {
		t.Fatalf("got %v", err)
	}
	<-lost
	b.read(`
		balance A                 -> 100 0
		transfer t1 MINT A 100    -> confirmed again
		balance A                 -> 100 0
	`)
	// By a deadline of the caller, too.
	proxy.BlackHole(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := b.s.Run(ctx, b.train("check A 1")); err == nil || NothingMoved(err) && !errors.Is(err, ErrNotSent) {
		t.Errorf("behind a black hole: %v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("a deadline of 50 ms took %v", took)
	}
	proxy.Heal()
}

// said is an error of the server.
type said string

func (s said) Error() string { return string(s) }
func (said) RedisError()     {}

func TestTranslate(t *testing.T) {
	for _, row := range []struct {
		err  error
		sent bool
		want error
	}{
		{said("OOM command not allowed when used memory > 'maxmemory'."), true, ErrOutOfMemory},
		{said("OOM command not allowed when used memory > 'maxmemory'. script: 5614, on @user_script:653."), true, ErrUnknown},
		{said("LOADING Redis is loading the dataset in memory"), true, ErrNotReady},
		{said("ERR max number of clients reached"), false, ErrNotSent},
		{said("ERR something else"), true, ErrUnknown},
		{errors.New("OOM said by nobody"), true, ErrUnknown},
		{context.DeadlineExceeded, true, ErrUnknown},
		{context.Canceled, false, ErrNotSent},
	} {
		err := translate(row.err, row.sent)
		if !errors.Is(err, row.want) || !errors.Is(err, row.err) || NothingMoved(err) == errors.Is(row.want, ErrUnknown) {
			t.Errorf("%v (sent %v): %v", row.err, row.sent, err)
		}
	}
	if translate(nil, true) != nil {
		t.Error("no error is an error")
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	_, err := Open(Config{Addr: "nowhere", DialTimeout: -1, PoolSize: -1})
	var addr *net.AddrError
	if !errors.As(err, &addr) || !strings.Contains(err.Error(), "timeout") || !strings.Contains(err.Error(), "pool size") {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	b := newTeller(t)
	must(t, b.s.CheckSettings(t.Context()))
	b.set("appendonly", "yes")
	if err := b.s.CheckSettings(t.Context()); !errors.Is(err, ErrSettings) || errors.Is(err, ErrEviction) || !strings.Contains(err.Error(), "CONFIG SET appendonly no") {
		t.Errorf("got %v", err)
	}
	b.set("maxmemory-policy", "allkeys-lru")
	b.set("hash-max-listpack-entries", "512")
	err := b.s.CheckSettings(t.Context())
	if !errors.Is(err, ErrEviction) || !strings.Contains(err.Error(), "CONFIG SET maxmemory-policy noeviction") ||
		!strings.Contains(err.Error(), "CONFIG SET hash-max-listpack-entries 0") {
		t.Errorf("got %v", err)
	}
	for info, ok := range map[string]bool{
		"redis_version:7.0.15\r\n": true, "redis_version:8.2.1\r\n": true, "# Server\r\nredis_version:6.2.14\r\n": false, "": false,
	} {
		if err := checkVersion(info); (err == nil) != ok {
			t.Errorf("%q: %v", info, err)
		}
	}
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("waited 10 s in vain")
		}
		time.Sleep(time.Millisecond)
	}
}
