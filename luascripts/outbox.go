package luascripts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"walletd/journal"
)

// OutboxEntry is what one train left to be journaled. Ids are 1, 2, 3, … for as long as the Redis lives unwiped.
type OutboxEntry struct {
	ID       uint64
	sections []byte
}

// NewOutboxEntry is an entry whose sections came from elsewhere than ReadOutbox, packed as train.lua does.
func NewOutboxEntry(id uint64, sections []byte) OutboxEntry {
	return OutboxEntry{ID: id, sections: sections}
}

// Happened is a run of events of one partition, contiguous, from one train.
type Happened struct {
	Partition int
	FirstSeq  uint64
	journal.Block
}

// LastSeq is the seq of the run's last event.
func (h Happened) LastSeq() uint64 { return h.FirstSeq + uint64(h.Count) - 1 }

const happenedHeadSize = 2 + 4 + 7 + 7 + 2 + 4

// ErrBadEntry says that bytes are no outbox entry.
var ErrBadEntry = errors.New("bad outbox entry")

// Each calls fn for every partition in the entry, until it answers an error. The events share memory with the entry.
func (e OutboxEntry) Each(fn func(Happened) error) error {
	for b := e.sections; len(b) > 0; {
		if len(b) < happenedHeadSize {
			return fmt.Errorf("%w %d: head cut short", ErrBadEntry, e.ID)
		}
		h := Happened{Partition: int(binary.BigEndian.Uint16(b)), FirstSeq: u56(b[6:])}
		h.Epoch, h.TimeMS = binary.BigEndian.Uint32(b[2:]), int64(u56(b[13:]))
		h.Count = int(binary.BigEndian.Uint16(b[20:]))
		size := uint64(binary.BigEndian.Uint32(b[22:]))
		b = b[happenedHeadSize:]
		if size > uint64(len(b)) || h.Count == 0 || h.FirstSeq == 0 {
			return fmt.Errorf("%w %d: partition %d: %d events in %d of %d bytes", ErrBadEntry, e.ID, h.Partition, h.Count, size, len(b))
		}
		h.Events, b = b[:size:size], b[size:]
		if err := fn(h); err != nil {
			return err
		}
	}
	return nil
}

// outboxWithin is how long a read of the outbox may take, besides its waiting.
const outboxWithin = 2 * time.Second

// ReadOutbox answers up to limit entries behind the id after, in order; none when nothing came within wait, during which it
// blocks, a context that ends notwithstanding. wait 0 does not block.
func (s *Shard) ReadOutbox(ctx context.Context, after uint64, limit int, wait time.Duration) ([]OutboxEntry, error) {
	if wait < time.Millisecond {
		wait = -1 // to the client 0 means for ever
	}
	// The client would give a blocking read ten seconds more, and a shard that is frozen is not to hold its keeper up so long.
	ctx, cancel := context.WithTimeout(ctx, max(wait, 0)+outboxWithin)
	defer cancel()
	streams, err := s.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{outboxKey, entryID(after)}, Count: int64(limit), Block: wait,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fault("read the outbox of", err)
	}
	var entries []OutboxEntry
	for _, stream := range streams {
		for _, m := range stream.Messages {
			e, err := parseEntry(m)
			if err != nil {
				return nil, s.fault("read the outbox of", err)
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func parseEntry(m redis.XMessage) (OutboxEntry, error) {
	n, tail, ok := strings.Cut(m.ID, "-")
	id, err := strconv.ParseUint(n, 10, 64)
	if err != nil || !ok || tail != "0" {
		return OutboxEntry{}, fmt.Errorf("%w %q: the id is not n-0", ErrBadEntry, m.ID)
	}
	sections, err := weave(m.Values)
	if err != nil {
		return OutboxEntry{}, fmt.Errorf("%w %d: %w", ErrBadEntry, id, err)
	}
	return OutboxEntry{ID: id, sections: sections}, nil
}

// An entry in the stream: field h has a head and the statuses of every section, fields 1, 2, … have the sections' rows.
const (
	headsField    = "h"
	wovenHeadSize = 2 + 4 + 7 + 7 + 2 // partition u16, epoch u32, first seq u56, time_ms u56, events u16
)

// weave makes the sections of an OutboxEntry from a stream's entry: every row with its status behind it, as the journal keeps it.
func weave(fields map[string]any) ([]byte, error) {
	heads, _ := fields[headsField].(string)
	size := 0
	for _, v := range fields {
		text, _ := v.(string)
		size += len(text) + happenedHeadSize - wovenHeadSize
	}
	woven := make([]byte, 0, size)
	n := 0
	for ; len(heads) > 0; n++ {
		rows, ok := fields[strconv.Itoa(n+1)].(string)
		if !ok || len(heads) < wovenHeadSize {
			return nil, fmt.Errorf("section %d is cut short", n+1)
		}
		events := int(heads[wovenHeadSize-2])<<8 | int(heads[wovenHeadSize-1])
		if events > len(heads)-wovenHeadSize {
			return nil, fmt.Errorf("section %d: %d events, %d bytes of statuses", n+1, events, len(heads)-wovenHeadSize)
		}
		woven = append(woven, heads[:wovenHeadSize]...)
		woven = binary.BigEndian.AppendUint32(woven, uint32(len(rows)+events))
		for _, status := range []byte(heads[wovenHeadSize : wovenHeadSize+events]) {
			if len(rows) < 3 || int(rows[0])<<8|int(rows[1]) < 3 || int(rows[0])<<8|int(rows[1]) > len(rows) {
				return nil, fmt.Errorf("section %d: a row is cut short", n+1)
			}
			size := int(rows[0])<<8 | int(rows[1])
			woven = append(append(woven, rows[:size]...), status&statusMask)
			rows = rows[size:]
		}
		if len(rows) > 0 {
			return nil, fmt.Errorf("section %d: %d bytes behind the last row", n+1, len(rows))
		}
		heads = heads[wovenHeadSize+events:]
	}
	if n == 0 || n+1 != len(fields) {
		return nil, fmt.Errorf("%d fields for %d sections", len(fields), n)
	}
	return woven, nil
}

func entryID(n uint64) string { return strconv.FormatUint(n, 10) + "-0" }

// Trim drops the entries up to and including the id: the journal has them. ErrOvertaken: the shard is served in a higher epoch
// than this one, with an outbox that may count from 1 again; nothing was dropped.
func (s *Shard) Trim(ctx context.Context, epoch uint32, upTo uint64) error {
	answer, err := s.client.Eval(ctx, trimScript.text, []string{partsKey, outboxKey}, binary.BigEndian.AppendUint32(nil, epoch), entryID(upTo+1)).Int()
	return s.fault("trim the outbox of", overtaken(answer, err))
}
