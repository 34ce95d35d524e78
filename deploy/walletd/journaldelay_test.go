package walletd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"walletd/journal"
	"walletd/journal/filelog"
)

// What waits together becomes durable together: ten appends at once take about as long as one.
func TestADelayedDiskIsSlowAndStillDurable(t *testing.T) {
	const delay = 50 * time.Millisecond
	a := &app{journalDelay: delay}
	dir := filepath.Join(t.TempDir(), "journal")
	log, err := filelog.Open(filelog.Config{Dir: dir, Partitions: 1, FS: a.journalDisk()})
	if err != nil {
		t.Fatal(err)
	}
	record := journal.NewEpochFrame(0, 1, 1, "test")
	begin := time.Now()
	offsets, err := log.Append(t.Context(), []journal.Record{{Partition: 0, Bytes: record.Seal(nil)}})
	if took := time.Since(begin); err != nil || offsets[0] != 0 || took < delay {
		t.Errorf("an append took %v: %v %v", took, offsets, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := filelog.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if end, err := again.End(t.Context(), 0); err != nil || end != 1 {
		t.Errorf("%d records: %v", end, err)
	}
}

func TestADelayedProduceThatWasGivenUpIsNotAppended(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	offsets, err := slowKafka{nil, time.Hour}.Append(ctx, make([]journal.Record, 2))
	if !errors.Is(err, journal.ErrNotAppended) || len(offsets) != 2 || offsets[0] >= 0 {
		t.Errorf("got %v %v", offsets, err)
	}
}

// A delay is for measurements: only the commands that put a wallet on one machine take it.
func TestOnlyMeasurementsAreDelayed(t *testing.T) {
	for _, row := range []struct{ command, want string }{
		{"dev --journal-delay -1s --data DIR", "--journal-delay -1s"},
		{"dev --journal-delay 2s --data DIR", "0 to 1s"},
		{"cluster up --journal-delay 2s --data DIR", "0 to 1s"},
		{"cluster up --brokers 2 --data DIR", "--brokers 2"},
		{"all --journal-delay 1ms -c DIR/walletd.yaml", "unknown flag"},
		{"keeper --journal-delay 1ms -c DIR/walletd.yaml", "unknown flag"},
	} {
		var out bytes.Buffer
		dir := t.TempDir()
		code := Main(strings.Fields(strings.ReplaceAll(row.command, "DIR", dir)), strings.NewReader(""), &out, &out)
		if code != exitUsage || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: code %d, %s", row.command, code, out.String())
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s left %v behind: %v", row.command, entries, err)
		}
	}
}
