package luascripts

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"walletd/journal"
)

// A partition moves between shards while the others of both serve (design section 8). Its record in parts says where it is:
//
//	partition u16            it serves here
//	moving + partition u16   it does not, and records of it may be here: 'F', its record and a number, it is frozen;
//	                         'L' and a token, somebody loads it
//	neither                  no record of it is here
//
// What a keeper asks for is refused when a later one has admitted trains (Admit): a keeper that was overtaken and does not know
// cannot freeze, thaw, load or remove anything.

const (
	asideFrozen  = 'F'
	asideLoading = 'L'
)

// Aside is a partition that does not serve in the shard, though records of it may be there.
type Aside struct {
	Part          // of one that is frozen; else only the partition
	Frozen bool   // it served here last, until it was frozen; else somebody loads it, or did
	Seen   string // what parts says of it: what is removed must still be that
}

// frozenRecord is the partition's record in what parts says of one that is frozen.
func frozenRecord(value string) string { return value[1:min(len(value), 1+journal.PartSize)] }

func asideField(partition int) string { return movingField + partitionField(partition) }

// Asides answers the partitions that do not serve here and may have records here.
func (s *Shard) Asides(ctx context.Context) (map[int]Aside, error) {
	all, err := s.client.HGetAll(ctx, partsKey).Result()
	if err != nil {
		return nil, s.fault("read the parts of", err)
	}
	asides := map[int]Aside{}
	for field, value := range all {
		if len(field) != len(movingField)+partitionFieldSize || field[:len(movingField)] != movingField || value == "" {
			continue
		}
		a := Aside{Part: Part{Partition: int(binary.BigEndian.Uint16([]byte(field[len(movingField):])))}, Frozen: value[0] == asideFrozen, Seen: value}
		if a.Frozen {
			if err := a.parse([]byte(frozenRecord(value))); err != nil {
				return nil, s.fault("read the parts of", err)
			}
		}
		asides[a.Partition] = a
	}
	return asides, nil
}

// Freeze stops a partition, which serves in an epoch, and answers where it stands: no act of it runs here any more, its rows are
// answered Moving, and its events up to there are in the outbox or in the journal. A repeat answers the same. keeper: the
// epoch in which the caller admitted trains. ErrOvertaken: the shard has a later keeper, or has not the partition in that epoch.
func (s *Shard) Freeze(ctx context.Context, keeper uint32, partition int, epoch uint32) (Part, error) {
	p := Part{Partition: partition}
	record, err := s.client.Eval(ctx, freezeScript.text, []string{partsKey}, epochWord(keeper), partitionField(partition), epochWord(epoch)).Text()
	if err == nil && record == "" {
		err = ErrOvertaken
	}
	if err == nil {
		err = p.parse([]byte(record))
	}
	return p, s.fault(fmt.Sprintf("freeze partition %d of", partition), err)
}

// Thaw lets a frozen partition serve again, as it is, in an epoch above the one that it was frozen in. A repeat changes nothing.
// ErrOvertaken: the shard has a later keeper, or the partition is not frozen there. ErrNotReady: it is not the Redis process in
// which the keeper admitted trains.
func (s *Shard) Thaw(ctx context.Context, keeper uint32, partition int, epoch uint32) error {
	err := s.beginsHere(ctx, keeper, epoch, thawScript, partitionField(partition), epochWord(epoch))
	return s.fault(fmt.Sprintf("thaw partition %d of", partition), err)
}

// Unfreeze puts a frozen partition back as it was: what is to be compared with the journal is to be found where it always is.
// It says nothing about the Redis process. A repeat changes nothing, nor does one that comes after another freeze. ErrOvertaken: as for Thaw.
func (s *Shard) Unfreeze(ctx context.Context, keeper uint32, a Aside) error {
	err := overtaken(s.scriptInt(ctx, thawScript, epochWord(keeper), partitionField(a.Partition), epochWord(a.Epoch), a.Seen))
	return s.fault(fmt.Sprintf("unfreeze partition %d of", a.Partition), err)
}

