package filelog

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"walletd/journal"
)

// slowSync is a disk whose fdatasync takes its time.
type slowSync struct{ FS }

type slowFile struct{ File }

func (d slowSync) OpenFile(name string, flag int) (File, error) {
	f, err := d.FS.OpenFile(name, flag)
	return slowFile{f}, err
}

func (f slowFile) Datasync() error {
	time.Sleep(200 * time.Microsecond)
	return f.File.Datasync()
}

// Two that append in company share a write, though one is a little later; one by itself never waits, nor do both when the log is
// idle.
func TestAppendsInCompanyShareAWrite(t *testing.T) {
	for _, c := range []struct {
		name      string
		appenders int
		every     time.Duration
		writes    uint64 // at most, of 100 rounds
		took      time.Duration
	}{
		{"two", 2, time.Millisecond, 104, 320 * time.Microsecond},
		{"two, and the log is idle in between", 2, 10 * time.Millisecond, 200, 400 * time.Microsecond},
		{"one", 1, time.Millisecond, 100, 210 * time.Microsecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := mustOpen(t, slowSync{newDisk()}, 2)
				mustAppend(t, l, journal.Record{Bytes: payload(0, 0, 200)}) // makes it ready for writing
				before, longest := l.Stats().Writes, time.Duration(0)
				for range 100 {
					var both sync.WaitGroup
					start := time.Now()
					for p := range c.appenders {
						both.Go(func() {
							time.Sleep(time.Duration(p) * 100 * time.Microsecond)
							mustAppend(t, l, journal.Record{Partition: p, Bytes: payload(p, 1, 200)})
						})
					}
					both.Wait()
					longest = time.Since(start)
					time.Sleep(time.Until(start.Add(c.every)))
				}
				if writes := l.Stats().Writes - before; writes > c.writes {
					t.Errorf("%d writes", writes)
				}
				if longest > c.took {
					t.Errorf("a round takes %v", longest)
				}
				mustClose(t, l)
			})
		})
	}
}
