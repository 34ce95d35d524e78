package view

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// noSync is how batches are written: there is nothing to sync. The journal is the log of what the store holds, so the store
// keeps none of its own (DisableWAL). What lies in its memory is lost with the process and folded again: a batch is written
// whole, and memory tables are written in the order of their batches, each by one edit of the manifest, so that what is left is
// always a prefix of the commits, data and cursors together.
var noSync = pebble.NoSync

// options are Pebble's. What is not here keeps its default on purpose: it is not ours to tune.
func (v *View) options() *pebble.Options {
	c := &v.config
	o := &pebble.Options{
		FS:        c.FS,
		ReadOnly:  c.ReadOnly,
		CacheSize: c.CacheBytes,
		Logger:    logger{v.dead},
		Comparer:  Comparer(),
		// The newest: a store is never given back to an older build, but rebuilt.
		FormatMajorVersion: pebble.FormatNewest,
		DisableWAL:         true,
		// The fold writes in bulk, handles are hashes: large memtables keep the merging of random keys rare.
		MemTableSize: uint64(c.MemoryBytes),
		// One being filled, one being flushed, one in reserve; then writes wait: at most 192 MiB.
		MemTableStopWritesThreshold: 3,
		// Little of what is written comes in an order: to merge more at a time, into one level until that is large, costs a tenth
		// less than Pebble's own bounds.
		L0CompactionThreshold: 8,
		LBaseMaxBytes:         512 << 20,
		L0StopWritesThreshold: 24,
		// A small machine is shared with shards and gateway: one compaction, a second one only when it falls behind.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		BytesPerSync:               1 << 20,
		MaxOpenFiles:               1000,
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.FS = roomFS{o.FS, v.room, v.dead}
	for i := range o.Levels {
		// 10 bits a key: most look-ups of accounts that are not there (and of levels that do not have them) read no block.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10
	}
	// Half of the bytes are hashes. The fast algorithms cost a fifth of the fold where everything is compressed each time that it is
	// merged; so what has come to rest is.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		s, last := pebble.DBCompressionNone, len(pebble.DBCompressionNone.Levels)-1
		s.Levels[last] = pebble.DBCompressionFastest.Levels[last]
		return s
	})
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
