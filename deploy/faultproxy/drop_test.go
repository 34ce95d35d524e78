package faultproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestDropNextReplyExecutesOnceAndCuts(t *testing.T) {
	p, through, straight := rig(t)
	for n := 1; n <= 50; n++ {
		dropped := p.DropNextReply(names("incrby"))
		if v, err := through.IncrBy(t.Context(), "n", 1).Result(); err == nil {
			t.Fatalf("the reply arrived: %d", v)
		}
		soon(t, "the reply is dropped", dropped)
		if got := get(t, straight, "n"); got != fmt.Sprint(n) {
			t.Fatalf("after %d dropped replies n is %s", n, got)
		}
	}
	if v, err := through.IncrBy(t.Context(), "n", 1).Result(); err != nil || v != 51 {
		t.Errorf("with no fault armed: %d, %v", v, err)
	}
	if c := p.Counts(); c.DroppedReplies != 50 || c.Cut != 50 {
		t.Errorf("counts %+v", c)
	}
}

func TestDropNextReplyTakesOnlyWhatMatches(t *testing.T) {
	p, through, straight := rig(t)
	first, second := p.DropNextReply(names("seven")), p.DropNextReply(names("seven"))
	for _, key := range []string{"one", "two"} {
		if err := through.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Errorf("SET %s: %v", key, err)
		}
	}
	for i, dropped := range []<-chan struct{}{first, second} {
		if err := through.Set(t.Context(), "seven", i, 0).Err(); err == nil {
			t.Errorf("SET seven %d was answered", i)
		}
		soon(t, "the reply is dropped", dropped)
		if got := get(t, straight, "seven"); got != fmt.Sprint(i) {
			t.Errorf("seven is %q, want %d", got, i)
		}
	}
	p.DropNextReply(nil)
	p.Heal()
	if err := through.Set(t.Context(), "seven", "healed", 0).Err(); err != nil {
		t.Errorf("after Heal: %v", err)
	}
}

func TestDropNextReplyInAPipeline(t *testing.T) {
	p, through, straight := rig(t)
	dropped := p.DropNextReply(names("second"))
	pipe := through.Pipeline()
	const many = 20_000 // Redis answers the first of them while the last are on their way
	for range many {
		pipe.Incr(t.Context(), "first")
	}
	pipe.Set(t.Context(), "second", "v", 0)
	pipe.Set(t.Context(), "third", "v", 0)
	if _, err := pipe.Exec(t.Context()); err == nil {
		t.Error("the pipeline was answered")
	}
	soon(t, "the reply is dropped", dropped)
	for key, want := range map[string]string{"first": fmt.Sprint(many), "second": "v", "third": ""} {
		if got := get(t, straight, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// TestDropNextReplyWaitsForTheExecution: the answer to an earlier command of the pipeline
// says nothing about the one that matched. A forged server answers the first of two and
// takes its time for the second.
func TestDropNextReplyWaitsForTheExecution(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := ForTest(t, l.Addr().String())
	dropped := p.DropNextReply(names("second"))
	client, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	both := append(command("SET", "first"), command("SET", "second")...)
	if _, err := client.Write(both); err != nil {
		t.Fatal(err)
	}

	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, both) { // to the half-close
		t.Fatalf("the server got %q, %v", got, err)
	}
	fmt.Fprint(server, "+OK\r\n")
	select {
	case <-dropped:
		t.Error("it was cut before the server had executed the second command")
	case <-time.After(20 * time.Millisecond):
	}
	server.Close()
	soon(t, "the reply is dropped", dropped)
	if n, err := client.Read(make([]byte, 64)); err == nil {
		t.Errorf("the client got %d bytes", n)
	}
}

func TestDropNextReplyOfARequestThatTakesManyReads(t *testing.T) {
	p, through, straight := rig(t)
	big := strings.Repeat("y", 3<<20) + "the end"
	dropped := p.DropNextReply(names("the end"))
	if err := through.Set(t.Context(), "big", big, 0).Err(); err == nil {
		t.Error("it was answered")
	}
	soon(t, "the reply is dropped", dropped)
	if get(t, straight, "big") != big {
		t.Error("it was not executed as a whole")
	}
}
