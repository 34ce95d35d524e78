package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Open opens the journal in cfg.Dir for this process alone, or makes a new one, and checks all of it. Errors:
// *DamageError (a journal.ErrDamaged), ErrLocked, ErrMismatch. The caller closes it.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("filelog: %w", err)
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("filelog: open %s: %w", cfg.Dir, err)
	}
	lock, err := cfg.FS.Lock(join(cfg.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("filelog: journal %s: %w", cfg.Dir, err)
	}
	l, err := open(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filelog: open %s: %w", cfg.Dir, err), lock.Close())
	}
	l.lock = lock
	go l.prepareSegments()
	go l.run()
	return l, nil
}

// Exists reports whether a journal was ever made in dir: it has its meta file, or one that cannot be looked at.
func Exists(dir string) bool {
	_, err := os.Stat(join(dir, metaFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// Lock keeps every process from opening the journal in dir until the Closer is closed. It answers at once where there is no such
// directory. Errors: ErrLocked.
func Lock(dir string) (io.Closer, error) {
	lock, err := osFS{}.Lock(join(dir, lockFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return io.NopCloser(nil), nil
	case err != nil:
		return nil, fmt.Errorf("filelog: journal %s: %w", dir, err)
	}
	return lock, nil
}

func open(cfg Config) (*Log, error) {
	partitions, err := settlePartitions(cfg)
	if err != nil {
		return nil, err
	}
	l := newLog(cfg, newStore(cfg.FS, cfg.Dir, partitions))
	ld := &loader{s: l.store}
	if err := ld.checkNames(); err != nil {
		return nil, err
	}
	if err := ld.run(); err != nil {
		return nil, err
	}
	end, err := readEnd(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	durable, err := readDurable(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	torn, err := ld.judge(end, durable)
	if err != nil {
		return nil, err
	}
	if torn {
		cfg.Logger.Warn("journal: the last write before a crash is incomplete and is cut off",
			"file", l.segmentPath(ld.seg), "offset", ld.pos, "reason", ld.why)
	}
	l.next = l.offsets()
	if err := l.resume(ld, end != nil, torn, durable); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	return l, nil
}

// settlePartitions compares the configuration with the journal, or makes the journal's meta file.
func settlePartitions(cfg Config) (int, error) {
	m, err := readMeta(cfg.FS, cfg.Dir)
	switch {
	case err == nil && cfg.Partitions != 0 && cfg.Partitions != m.Partitions:
		return 0, fmt.Errorf("%w: it has %d partitions, the configuration says %d; their number is fixed for ever", ErrMismatch, m.Partitions, cfg.Partitions)
	case err == nil:
		return m.Partitions, nil
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	names, err := cfg.FS.List(cfg.Dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if _, ok := segmentNumber(name); ok || name == endFile {
			return 0, &DamageError{File: join(cfg.Dir, metaFile), Partition: -1, Reason: "the file is missing beside " + name}
		}
	}
	if cfg.Partitions == 0 {
		return 0, errors.New("there is no journal yet, and the number of partitions is not configured")
	}
	return cfg.Partitions, writeMeta(cfg.FS, cfg.Dir, meta{Version: formatVersion, Partitions: cfg.Partitions, Created: time.Now().UTC()})
}

// resume makes the last segment ready for writing behind its last record; clean = an end mark stands there.
func (l *Log) resume(ld *loader, clean, torn bool, durable location) (err error) {
	if l.mark, err = openDurable(l.fs, l.dir); err != nil {
		return err
	}
	if err := l.fs.Remove(join(l.dir, nextFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if ld.seg == 0 {
		l.hurry.Store(true) // nobody writes yet
		f, size, err := l.makeSegment(l.sizeAfter(0))
		l.hurry.Store(false)
		if err != nil {
			return err
		}
		return l.activate(f, size)
	}
	name := l.segmentPath(ld.seg)
	if l.file, err = l.fs.OpenFile(name, os.O_RDWR); err != nil {
		return err
	}
	l.number, l.pos, l.capacity = ld.seg, ld.pos, l.heads[ld.seg-1].capacity
	if torn {
		// Nothing of the torn write may ever be read behind a later, shorter one.
		if err := l.file.Truncate(l.pos); err != nil {
			return fmt.Errorf("cut %s: %w", name, err)
		}
	}
	if !clean {
		if err := l.fillZeros(); err != nil {
			l.mustRoll = true
			l.shortOf(err)
		}
	}
	// A process that was killed left records that no fdatasync has seen; from here on they count. One that met a failed
	// fdatasync left pages that are not on disk and that no later fdatasync writes: only what is written again is.
	if !clean {
		if err := l.writeAgain(durable); err != nil {
			return fmt.Errorf("write the end of %s again: %w", name, err)
		}
		if err := l.stillThere(durable); err != nil {
			return fmt.Errorf("the end of %s, written again: %w", name, err)
		}
	}
	if err := errors.Join(l.file.Datasync(), l.fs.SyncDir(l.dir)); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	l.cleanEnd = clean
	l.markDurable()
	return nil
}

// doubted is where the last segment is no longer known to be durable.
func (l *Log) doubted(durable location) int64 {
	if durable.segment() == l.number {
		return durable.pos()
	}
	return 0
}

// stillThere reads once more what was written again. Pages of a failed fdatasync are clean: the cache may have dropped them
// after the records in them had been counted, and then what was written again is what the disk had. Now they are dirty,
// and stay. Nothing behind durable was acknowledged, so the next Open cuts it off.
func (l *Log) stillThere(durable location) error {
	w := newWindow(l.file)
	defer w.release()
	for at := max(l.doubted(durable), segmentHeadSize); at < l.pos; {
		r, bad, err := w.record(at)
		if bad != nil && err == nil {
			err = fmt.Errorf("the disk lost byte %d while it was read, open the journal once more: %w", at, bad)
		}
		if err != nil {
			return err
		}
		at += r.size()
	}
	return nil
}

// writeAgain writes what the last segment holds, from where it is known to be durable, over itself.
func (l *Log) writeAgain(durable location) error {
	at := l.doubted(durable)
	buf := make([]byte, 1<<20)
	for at < l.pos {
		n, err := l.file.ReadAt(buf[:min(int64(len(buf)), l.pos-at)], at)
		if n == 0 {
			return err
		}
		if _, err := l.file.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
