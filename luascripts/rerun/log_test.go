package rerun

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"walletd/journal"
	"walletd/journal/filelog"
)

// journalLog is a log in memory that is only read.
type journalLog struct {
	journal.Log
	partitions [][][]byte
}

func (l *journalLog) Partitions() int { return len(l.partitions) }

func (l *journalLog) End(_ context.Context, p int) (int64, error) {
	return int64(len(l.partitions[p])), nil
}

func (l *journalLog) Read(ctx context.Context, p int, from int64, fn func(int64, []byte) error) (int64, error) {
	var lent []byte // as the contract says, the bytes are only fn's while it runs
	for ; from < int64(len(l.partitions[p])); from++ {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		lent = append(lent[:0], l.partitions[p][from]...)
		if err := fn(from, lent); err != nil {
			return from, err
		}
		clear(lent)
	}
	return from, nil
}

// events are those that count, per partition.
func (l *journalLog) events(t testing.TB) (all [][]journal.Event) {
	for p := range l.partitions {
		var events []journal.Event
		cursor := journal.Cursor{Partition: p}
		for offset, record := range l.partitions[p] {
			f, verdict, err := cursor.Next(int64(offset), record)
			must(t, err)
			if verdict == journal.Accepted {
				must(t, f.EachEvent(func(e *journal.Event) error { events = append(events, *e); return nil }))
			}
		}
		all = append(all, events)
	}
	return all
}

const recordedDir = "testdata/recorded" // a data directory, as `walletd dev` leaves it

// recorded is the journal that an earlier build has left.
func recorded(t testing.TB) *journalLog {
	t.Helper()
	reader, err := filelog.OpenReadOnly(filepath.Join(recordedDir, "journal"))
	must(t, err)
	defer reader.Close()
	l := &journalLog{partitions: make([][][]byte, reader.Partitions())}
	for p := range l.partitions {
		_, err := reader.Read(t.Context(), p, 0, func(_ int64, record []byte) error {
			l.partitions[p] = append(l.partitions[p], append([]byte(nil), record...))
			return nil
		})
		must(t, err)
	}
	return l
}

// keep writes a journal into testdata.
func keep(t testing.TB, l *journalLog) {
	t.Helper()
	must(t, os.RemoveAll(recordedDir))
	must(t, os.MkdirAll(recordedDir, 0o755))
	meta := `{"version":1,"wallet":"recorded","partitions":3,"shards":["s1"],"assets":[{"code":"USD","exponent":2},{"code":"EUR","exponent":2}],"journal":"file"}` + "\n"
	must(t, os.WriteFile(filepath.Join(recordedDir, "wallet.json"), []byte(meta), 0o644))
	dir := filepath.Join(recordedDir, "journal")
	log, err := filelog.Open(filelog.Config{Dir: dir, Partitions: recordedPartitions, SegmentBytes: 32 << 10})
	must(t, err)
	for i, more := 0, true; more; i++ { // partitions in turn, as they would have come
		var records []journal.Record
		for p := range l.partitions {
			if i < len(l.partitions[p]) {
				records = append(records, journal.Record{Partition: p, Bytes: l.partitions[p][i]})
			}
		}
		if more = len(records) > 0; more {
			_, err := log.Append(t.Context(), records)
			must(t, err)
		}
	}
	must(t, log.Close())
	for _, spare := range []string{"next.tmp", "lock", "durable"} { // made anew by whoever writes there
		if err := os.Remove(filepath.Join(dir, spare)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
