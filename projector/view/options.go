package view

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// noSync is how batches are written. The projection can be rebuilt, so it needs no fsync; it needs that data and cursor
// stay together, and a batch is atomic either way. The log of batches (WAL) is on, so a killed process loses next to
// nothing; a lost machine loses the last batches, together with their cursors, and they are folded again.
var noSync = pebble.NoSync

// options are Pebble's. What is not here keeps its default on purpose: it is not ours to tune.
func (v *View) options() *pebble.Options {
	c := &v.config
	o := &pebble.Options{
		FS:        c.FS,
		ReadOnly:  c.ReadOnly,
		CacheSize: c.CacheBytes,
		Logger:    logger{v.dead},
		// The newest: a store is never given back to an older build, but rebuilt.
		FormatMajorVersion: pebble.FormatNewest,
		// The fold writes in bulk, ids are hashes: large memtables keep the merging of random keys rare (a tenth of the
		// fold's CPU between 32 and 128 MiB).
		MemTableSize: 64 << 20,
		// One being filled, one being flushed, one in reserve; then writes wait: at most 192 MiB.
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		// A small machine is shared with shards and gateway: one compaction, a second one only when it falls behind.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		// Without this Pebble syncs the WAL only at its end: spread the writing out.
		WALBytesPerSync: 1 << 20,
		BytesPerSync:    1 << 20,
		DisableWAL:      false,
		MaxOpenFiles:    1000,
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.FS = roomFS{o.FS, v.room, v.dead}
	for i := range o.Levels {
		// 10 bits a key: most look-ups of ids that are not there (and of levels that do not have it) read no block.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10
	}
	// Half of the bytes are hashes; the fast algorithms take most of the gain there is.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return o
}

// logger keeps Pebble's everyday messages at debug. After Fatalf the store cannot go on; it does not return.
type logger struct{ dead *dead }

func (logger) Infof(format string, args ...any) {
	slog.Debug("projection store", "message", fmt.Sprintf(format, args...))
}

func (logger) Errorf(format string, args ...any) {
	slog.Error("projection store", "message", fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) { l.dead.end(fmt.Sprintf(format, args...)) }
