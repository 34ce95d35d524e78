package luascripts

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"walletd/journal"
)

// ErrOvertaken: another keeper loads the shard, or a partition is in a higher epoch there.
var ErrOvertaken = errors.New("overtaken by another loader")

const (
	loadPairs  = 500      // fields a script call
	loadBytes  = 64 << 10 // of a script call, after which it gets no more
	loadWindow = 16       // calls a pipeline
)

// Load writes the Books' final state into the shard, whose records of those partitions must be gone (Wipe) or older states
// of the same history: fields are overwritten, never removed. The partitions stop serving at once and serve again, in
// their Books' epochs, when everything else is there; after an error they do not serve and Load may be repeated.
// The Books' States must be journal.Memory. ErrOvertaken: see there.
func (s *Shard) Load(ctx context.Context, books ...*journal.Book) error {
	return s.fault("load", s.load(ctx, books, func(l *loader) error {
		for _, b := range books {
			if err := l.book(ctx, b); err != nil {
				return fmt.Errorf("partition %d: %w", b.Partition, err)
			}
		}
		return nil
	}))
}

// load lets the partitions of these Books stop, write fills the shard, and they serve.
func (s *Shard) load(ctx context.Context, books []*journal.Book, write func(*loader) error) error {
	highest := uint32(0)
	for _, b := range books {
		highest = max(highest, b.Epoch)
	}
	l := loader{Shard: s, field: loaderField, token: string(binary.BigEndian.AppendUint32(nil, highest)) + rand.Text()}
	begin, end := []any{l.token, s.sliceWord()}, []any{}
	for _, b := range books {
		name := partitionField(b.Partition)
		begin = append(begin, string(binary.BigEndian.AppendUint32([]byte(name), b.Epoch)))
		end = append(end, name, b.AppendPart(nil))
	}
	if err := l.check(s.scriptInt(ctx, loadBeginScript, begin...)); err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	if err := write(&l); err != nil {
		return err
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	end = append([]any{l.token, l.loaded()}, end...)
	return l.check(s.scriptInt(ctx, loadEndScript, end...))
}

func (s *Shard) scriptInt(ctx context.Context, sc script, args ...any) (int, error) {
	return s.client.Eval(ctx, sc.text, []string{partsKey}, args...).Int()
}

// loader collects fields into script calls, and those into pipelines.
type loader struct {
	*Shard
	field   string // of parts, that names who loads
	token   string // what it holds while we do
	calls   []*redis.Cmd
	pipe    redis.Pipeliner
	pace    func(ctx context.Context, took time.Duration) // after each pipeline; nil = at once
	sliceMS int64
	used    map[int64]bool // slices that have got key records

	filtered bool // the filter has got something
}

// prepare is what comes before anything is written.
func (l *loader) prepare(ctx context.Context) error {
	for _, sc := range []script{loadScript, loadFilterScript} {
		if err := l.client.ScriptLoad(ctx, sc.text).Err(); err != nil {
			return err
		}
	}
	window, err := l.Window(ctx)
	l.sliceMS, l.used = window.SliceMS, map[int64]bool{}
	return err
}

func (l *loader) check(answer int, err error) error { return overtaken(answer, err) }

// overtaken is what a script that answers 1 or 0 says.
func overtaken(answer int, err error) error {
	if err == nil && answer != 1 {
		return ErrOvertaken
	}
	return err
}

func (l *loader) book(ctx context.Context, b *journal.Book) error {
	m, ok := b.State.(*journal.Memory)
	if !ok {
		return fmt.Errorf("state of type %T", b.State)
	}
	var err error
	write := func(key string, each func(yield func(field, value []byte) bool)) {
		if err == nil {
			err = l.fields(ctx, key, each)
		}
	}
	write(accountsKey, func(yield func(f, v []byte) bool) {
		for h, a := range m.Accounts {
			if !yield(h[:], AppendAccount(nil, a)) {
				return
			}
		}
	})
	write(detailsKey, func(yield func(f, v []byte) bool) {
		for h, d := range m.DetailsOf {
			if !yield(h[:], d) {
				return
			}
		}
	})
	for slice, ids := range l.sliced(m) {
		write(keysKey(slice), func(yield func(f, v []byte) bool) {
			for _, id := range ids {
				if !yield(id[:], AppendKey(nil, m.Keys[id])) {
					return
				}
			}
		})
	}
	write(filterKey, l.filter(b.Partition, filterOf(m)))
	write(reservationsKey, func(yield func(f, v []byte) bool) {
		for id, r := range m.Reservations {
			if !yield(id[:], r.Append(nil)) {
				return
			}
		}
	})
	write(deliveredKey, func(yield func(f, v []byte) bool) {
		for source, seq := range m.DeliveredOf {
			if !yield(channelField(b.Partition, source), appendU56(nil, seq)) {
				return
			}
		}
	})
	return err
}

func channelField(partition, source int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(partition)), uint16(source))
}

// fields writes a hash's fields, loadPairs a call; blocks of the filter are added to what is there.
func (l *loader) fields(ctx context.Context, key string, each func(yield func(field, value []byte) bool)) error {
	var args []any
	var err error
	bytes := 0
	sc, pairs := loadScript, loadPairs
	if key == filterKey {
		sc, pairs = loadFilterScript, filterPairs
	}
	send := func() bool {
		if len(args) > 0 {
			err = l.call(ctx, sc, key, args)
			args, bytes = nil, 0
		}
		return err == nil
	}
	each(func(field, value []byte) bool {
		if args == nil {
			args = append(make([]any, 0, 2+2*pairs), l.field, l.token)
		}
		args = append(args, string(field), value)
		bytes += len(field) + len(value)
		return (len(args) < 2+2*pairs && bytes < loadBytes) || send()
	})
	send()
	return err
}

func (l *loader) call(ctx context.Context, sc script, key string, args []any) error {
	if l.pipe == nil {
		l.pipe = l.client.Pipeline()
	}
	l.calls = append(l.calls, l.pipe.EvalSha(ctx, sc.sha, []string{partsKey, key}, args...))
	if len(l.calls) < loadWindow {
		return nil
	}
	return l.flush(ctx)
}

func (l *loader) flush(ctx context.Context) error {
	if len(l.calls) == 0 {
		return nil
	}
	began := time.Now()
	if _, err := l.pipe.Exec(ctx); err != nil {
		return err
	}
	if l.pace != nil {
		l.pace(ctx, time.Since(began))
		if err := l.room(ctx); err != nil {
			return err
		}
	}
	for _, c := range l.calls {
		if err := l.check(c.Int()); err != nil {
			return err
		}
	}
	l.calls = l.calls[:0]
	return nil
}

// Wipe removes everything that walletd keeps in the shard, in one step, the outbox and its counter included: no partition
// serves, whoever reads the outbox begins at 0 again, and whoever was loading the shard has lost it. ErrOvertaken: the shard
// is served or loaded in a higher epoch than this one; nothing was removed.
func (s *Shard) Wipe(ctx context.Context, epoch uint32) error {
	keys := []string{partsKey, accountsKey, detailsKey, reservationsKey, deliveredKey, outboxKey, filterKey}
	answer, err := s.client.Eval(ctx, wipeScript.text, keys, binary.BigEndian.AppendUint32(nil, epoch), keysPattern).Int()
	return s.fault("wipe", overtaken(answer, err))
}

// sliceKeys names the keys hashes that are there.
func (s *Shard) sliceKeys(ctx context.Context) (keys []string, err error) {
	scan := s.client.Scan(ctx, 0, keysPattern, 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	return keys, scan.Err()
}