// beginsHere runs a script with which a partition begins to serve in an epoch, and notes that the epoch begins in this Redis process
// (Stop): the one in which the keeper admitted trains. One connection, so one process.
func (s *Shard) beginsHere(ctx context.Context, keeper, epoch uint32, sc script, args ...any) error {
	c := s.client.Conn()
	defer func() { _ = c.Close() }()
	admitted, err := c.ScriptExists(ctx, markOf(keeper).sha).Result()
	switch {
	case err != nil:
		return err
	case !admitted[0]:
		return fmt.Errorf("%w: it has been started again, or its scripts were flushed", ErrNotReady)
	}
	if err := c.ScriptLoad(ctx, markOf(epoch).text).Err(); err != nil {
		return err
	}
	return overtaken(c.Eval(ctx, sc.text, []string{partsKey}, append([]any{epochWord(keeper)}, args...)...).Int())
}

func epochWord(epoch uint32) string { return string(binary.BigEndian.AppendUint32(nil, epoch)) }

// Loading is the loading of one partition into a shard in which others serve, and do not notice. One goroutine uses it.
type Loading interface {
	// Write writes the Book's records, a Memory's: all of it, or what has changed since. It does not serve yet. gently: the
	// others' trains come first, and a tenth of the memory is left to them: ErrOutOfMemory.
	Write(ctx context.Context, b *journal.Book, gently bool) error
	// Serve lets the partition serve in the Book's epoch, at its seq: everything of it has been written. A repeat changes
	// nothing.
	Serve(ctx context.Context, b *journal.Book) error
}

type joining struct {
	shard     *Shard
	keeper    uint32
	partition int
	value     string // in parts, while it is ours
	to        loader
}

// Join begins to load a partition; records of it that are here from an earlier time are removed. partitions is the number of
// the whole wallet's. ErrOvertaken: the shard has a later keeper, serves the partition, or somebody else loads it now.
func (s *Shard) Join(ctx context.Context, keeper uint32, partition, partitions int) (Loading, error) {
	l := &joining{shard: s, keeper: keeper, partition: partition, value: string(rune(asideLoading)) + rand.Text()}
	fault := func(err error) error { return s.fault(fmt.Sprintf("load partition %d into", partition), err) }
	answer, err := s.scriptInt(ctx, joinBeginScript, epochWord(keeper), partitionField(partition), l.value, s.sliceWord())
	switch {
	case err != nil:
		return nil, fault(err)
	case answer == 0:
		return nil, fault(ErrOvertaken)
	case answer == 2:
		if err := s.erase(ctx, Aside{Part: Part{Partition: partition}, Seen: l.value}, partitions); err != nil {
			return nil, fault(err)
		}
	}
	l.to = loader{Shard: s, field: asideField(partition), token: l.value}
	if err := l.to.prepare(ctx); err != nil {
		return nil, fault(err)
	}
	return l, nil
}

// Write implements Loading, as Serve does.
func (l *joining) Write(ctx context.Context, b *journal.Book, gently bool) error {
	if l.to.pace = nil; gently {
		l.to.pace = restAsLong
	}
	err := l.to.book(ctx, b)
	if err == nil {
		err = l.to.flush(ctx)
	}
	return l.shard.fault(fmt.Sprintf("load partition %d into", l.partition), err)
}

func (l *joining) Serve(ctx context.Context, b *journal.Book) error {
	err := l.shard.beginsHere(ctx, l.keeper, b.Epoch, joinEndScript, partitionField(l.partition), l.value, b.AppendPart(nil), l.to.loaded())
	return l.shard.fault(fmt.Sprintf("load partition %d into", l.partition), err)
}

