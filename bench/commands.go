package bench

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Command is what the shards execute of one kind, for each operation. Commands that a script calls are counted here, too, and
// their time stands in the script's.
type Command struct {
	Name  string  `json:"name"`
	Calls float64 `json:"calls"`
	US    float64 `json:"us"`
}

// commandStats are calls and microseconds by command.
type commandStats map[string][2]float64

// readCommands asks every shard (INFO commandstats).
func readCommands(ctx context.Context, addrs []string) (commandStats, error) {
	all := commandStats{}
	for _, addr := range addrs {
		text, err := redisInfo(ctx, addr, "commandstats")
		if err != nil {
			return nil, fmt.Errorf("commands of %s: %w", addr, err)
		}
		all.add(text)
	}
	return all, nil
}

// add reads lines like cmdstat_hset:calls=7,usec=91,usec_per_call=13.00,…
func (c commandStats) add(info string) {
	for line := range strings.Lines(info) {
		rest, ok := strings.CutPrefix(line, "cmdstat_")
		name, figures, found := strings.Cut(rest, ":")
		if !ok || !found {
			continue
		}
		sum := c[name]
		for figure := range strings.SplitSeq(strings.TrimSpace(figures), ",") {
			key, value, _ := strings.Cut(figure, "=")
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			switch key {
			case "calls":
				sum[0] += v
			case "usec":
				sum[1] += v
			}
		}
		c[name] = sum
	}
}

// per is what has been executed since before, for each of n operations, the dearest first.
func (c commandStats) per(before commandStats, n int64) (all []Command) {
	for name, now := range c {
		calls, us := now[0]-before[name][0], now[1]-before[name][1]
		if calls > 0 && n > 0 && name != "info" {
			all = append(all, Command{name, calls / float64(n), us / float64(n)})
		}
	}
	slices.SortFunc(all, func(a, b Command) int { return cmp.Or(cmp.Compare(b.US, a.US), cmp.Compare(a.Name, b.Name)) })
	return all
}

// RedisMemory is what the shards' data takes, in bytes.
func RedisMemory(ctx context.Context, addrs []string) (sum float64, err error) {
	for _, addr := range addrs {
		text, err := redisInfo(ctx, addr, "memory")
		if err != nil {
			return 0, fmt.Errorf("memory of %s: %w", addr, err)
		}
		for line := range strings.Lines(text) {
			// Of the data set alone, without buffers and what it is at start.
			if value, ok := strings.CutPrefix(line, "used_memory_dataset:"); ok {
				v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					return 0, fmt.Errorf("memory of %s: %w", addr, err)
				}
				sum += v
			}
		}
	}
	return sum, nil
}

// infoMax bounds a Redis's answer.
const infoMax = 1 << 20

// redisInfo asks one Redis.
func redisInfo(ctx context.Context, addr, section string) (string, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "INFO "+section+"\r\n"); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || head[0] != '$' || size < 0 || size > infoMax {
		return "", errors.New("answered " + strconv.Quote(strings.TrimSpace(head)))
	}
	text := make([]byte, size)
	_, err = io.ReadFull(in, text)
	return string(text), err
}
