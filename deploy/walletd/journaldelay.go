package walletd

import (
	"context"
	"time"

	"walletd/journal"
	"walletd/journal/filelog"
	"walletd/journal/kafkalog"
)

// A journal that is farther away than this machine's disk: what batching does in a cloud can be seen on a laptop. For
// measurements only, so `dev` and `cluster up` alone know it.

// journalDelayMax is longer than any disk or broker that one would put money on.
const journalDelayMax = time.Second

// slowDisk waits before every fdatasync.
type slowDisk struct {
	filelog.FS
	delay time.Duration
}

func (d slowDisk) OpenFile(name string, flag int) (filelog.File, error) {
	f, err := d.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return slowFile{f, d.delay}, nil
}

type slowFile struct {
	filelog.File
	delay time.Duration
}

func (f slowFile) Datasync() error {
	time.Sleep(f.delay) // this is the delay itself
	return f.File.Datasync()
}

// slowKafka waits before every produce request.
type slowKafka struct {
	*kafkalog.Log
	delay time.Duration
}

func (l slowKafka) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	select {
	case <-time.After(l.delay):
	case <-ctx.Done(): // nothing has been sent
		return refusedAll(records), journal.ErrNotAppended
	}
	return l.Log.Append(ctx, records)
}

// refusedAll are the offsets of records that were not appended.
func refusedAll(records []journal.Record) []int64 {
	offsets := make([]int64, len(records))
	for i := range offsets {
		offsets[i] = -1
	}
	return offsets
}

// delayed is the log, or the same behind the delay.
func (a *app) delayed(log *kafkalog.Log) journal.Log {
	if a.journalDelay == 0 {
		return log
	}
	return slowKafka{log, a.journalDelay}
}

// journalDisk is what is under the file journal.
func (a *app) journalDisk() filelog.FS {
	if a.journalDelay == 0 {
		return a.journalFS
	}
	fs := a.journalFS
	if fs == nil {
		fs = filelog.Disk()
	}
	return slowDisk{fs, a.journalDelay}
}

// checkDelay refuses what is no delay.
func (a *app) checkDelay() error {
	if a.journalDelay < 0 || a.journalDelay > journalDelayMax {
		return exit(exitUsage, "--journal-delay %v: 0 to %v are possible", a.journalDelay, journalDelayMax)
	}
	return nil
}
