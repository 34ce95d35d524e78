package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// treeTries bounds how often a tree is read again because a process ended meanwhile.
const treeTries = 10

var errTreeMoved = errors.New("its children end faster than they can be counted")

// readTree reads what a server that forks (PostgreSQL) has used so far, microseconds: itself, its children, and those that
// have ended, which the kernel adds to the parent that waits for each. born is the parent's start time.
func readTree(pid int) (us int64, born string, err error) {
	for range treeTries {
		if us, born, err = sumTree(pid); err == nil {
			return us, born, nil
		}
	}
	return 0, "", err
}

// sumTree fails when a child ended while it read: that one would count twice or not at all.
func sumTree(pid int) (us int64, born string, err error) {
	proc := "/proc/" + strconv.Itoa(pid)
	_, before, _, err := readParent(proc)
	if err != nil {
		return 0, "", err
	}
	children, err := os.ReadFile(proc + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		return 0, "", err
	}
	for _, child := range bytes.Fields(children) {
		stat, err := os.ReadFile("/proc/" + string(child) + "/stat")
		if err != nil {
			return 0, "", err
		}
		own, _, err := parseStat(stat)
		if err != nil {
			return 0, "", err
		}
		us += own
	}
	own, ended, born, err := readParent(proc)
	if err == nil && ended != before {
		err = errTreeMoved
	}
	return us + own + ended, born, err
}

func readParent(proc string) (own, ended int64, born string, err error) {
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return 0, 0, "", err
	}
	if own, born, err = parseStat(stat); err != nil {
		return 0, 0, "", err
	}
	ended, err = endedChildren(stat)
	return own, ended, born, err
}

// endedChildren takes cutime + cstime, microseconds, from /proc/<pid>/stat (proc(5): fields 16 and 17).
func endedChildren(stat []byte) (int64, error) {
	const third = 3 // number of the first field behind the name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, n := range []int{16, 17} {
		if len(fields) <= n-third {
			return 0, fmt.Errorf("not a stat line: %q", stat)
		}
		v, err := strconv.ParseInt(string(fields[n-third]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not a stat line: %w", err)
		}
		ticks += v
	}
	return ticks * tickUS, nil
}
