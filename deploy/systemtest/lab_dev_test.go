package systemtest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
)

// The form of `walletd dev`: one process with real redis-server children, killed and frozen by pid.

// devStand is a `walletd dev` in the laboratory.
type devStand struct {
	*dev
	around *wallet // through the doors' proxies
	redis  [labShards]*redisFaults
	doors  [labGateways]*faultproxy.Proxy
	moves  *moves

	mu    sync.Mutex
	still bool // walletd is frozen
}

func newDevForm() *form {
	return &form{
		timing: timing{length: 4 * time.Second, lasts: 2 * time.Second, faultsMax: 5, window: 2 * time.Second},
		load:   loadOptions{sessions: 4, workers: 12, perSecond: 700, perPartition: 2, loners: 2, readers: 1, burst: 100},
		can:    func() []fault { return sortedFaults(new(devStand).faults()) },
		start:  func(t testing.TB, _ int, s *schedule, _ string) stand { return newDevStand(t, s.window) },
		slots:  2,
	}
}

func newDevStand(t testing.TB, window time.Duration) *devStand {
	t.Helper()
	flags := []string{"--shards", strconv.Itoa(labShards)}
	if window > 0 {
		flags = append(flags, "--key-window", window.String())
	}
	s := &devStand{dev: startDev(t, labPartitions, flags...)}
	s.moves = s.wallet.movesAt(func() []string { return []string{s.admin} })
	around := *s.dev.wallet
	s.around, around.gateways = &around, nil
	for i := range s.doors {
		s.doors[i] = faultproxy.ForTest(t, s.dev.wallet.gateways[0])
		around.gateways = append(around.gateways, s.doors[i].Addr())
	}
	for i := range s.redis {
		s.redis[i] = &redisFaults{t: t, name: numbered("redis", i), hand: &childRedis{s: s, i: i}, set: map[string]bool{}}
	}
	return s
}

func (s *devStand) of() *wallet { return s.around }

func (s *devStand) faults() map[fault]func() func() {
	all := map[fault]func() func(){
		{kindKill, "walletd"}: s.killed, {kindFreeze, "walletd"}: s.frozen, {kindKill, "walletd and redis"}: s.powerCut,
	}
	for i := range labShards {
		maps.Copy(all, s.redis[i].all(numbered("redis", i)))
		delete(all, fault{kindEmpty, numbered("redis", i)}) // walletd restarts it by itself: kill -9 is that
	}
	for i := range labGateways {
		maps.Copy(all, wireFaults(numbered(clientWire, i), nil, func() []*faultproxy.Proxy { return s.doors[i : i+1] }))
	}
	maps.Copy(all, s.moves.faults(labPartitions))
	for i := range labShards {
		all[fault{kindDrain, numbered("shard", i)}] = func() func() { return s.dev.wallet.drain(i) }
	}
	return all
}

func (s *devStand) killed() (heal func()) {
	s.proc.kill()
	return s.again
}

func (s *devStand) powerCut() (heal func()) {
	for _, r := range s.redis {
		r.hand.kill()
	}
	return s.killed()
}

// again starts walletd when it does not run.
func (s *devStand) again() {
	if !s.proc.alive() {
		noneLeft(s.t, s.data)
		s.start()
	}
}

func (s *devStand) frozen() (heal func()) {
	if s.proc.alive() {
		s.mu.Lock()
		s.still = true
		s.mu.Unlock()
		s.proc.signal(syscall.SIGSTOP)
	}
	return s.thawed
}

func (s *devStand) isStill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.still
}

func (s *devStand) thawed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.still {
		s.proc.signal(syscall.SIGCONT)
	}
	s.still = false
}

func (s *devStand) whole() {
	s.moves.end()
	s.thawed()
	for _, r := range s.redis {
		r.thaw()
	}
	for _, d := range s.doors {
		d.Heal()
	}
	s.again()
	for _, r := range s.redis {
		r.whole()
	}
}

// childRedis is a shard of a `walletd dev`, which starts it again when it has ended.
type childRedis struct {
	s   *devStand
	i   int
	pid int // that is frozen
	was int // that was killed
}

func (c *childRedis) addr() string { return c.s.ready.Redis[c.i].Addr }
func (c *childRedis) dir() string {
	return filepath.Join(c.s.data, "redis", c.s.ready.Redis[c.i].Shard)
}

func (c *childRedis) kill() {
	pid, err := redisPID(c.addr())
	if err != nil && c.isOurs() { // it is frozen, and does not say
		pid, err = c.pid, nil
	}
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if c.was = pid; err != nil {
		c.s.t.Logf("%s is not there to be killed: %v", c.addr(), err)
	}
}

func (c *childRedis) up() error {
	return poll(upLimit, func() error {
		if !c.s.proc.alive() || c.s.isStill() {
			return nil // it starts with walletd, or when that goes on
		}
		pid, err := redisPID(c.addr())
		if err == nil && pid == c.was {
			err = fmt.Errorf("pid %d still answers", pid)
		}
		return err
	})
}

func (c *childRedis) pause() error {
	pid, err := redisPID(c.addr())
	if err != nil && c.isOurs() { // it is frozen already, and does not say
		return nil
	}
	if err != nil {
		return err
	}
	c.pid = pid
	return syscall.Kill(c.pid, syscall.SIGSTOP)
}

func (c *childRedis) resume() error {
	if !c.isOurs() {
		return nil
	}
	return syscall.Kill(c.pid, syscall.SIGCONT)
}

// isOurs guards against a pid that another process has meanwhile: a Redis names its address in its command line.
func (c *childRedis) isOurs() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.pid))
	return c.pid > 0 && err == nil && bytes.Contains(b, []byte(c.addr()))
}
