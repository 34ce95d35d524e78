package systemtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
)

// redisHand holds one Redis process by whatever means its form has.
type redisHand interface {
	addr() string
	dir() string
	kill()
	up() error // starts it, or waits until somebody has
	pause() error
	resume() error
}

// ownRedis is a Redis that this process has started.
type ownRedis struct {
	*local.Server
	home string
}

func (o ownRedis) addr() string  { return o.Addr }
func (o ownRedis) dir() string   { return o.home }
func (o ownRedis) kill()         { o.Kill() }
func (o ownRedis) pause() error  { return o.Pause() }
func (o ownRedis) resume() error { return o.Resume() }

func (o ownRedis) up() error {
	ctx, cancel := context.WithTimeout(context.Background(), upLimit)
	defer cancel()
	return o.Restart(ctx)
}

// redisFaults are what can happen to a shard's Redis. It knows how to make it whole again.
type redisFaults struct {
	t    testing.TB
	name string
	hand redisHand

	mu     sync.Mutex
	frozen bool
	down   bool
	set    map[string]bool // settings that are not as they should be
}

// proper are the settings that faults change, as they should be.
var proper = map[string]string{"maxmemory": "0", "maxmemory-policy": "noeviction"}

// ask sends one inline command to the Redis and reads the first line of its answer.
func (r *redisFaults) ask(command string) error {
	conn, err := net.DialTimeout("tcp", r.hand.addr(), 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-") {
		err = errors.New(strings.TrimSpace(line))
	}
	return err
}

// tell is ask for a fault, which may meet a Redis that another fault has in its hands.
func (r *redisFaults) tell(command string) {
	if err := r.ask(command); err != nil {
		r.t.Logf("%s: %s: %v", r.name, command, err)
	}
}

func (r *redisFaults) restart() {
	r.thaw() // what stands still does not end by itself
	r.mu.Lock()
	defer r.mu.Unlock()
	mustDo(r.t, "restart "+r.name, r.hand.up())
	r.frozen, r.down, r.set = false, false, map[string]bool{}
}

func (r *redisFaults) kill() (heal func()) {
	r.mu.Lock()
	r.hand.kill()
	r.down = true
	r.mu.Unlock()
	return r.up
}

// up starts it again when it is down.
func (r *redisFaults) up() {
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if down {
		r.restart()
	}
}

func (r *redisFaults) empty() (heal func()) {
	r.kill()
	r.restart()
	return func() {}
}

// old lets it save what it has, and come back with that later.
func (r *redisFaults) old() (heal func()) {
	r.tell("SAVE")
	dump := filepath.Join(r.hand.dir(), "dump.rdb")
	saved, err := os.ReadFile(dump)
	_ = os.Remove(dump)
	return func() {
		r.kill()
		if err == nil {
			mustDo(r.t, "old data", os.WriteFile(dump, saved, 0o600))
		}
		r.restart()
		_ = os.Remove(dump)
	}
}

func (r *redisFaults) freeze() (heal func()) {
	r.mu.Lock()
	r.frozen = r.hand.pause() == nil
	r.mu.Unlock()
	return r.thaw
}

func (r *redisFaults) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		_ = r.hand.resume() // it may be gone
	}
	r.frozen = false
}

func (r *redisFaults) setting(name, value string) func() (heal func()) {
	return func() func() {
		r.mu.Lock()
		r.set[name] = true
		r.mu.Unlock()
		r.tell("CONFIG SET " + name + " " + value)
		return r.properly
	}
}

// properly puts the settings back.
func (r *redisFaults) properly() {
	r.mu.Lock()
	changed := r.set
	r.set = map[string]bool{}
	r.mu.Unlock()
	for name := range changed {
		r.tell("CONFIG SET " + name + " " + proper[name])
	}
}

func (r *redisFaults) once(command string) func() (heal func()) {
	return func() func() {
		r.tell(command)
		return func() {}
	}
}

func (r *redisFaults) whole() {
	r.thaw()
	r.up()
	r.properly()
}

func (r *redisFaults) all(target string) map[fault]func() func() {
	return map[fault]func() func(){
		{kindKill, target}: r.kill, {kindEmpty, target}: r.empty, {kindOld, target}: r.old, {kindFreeze, target}: r.freeze,
		{kindScripts, target}: r.once("SCRIPT FLUSH"), {kindFlush, target}: r.once("FLUSHALL"),
		{kindPolicy, target}: r.setting("maxmemory-policy", "allkeys-lru"), {kindFull, target}: r.setting("maxmemory", "1"),
	}
}

// wireFaults are what can happen to the connections through proxies; match are the requests whose replies are lost.
func wireFaults(target string, match func([]byte) bool, through func() []*faultproxy.Proxy) map[fault]func() func() {
	all := func(do func(p *faultproxy.Proxy)) {
		for _, p := range through() {
			do(p)
		}
	}
	while := func(begin func(p *faultproxy.Proxy)) func() func() {
		return func() func() {
			all(begin)
			return func() { all((*faultproxy.Proxy).Heal) }
		}
	}
	return map[fault]func() func(){
		{kindCut, target}: while((*faultproxy.Proxy).Cut), {kindSlow, target}: while(func(p *faultproxy.Proxy) { p.Delay(3 * time.Millisecond) }),
		{kindHalf, target}: while(func(p *faultproxy.Proxy) { p.BlackHole(true) }), {kindRefuse, target}: while(func(p *faultproxy.Proxy) { p.Refuse(true); p.Cut() }),
		{kindLose, target}: while(func(p *faultproxy.Proxy) {
			for range 5 {
				p.DropNextReply(match)
			}
		}),
	}
}

// aScript accepts requests that run a script.
func aScript(request []byte) bool {
	head := strings.ToUpper(string(request[:min(len(request), 32)]))
	return strings.Contains(head, "EVAL") || strings.Contains(head, "FCALL")
}

func numbered(what string, i int) string { return fmt.Sprintf("%s-%d", what, i+1) }
