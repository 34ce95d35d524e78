package filelog

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"walletd/journal"
)

// Reader reads a journal without a lock, beside a process that writes it or after one. It is a journal.Log whose Append
// refuses. While a writer runs it may see records some moments before they are durable: it is for auditors, not for
// anything that answers clients.
type Reader struct {
	*store

	mu   sync.Mutex // guards the loader
	load loader
	tail Tail
}

var _ journal.Log = (*Reader)(nil)

// Tail tells how a journal ended when it was opened for reading.
type Tail struct {
	Clean  bool   // the end mark stood there, and the journal reached it
	Torn   bool   // the last write is incomplete: after a crash, or because it is under way
	File   string // where the last whole record ends; empty when there is no segment
	Offset int64
}

// OpenReadOnly opens the journal in dir for reading and checks all of it. Errors: *DamageError; fs.ErrNotExist when there is
// none.
func OpenReadOnly(dir string) (*Reader, error) {
	r, err := openReader(osFS{}, dir)
	if err != nil {
		return nil, fmt.Errorf("filelog: open %s: %w", dir, err)
	}
	return r, nil
}

func openReader(fsys FS, dir string) (*Reader, error) {
	m, err := readMeta(fsys, dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{store: newStore(fsys, dir, m.Partitions)}
	r.load.s = r.store
	if err := r.load.checkNames(); err != nil {
		return nil, err
	}
	if err := r.judge(); err != nil {
		return nil, err
	}
	return r, nil
}

// judge reads to the end and tells damage from a writer that goes on meanwhile: what is damaged does not change when it
// is looked at again.
func (r *Reader) judge() error {
	for {
		durable, err := readDurable(r.fs, r.dir)
		if err != nil {
			return err
		}
		end, err := readEnd(r.fs, r.dir)
		if err != nil {
			return err
		}
		if err := r.load.run(); err != nil {
			return err
		}
		torn, damage := r.load.judge(end, durable)
		if damage == nil {
			r.tail = Tail{Clean: end != nil, Torn: torn}
			if r.load.seg > 0 {
				r.tail.File, r.tail.Offset = r.segmentPath(r.load.seg), r.load.pos
			}
			return nil
		}
		before := r.load.at()
		if err := r.load.run(); err != nil {
			return err
		}
		again, err := readEnd(r.fs, r.dir)
		if err != nil {
			return err
		}
		if r.load.at() == before && reflect.DeepEqual(end, again) {
			return damage
		}
	}
}

// Tail tells how the journal ended when it was opened.
func (r *Reader) Tail() Tail { return r.tail }

// refresh takes in what has been written since.
func (r *Reader) refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load.run()
}

// Read is journal.Log's, up to the last whole record there is now.
func (r *Reader) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	if err := r.refresh(); err != nil {
		return from, fmt.Errorf("filelog: read: %w", err)
	}
	return r.store.Read(ctx, partition, from, fn)
}

// End is journal.Log's, behind the last whole record there is now.
func (r *Reader) End(ctx context.Context, partition int) (int64, error) {
	if err := r.refresh(); err != nil {
		return 0, fmt.Errorf("filelog: end: %w", err)
	}
	return r.store.End(ctx, partition)
}

// pollEvery is how often a waiting reader looks for more: the writer is another process and does not call.
const pollEvery = 20 * time.Millisecond

// Wait is journal.Log's; it looks every 20 ms.
func (r *Reader) Wait(ctx context.Context, partition int, offset int64) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		end, err := r.End(ctx, partition)
		if err != nil {
			return err
		}
		if end > offset {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Append refuses: nothing is appended.
func (r *Reader) Append(_ context.Context, records []journal.Record) ([]int64, error) {
	offsets := make([]int64, len(records))
	for i := range offsets {
		offsets[i] = -1
	}
	return offsets, notAppended(errors.New("the journal is open for reading"))
}

// Close ends the reading.
func (r *Reader) Close() error {
	r.stop()
	return nil
}
