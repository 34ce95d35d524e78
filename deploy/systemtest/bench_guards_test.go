package systemtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/redis/go-redis/v9"

	"walletd/bench"
)

// counters are what a wallet has done so far, in counts that no machine's speed changes.
type counters struct {
	metrics  map[string]float64 // summed over labels
	commands map[string]float64 // of Redis, by name
	bytes    float64            // journaled
}

// counted reads all of them.
func (d *dev) counted() counters {
	d.t.Helper()
	c := counters{metrics: map[string]float64{}, commands: map[string]float64{}}
	response, err := http.Get("http://" + d.admin + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:i], "{")
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64); err == nil {
			c.metrics[name] += v
		}
	}
	for _, r := range d.ready.Redis {
		d.commandStats(r.Addr, c.commands)
	}
	c.bytes = d.journaled()
	return c
}

// commandStats adds what a Redis has executed, also within scripts.
func (d *dev) commandStats(addr string, into map[string]float64) {
	d.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	info, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		rest, ok := strings.CutPrefix(line, "cmdstat_")
		name, figures, _ := strings.Cut(rest, ":calls=")
		calls, _, _ := strings.Cut(figures, ",")
		if v, err := strconv.ParseFloat(calls, 64); ok && err == nil {
			into[name] += v
		}
	}
}

// journaled is the sum of the records' bytes.
func (d *dev) journaled() (sum float64) {
	d.t.Helper()
	log, done, err := d.openLog()
	if err != nil {
		d.t.Fatal(err)
	}
	defer done()
	for p := range d.partitions {
		if _, err := log.Read(context.Background(), p, 0, func(_ int64, record []byte) error {
			sum += float64(len(record))
			return nil
		}); err != nil {
			d.t.Fatal(err)
		}
	}
	return sum
}

// projected is the number of records in the projection of a wallet that has stopped.
func (d *dev) projected() (n float64) {
	d.t.Helper()
	db, err := pebble.Open(filepath.Join(d.data, "projection"), &pebble.Options{ReadOnly: true, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	all, err := db.NewIter(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for all.First(); all.Valid(); all.Next() {
		n++
	}
	if err := all.Close(); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// silent is a logger that says nothing.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // the store wants to end the process
}

// during are the differences of two readings, for each of n transfers.
func during(before, after counters, n int64) (each func(metric string) float64, commands, bytes float64) {
	for name, calls := range after.commands {
		if name != "info" {
			commands += calls - before.commands[name]
		}
	}
	each = func(metric string) float64 { return (after.metrics[metric] - before.metrics[metric]) / float64(n) }
	return each, commands, (after.bytes - before.bytes) / float64(n)
}

// What a transfer is made of does not depend on the machine, and must not grow unnoticed: acts, Redis commands a train, bytes
// journaled, allocations. The bounds are a little above what it is.
func TestWhatATransferIsMadeOf(t *testing.T) {
	for _, row := range []struct {
		name                         string
		cross                        float64
		acts, bytes, commands, alloc float64
		records                      float64
	}{
		{"across partitions", 1, 3.05, 160, 14, 6, 0.5}, // check, pay, delivery
		{"within a partition", 0, 1.05, 110, 14, 6, 0.5},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := startDev(t, 4)
			c := d.benched()
			c.Cross = row.cross
			c.InFlight, c.Duration = 512, time.Second
			s, err := bench.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			load := bench.Load{Cross: row.cross, Connections: 2, InFlight: 512, Duration: time.Second, Seed: 1}
			first, err := s.Measure(t.Context(), load)
			if err != nil { // pools and maps are as large as they get
				t.Fatal(err)
			}
			before := d.counted()
			r, err := s.Measure(t.Context(), load)
			if err != nil {
				t.Fatal(err)
			}
			each, commands, bytes := during(before, d.counted(), r.Acknowledged)
			d.stop()
			records := d.projected() / float64(first.Acknowledged+r.Acknowledged)
			trains := each("wallet_trains_total") * float64(r.Acknowledged)
			for _, guard := range []struct {
				what     string
				got, max float64
			}{
				{"acts a transfer", each("wallet_batch_acts_total"), row.acts},
				{"bytes journaled a transfer", bytes, row.bytes},
				{"Redis commands a train, its own call included", commands / trains, row.commands},
				{"records of a transfer in the projection", records, row.records},
				{"allocations a transfer in walletd", each("go_memstats_mallocs_total"), row.alloc},
			} {
				line := fmt.Sprintf("%s: %.2f, at most %.2f", guard.what, guard.got, guard.max)
				if t.Log(line); !(guard.got > 0 && guard.got <= guard.max) {
					t.Error(line)
				}
			}
			t.Logf("%d transfers, %.1f a train", r.Acknowledged, float64(r.Acknowledged)/trains)
		})
	}
}
