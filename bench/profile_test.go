package bench

import (
	"bytes"
	"context"
	"net"
	"runtime/pprof"
	"testing"
	"time"
)

func TestFunctionsBelongToComponents(t *testing.T) {
	for function, want := range map[string]string{
		"walletd/gateway.(*session).read":                        "gateway",
		"walletd/gateway/tcc.(*Coordinator).pay":                 "gateway",
		"walletd/shardrouter/lane.(*lane).run":                   "lanes",
		"walletd/shardrouter/keeper.(*Keeper).deliver":           "keeper",
		"walletd/journal/relay.(*Relay).append":                  "keeper",
		"walletd/journal/filelog.(*Log).write":                   "journal",
		"walletd/projector/view.(*View).Apply":                   "projector",
		"github.com/cockroachdb/pebble/v2.(*compaction).run":     "projector's store",
		"github.com/cockroachdb/pebble/v2/sstable.(*Writer).Add": "projector's store",
		"walletd/journal.(*Book).Apply":                          "", // its caller's
		"walletd/luascripts.(*Shard).Train":                      "",
		"walletd/gatewayish.run":                                 "",
		"github.com/redis/go-redis/v9.(*baseClient).process":     "",
		"runtime.memmove":                                        "",
	} {
		if got := named(function); got != want {
			t.Errorf("%s belongs to %q, want %q", function, got, want)
		}
	}
}

// The innermost frame that has a component names it; stacks of the runtime alone have their own.
func TestStacksBelongToComponents(t *testing.T) {
	p := &cpuProfile{texts: []string{"", "runtime.memmove", "walletd/journal.(*Row).Append", "walletd/shardrouter/lane.(*lane).run", "walletd/gateway.(*session).read",
		"runtime.gcBgMarkWorker", "runtime.mcall", "main.main"}, locations: map[uint64][]uint64{}, functions: map[uint64]uint64{}}
	for i := range uint64(len(p.texts)) {
		p.functions[i], p.locations[i] = i, []uint64{i}
	}
	for _, row := range []struct {
		stack []uint64
		want  string
	}{{[]uint64{1, 2, 3, 4}, "lanes"}, {[]uint64{2, 4, 3}, "gateway"}, {[]uint64{1, 5}, garbage}, {[]uint64{1, 6}, scheduler}, {[]uint64{1, 7}, elsewhere}, {[]uint64{99}, elsewhere}, {nil, elsewhere}} {
		if got := p.component(row.stack); got != row.want {
			t.Errorf("%v belongs to %q, want %q", row.stack, got, row.want)
		}
	}
	p.locations[50] = []uint64{2, 3} // inlined: innermost first
	if got := p.component([]uint64{50, 4}); got != "lanes" {
		t.Errorf("an inlined stack belongs to %q", got)
	}
}

// A profile as the runtime writes it is read: its samples add up to about the time that was burnt.
func TestRealProfileIsRead(t *testing.T) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
	}
	pprof.StopCPUProfile()
	p, err := readProfile(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	burnt := int64(0)
	for _, s := range p.samples {
		for _, l := range s.locations {
			if len(p.locations[l]) > 0 && p.text(p.functions[p.locations[l][0]]) == "walletd/bench.TestRealProfileIsRead" {
				burnt += s.count
				break
			}
		}
	}
	if burnt < 1 || burnt > 60 {
		t.Errorf("%d samples of this test at 100 a second", burnt)
	}
	shares, err := componentsOf(b.Bytes())
	sum := 0.0
	for _, c := range shares {
		sum += c.Share
	}
	if err != nil || sum < 0.999 || sum > 1.001 {
		t.Errorf("%v: %v", shares, err)
	}
	for _, bad := range [][]byte{nil, []byte("no gzip"), b.Bytes()[:b.Len()/2]} {
		if _, err := componentsOf(bad); err == nil {
			t.Errorf("%d bytes that are no profile were read", len(bad))
		}
	}
}

func TestCommandsOfAShard(t *testing.T) {
	const before = "# Commandstats\r\ncmdstat_hset:calls=10,usec=100,usec_per_call=10.00,rejected_calls=0,failed_calls=0\r\n"
	const after = "# Commandstats\r\ncmdstat_hset:calls=30,usec=160,usec_per_call=5.3\r\ncmdstat_evalsha:calls=2,usec=400,usec_per_call=200\r\ncmdstat_info:calls=9,usec=900\r\nnonsense\r\n"
	old, now := commandStats{}, commandStats{}
	old.add(before)
	now.add(after)
	got := now.per(old, 10)
	if len(got) != 2 || got[0] != (Command{"evalsha", 0.2, 40}) || got[1] != (Command{"hset", 2, 6}) {
		t.Errorf("got %+v", got)
	}
	for _, answer := range []string{"$5\r\nhello", "-NOAUTH who are you\r\n", "$99999999999\r\n", ""} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := listener.Accept(); err == nil {
				_, _ = conn.Read(make([]byte, 64)) // the question
				_, _ = conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		text, err := redisInfo(context.Background(), listener.Addr().String(), "commandstats")
		if ok := answer[:min(len(answer), 2)] == "$5"; ok != (err == nil) || ok && text != "hello" {
			t.Errorf("%q was read as %q, %v", answer, text, err)
		}
		listener.Close()
		<-done
	}
	if _, err := readCommands(context.Background(), []string{"127.0.0.1:1"}); err == nil {
		t.Error("a shard that is not there has commands")
	}
}
