package shardrouter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// rivalsMax is how often a compare-and-set is tried again before the rivals are
// believed to be endless.
const rivalsMax = 64

// counter is the data of the node shards: the highest epoch ever given in the
// cluster. One counter for all shards, because a partition moves between them,
// and two owners of it must never be in the same epoch.
type counter struct {
	Epoch uint32 `json:"epoch"`
}

// NextEpoch implements Store. One transaction raises the cluster's counter and
// writes the epoch down at the shard.
func (z *ZooKeeper) NextEpoch(ctx context.Context, shard string, partitions []int) (uint32, error) {
	var epoch uint32
	err := z.contend(ctx, func() error {
		var err error
		epoch, err = z.allocate(ctx, shard, partitions)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("next epoch of shard %s: %w", shard, err)
	}
	return epoch, nil
}

func (z *ZooKeeper) allocate(ctx context.Context, shard string, partitions []int) (uint32, error) {
	m, _, err := z.readMap(ctx)
	if err != nil {
		return 0, err
	}
	shown, err := m.highestEpoch(shard, partitions)
	if err != nil {
		return 0, err
	}
	given, version, err := z.readCounter(ctx)
	if err != nil {
		return 0, err
	}
	rec, err := z.readRecord(ctx, shard)
	if err != nil {
		return 0, err
	}
	epoch, err := epochAfter(given, shown, rec.shard.Epoch)
	if err != nil {
		return 0, err
	}
	s := rec.shard
	if !rec.found {
		s = m.Shards[shard]
	}
	s.Epoch = epoch
	count, err := encodeNode("epoch counter", counter{Epoch: epoch})
	if err != nil {
		return 0, err
	}
	recWrite, err := rec.write(s)
	if err != nil {
		return 0, err
	}
	return epoch, z.conn.transact(ctx, write{path: z.paths.shards(), data: count, version: version}, recWrite)
}

// epochAfter is the next epoch after all of those.
func epochAfter(seen ...uint32) (uint32, error) {
	var highest uint32
	for _, e := range seen {
		highest = max(highest, e)
	}
	if highest == math.MaxUint32 {
		return 0, fmt.Errorf("%w: epoch %d is the last there is", ErrInvalid, highest)
	}
	return highest + 1, nil
}

// Publish implements Store. The map and the records of the shards that it changes
// are written in one transaction.
func (z *ZooKeeper) Publish(ctx context.Context, change func(*Map) (*Map, error)) error {
	err := z.contend(ctx, func() error { return z.publish(ctx, change) })
	if err != nil {
		return fmt.Errorf("publish map: %w", err)
	}
	return nil
}

func (z *ZooKeeper) publish(ctx context.Context, change func(*Map) (*Map, error)) error {
	next, writes, err := z.successorWrites(ctx, change)
	if err != nil || next == nil {
		return err
	}
	if err := z.conn.transact(ctx, writes...); err != nil {
		return err
	}
	z.advance(next) // our own process need not wait for its watch
	return nil
}

// successorWrites is the map that change makes of the present one, nil when there
// is nothing to do, and the steps of the transaction that publishes it.
func (z *ZooKeeper) successorWrites(ctx context.Context, change func(*Map) (*Map, error)) (*Map, []write, error) {
	old, version, err := z.readMap(ctx)
	if err != nil {
		return nil, nil, err
	}
	next, err := successor(old, change)
	if err != nil || next == nil {
		return nil, nil, err
	}
	data, err := next.Encode()
	if err != nil {
		return nil, nil, err
	}
	writes := []write{{path: z.paths.clusterMap(), data: data, version: version}}
	for id, s := range next.Shards {
		if was, known := old.Shards[id]; known && was.equal(s) {
			continue
		}
		rec, err := z.readRecord(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		s.Epoch = max(s.Epoch, rec.shard.Epoch) // what has been given stays given
		w, err := rec.write(s)
		if err != nil {
			return nil, nil, err
		}
		writes = append(writes, w)
	}
	return next, writes, nil
}

// contend repeats a compare-and-set while somebody else is faster.
func (z *ZooKeeper) contend(ctx context.Context, try func() error) error {
	var err error
	for range rivalsMax {
		err = try()
		if !errors.Is(err, ErrVersion) && !errors.Is(err, ErrNodeExists) {
			return err
		}
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(20 * time.Millisecond))))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
	return fmt.Errorf("tried %d times: %w", rivalsMax, err)
}

func (z *ZooKeeper) readMap(ctx context.Context) (*Map, int32, error) {
	n, err := z.conn.get(ctx, z.paths.clusterMap())
	if err != nil {
		return nil, 0, err
	}
	m, err := DecodeMap(n.data)
	return m, n.version, err
}

func (z *ZooKeeper) readCounter(ctx context.Context) (uint32, int32, error) {
	n, err := z.conn.get(ctx, z.paths.shards())
	if err != nil {
		return 0, 0, err
	}
	var c counter
	if err := decodeNode("epoch counter", n.data, &c); err != nil {
		return 0, 0, err
	}
	again, err := json.Marshal(c)
	if err != nil {
		return 0, 0, err
	}
	return c.Epoch, n.version, sameForm("epoch counter", n.data, again)
}

// record is the node shards/<s>: the shard as published last, with the highest
// epoch that it was ever given.
type record struct {
	shard   Shard
	path    string
	version int32
	found   bool
}

// readRecord reads a shard's record; one that does not exist yet (the shard was
// added later) is empty.
func (z *ZooKeeper) readRecord(ctx context.Context, id string) (record, error) {
	rec := record{path: z.paths.shard(id)}
	n, err := z.conn.get(ctx, rec.path)
	switch {
	case errors.Is(err, ErrNoNode):
		return rec, nil
	case err != nil:
		return rec, err
	}
	rec.found, rec.version = true, n.version
	if err := decodeNode("shard", n.data, &rec.shard); err != nil {
		return rec, err
	}
	again, err := encodeNode("shard", rec.shard.canonical())
	if err != nil {
		return rec, err
	}
	return rec, sameForm("shard", n.data, again)
}

// write is the step of a transaction that replaces the record.
func (r record) write(s Shard) (write, error) {
	data, err := encodeNode("shard", s.canonical())
	return write{path: r.path, data: data, create: !r.found, version: r.version}, err
}