// restAsLong leaves the shard to others for as long as it has just worked for us.
func restAsLong(ctx context.Context, took time.Duration) {
	t := time.NewTimer(min(took, restMax))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

const (
	restMax     = 20 * time.Millisecond
	eraseFields = 200 // fields a script call
)

// Remove removes the records of a partition that does not serve here (Asides), others' trains first, and then the word that
// they may be here. ErrOvertaken: it is not as it was seen any more.
func (s *Shard) Remove(ctx context.Context, a Aside, partitions int) error {
	err := s.erase(ctx, a, partitions)
	if err == nil {
		err = s.eraseFields(ctx, a, partsKey, []any{asideField(a.Partition)})
	}
	return s.fault(fmt.Sprintf("remove partition %d from", a.Partition), err)
}

func (s *Shard) erase(ctx context.Context, a Aside, partitions int) error {
	return s.eachRecord(ctx, func(key string, kind fieldKind, words []string) error {
		var fields []any
		for i := 0; i+1 < len(words); i += 2 {
			p, err := kind.partition(words[i], partitions)
			if err != nil {
				return fmt.Errorf("%s %x: %w", key, words[i], err)
			}
			if p == a.Partition {
				fields = append(fields, words[i])
			}
		}
		return s.eraseFields(ctx, a, key, fields)
	})
}

func (s *Shard) eraseFields(ctx context.Context, a Aside, key string, fields []any) error {
	for len(fields) > 0 {
		n := min(len(fields), eraseFields)
		args := append([]any{asideField(a.Partition), a.Seen}, fields[:n]...)
		began := time.Now()
		if err := overtaken(s.client.Eval(ctx, eraseScript.text, []string{partsKey, key}, args...).Int()); err != nil {
			return err
		}
		restAsLong(ctx, time.Since(began))
		fields = fields[n:]
	}
	return nil
}

// fieldKind tells whose a field of a hash is.
type fieldKind int

const (
	ofHandle  fieldKind = iota // of an account
	ofID                       // of a key or a reservation
	ofChannel                  // partition u16, source u16, or block of the filter u16
)

func (k fieldKind) partition(field string, partitions int) (int, error) {
	switch {
	case k == ofHandle && len(field) == len(journal.Handle{}):
		return journal.Handle([]byte(field)).Partition(partitions), nil
	case k == ofID && len(field) == len(journal.ID{}):
		return journal.ID([]byte(field)).Partition(partitions), nil
	case k == ofChannel && len(field) == 4:
		return int(binary.BigEndian.Uint16([]byte(field))), nil
	}
	return 0, badField([]byte(field))
}

// eachRecord calls fn with the fields and values of every hash that holds partitions' records, some at a time, and leaves the
// shard to others in between.
func (s *Shard) eachRecord(ctx context.Context, fn func(key string, kind fieldKind, words []string) error) error {
	slices, err := s.sliceKeys(ctx)
	if err != nil {
		return err
	}
	kinds := map[string]fieldKind{accountsKey: ofHandle, detailsKey: ofHandle, reservationsKey: ofID, deliveredKey: ofChannel, filterKey: ofChannel}
	for _, key := range slices {
		kinds[key] = ofID
	}
	for key, kind := range kinds {
		if err := s.eachPage(ctx, key, restAsLong, func(words []string) error { return fn(key, kind, words) }); err != nil {
			return err
		}
	}
	return nil
}

// DumpPart reads one partition into a Book in memory, as Dump does; one that is frozen as it stands. While trains of it run, it
// shows no moment that ever was. gently: the others' trains come first. ErrOvertaken: it is not here, or has gone meanwhile.
func (s *Shard) DumpPart(ctx context.Context, partition, partitions int, gently bool) (*journal.Book, error) {
	d := s.dumperOf(partition, partitions, gently)
	b := d.book(partition)
	before, err := s.partRecord(ctx, partition)
	if err == nil {
		err = b.ParsePart([]byte(before)) // its cut-off says what is not in the Book any more
	}
	if err == nil {
		err = d.all(ctx)
	}
	if err != nil {
		return nil, s.fault("dump", err)
	}
	after, err := s.partRecord(ctx, partition) // not gone meanwhile, with all that was
	if err == nil && len(after) != len(before) {
		err = ErrOvertaken
	}
	return b, s.fault("dump", err)
}

func (s *Shard) dumperOf(partition, partitions int, gently bool) *dumper {
	d := &dumper{Shard: s, partitions: partitions, books: map[int]*journal.Book{}, only: func(kind fieldKind, field string) bool {
		p, err := kind.partition(field, partitions)
		return err != nil || p == partition // what is no field is told where it is read
	}}
	if gently {
		d.pace = restAsLong
	}
	return d
}

// partRecord is the record of a partition that serves here or is frozen. ErrOvertaken: there is none.
func (s *Shard) partRecord(ctx context.Context, partition int) (string, error) {
	words, err := s.client.HMGet(ctx, partsKey, partitionField(partition), asideField(partition)).Result()
	if err != nil {
		return "", err
	}
	if serves, ok := words[0].(string); ok {
		return serves, nil
	}
	if aside, ok := words[1].(string); ok && aside[0] == asideFrozen {
		return frozenRecord(aside), nil
	}
	return "", ErrOvertaken
}
