package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tickUS is a clock tick of /proc/<pid>/stat in microseconds: Linux reports them at 100 a second on every architecture.
const tickUS = 10_000

// cpuTimes is what the processes have used so far, in microseconds.
type cpuTimes struct {
	at                                                  time.Time
	walletd, redis, kafka, zookeeper, postgres, clients int64
	born                                                map[int]string // pid -> start time: a pid that is used again is another process
}

// readCPU reads what the named processes and this one have used.
func readCPU(p *Processes) (c cpuTimes, err error) {
	c = cpuTimes{at: time.Now(), born: map[int]string{}}
	for _, group := range []struct {
		pids []int
		sum  *int64
		read func(pid int) (us int64, born string, err error)
	}{{p.Walletd, &c.walletd, readProcess}, {p.Redis, &c.redis, readProcess}, {p.Kafka, &c.kafka, readProcess}, {p.ZooKeeper, &c.zookeeper, readProcess},
		{p.Postgres, &c.postgres, readTree}} {
		for _, pid := range group.pids {
			us, born, readErr := group.read(pid)
			if readErr != nil {
				err = errors.Join(err, fmt.Errorf("CPU time of process %d: %w", pid, readErr))
				continue
			}
			*group.sum += us
			c.born[pid] = born
		}
	}
	var own syscall.Rusage
	if usageErr := syscall.Getrusage(syscall.RUSAGE_SELF, &own); usageErr != nil {
		err = errors.Join(err, fmt.Errorf("CPU time of this process: %w", usageErr))
	}
	c.clients = (own.Utime.Nano() + own.Stime.Nano()) / 1000
	return c, err
}

// readProcess reads what one process has used so far, microseconds, and when it was started. It asks its CPU clock
// (clock_getcpuclockid(3)), which is finer than the ticks in /proc.
func readProcess(pid int) (us int64, born string, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", err
	}
	if _, born, err = parseStat(stat); err != nil {
		return 0, "", err
	}
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, "", fmt.Errorf("read its CPU clock: %w", err)
	}
	return t.Nano() / 1000, born, nil
}

// parseStat takes utime + stime, in microseconds, and the start time from /proc/<pid>/stat (proc(5): fields 14, 15, 22).
// The name, field 2, is in parentheses and may hold anything.
func parseStat(stat []byte) (us int64, born string, err error) {
	i := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[i+1:])
	if i < 0 || len(fields) < 20 {
		return 0, "", fmt.Errorf("not a stat line: %q", stat)
	}
	const third = 3 // number of the first field behind the name
	user, err1 := strconv.ParseInt(string(fields[14-third]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[15-third]), 10, 64)
	return (user + system) * tickUS, string(fields[22-third]), errors.Join(err1, err2)
}

// CPU is what an operation costs, in microseconds of CPU. What is not named is 0.
type CPU struct {
	Walletd   float64 `json:"walletd"`
	Redis     float64 `json:"redis"`
	Kafka     float64 `json:"kafka"`
	ZooKeeper float64 `json:"zookeeper,omitempty"`
	Postgres  float64 `json:"postgres,omitempty"` // of a rival
	Server    float64 `json:"server"`             // all of them together
	Client    float64 `json:"client"`             // this process; 0 when it is the server, too
}

// per is the cost between two readings for each of n operations.
func (c cpuTimes) per(before cpuTimes, n int64, shared bool) (CPU, error) {
	for pid, born := range c.born {
		if before.born[pid] != born {
			return CPU{}, fmt.Errorf("process %d has been restarted", pid)
		}
	}
	if n == 0 {
		return CPU{}, nil
	}
	each := func(us int64) float64 { return float64(us) / float64(n) }
	cost := CPU{
		Walletd:   each(c.walletd - before.walletd),
		Redis:     each(c.redis - before.redis),
		Kafka:     each(c.kafka - before.kafka),
		ZooKeeper: each(c.zookeeper - before.zookeeper),
		Postgres:  each(c.postgres - before.postgres),
		Client:    each(c.clients - before.clients),
	}
	cost.Server = cost.Walletd + cost.Redis + cost.Kafka + cost.ZooKeeper + cost.Postgres
	if shared {
		cost.Client = 0
	}
	return cost, nil
}

// meter measures a load, from its first message until the wallet is quiet again.
type meter struct {
	s          *Session
	before     cpuTimes
	commands   commandStats
	components func() ([]Component, error)
	err        error
}

// metered is what a meter has read.
type metered struct {
	before, after       cpuTimes
	commands, commanded commandStats // before and after
	components          []Component
	err                 error
}

func (s *Session) startMeter(ctx context.Context, l *Load) *meter {
	m := &meter{s: s}
	var commandErr, cpuErr error
	m.commands, commandErr = readCommands(ctx, s.cfg.Shards)
	m.components = s.profile(ctx, l)
	m.before, cpuErr = readCPU(&s.cfg.Processes)
	m.err = errors.Join(commandErr, cpuErr)
	return m
}

func (m *meter) stop(ctx context.Context) metered {
	after, err := readCPU(&m.s.cfg.Processes)
	commands, commandErr := readCommands(ctx, m.s.cfg.Shards)
	components, profileErr := m.components()
	return metered{m.before, after, m.commands, commands, components, errors.Join(m.err, err, commandErr, profileErr)}
}
