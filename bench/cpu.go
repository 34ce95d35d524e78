package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// tickUS is a clock tick of /proc/<pid>/stat in microseconds: Linux reports them at 100 a second on every architecture.
const tickUS = 10_000

// cpuTimes is what the processes have used so far, in microseconds.
type cpuTimes struct {
	at                                       time.Time
	walletd, redis, kafka, postgres, clients int64
	born                                     map[int]string // pid -> start time: a pid that is used again is another process
}

// readCPU reads what the named processes and this one have used.
func readCPU(p *Processes) (c cpuTimes, err error) {
	c = cpuTimes{at: time.Now(), born: map[int]string{}}
	for _, group := range []struct {
		pids []int
		sum  *int64
		read func(pid int) (us int64, born string, err error)
	}{{p.Walletd, &c.walletd, readProcess}, {p.Redis, &c.redis, readProcess}, {p.Kafka, &c.kafka, readProcess}, {p.Postgres, &c.postgres, readTree}} {
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

// readProcess reads what one process has used so far, microseconds, and when it was started.
func readProcess(pid int) (us int64, born string, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", err
	}
	return parseStat(stat)
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

// CPU is what a transfer costs, in microseconds of CPU. What is not named is 0.
type CPU struct {
	Walletd  float64 `json:"walletd"`
	Redis    float64 `json:"redis"`
	Kafka    float64 `json:"kafka"`
	Postgres float64 `json:"postgres,omitempty"` // of a rival
	Server   float64 `json:"server"`             // all of them
	Client   float64 `json:"client"`             // this process; 0 when it is the server, too
}

// per is the cost between two readings for each of n transfers.
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
		Walletd:  each(c.walletd - before.walletd),
		Redis:    each(c.redis - before.redis),
		Kafka:    each(c.kafka - before.kafka),
		Postgres: each(c.postgres - before.postgres),
		Client:   each(c.clients - before.clients),
	}
	cost.Server = cost.Walletd + cost.Redis + cost.Kafka + cost.Postgres
	if shared {
		cost.Client = 0
	}
	return cost, nil
}
