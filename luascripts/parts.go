package luascripts

import (
	"context"
	"encoding/binary"
	"fmt"

	"walletd/journal"
)

// Part is a partition's record in its shard: how far it is, and for whom it serves.
type Part struct {
	Partition int
	Epoch     uint32
	Seq       uint64 // of its last event
	TimeMS    int64  // of its last event
	EvictedMS int64  // the cut-off of its last eviction
}

// Parts answers the partitions that serve in the shard; an empty one answers none.
func (s *Shard) Parts(ctx context.Context) (map[int]Part, error) {
	all, err := s.client.HGetAll(ctx, partsKey).Result()
	if err != nil {
		return nil, s.fault("read the parts of", err)
	}
	parts, err := parseParts(all)
	return parts, s.fault("read the parts of", err)
}

func parseParts(all map[string]string) (map[int]Part, error) {
	parts := make(map[int]Part, len(all))
	for field, value := range all {
		if len(field) != partitionFieldSize {
			continue // counterField, loaderField, leaseField
		}
		p := Part{Partition: int(binary.BigEndian.Uint16([]byte(field)))}
		if err := p.parse([]byte(value)); err != nil {
			return nil, err
		}
		parts[p.Partition] = p
	}
	return parts, nil
}

const partitionFieldSize = 2

func partitionField(partition int) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(partition)))
}

func (p *Part) parse(b []byte) error {
	var book journal.Book
	if err := book.ParsePart(b); err != nil {
		return fmt.Errorf("partition %d: %w", p.Partition, err)
	}
	p.Epoch, p.Seq, p.TimeMS, p.EvictedMS = book.Epoch, book.Seq, book.TimeMS, book.EvictedMS
	return nil
}

// Claim is what a new keeper asks of a partition: go on in its epoch, if the shard is where the keeper has seen it.
type Claim struct {
	Seen  Part   // partition, epoch and seq as the keeper saw them; the time does not matter
	Epoch uint32 // the new epoch
}

// Fenced answers a claim.
type Fenced struct {
	Part  Part // what is there, after the claim
	Found bool // the partition has a record; without one it does not serve, and Load makes it
	Done  bool // it is in the claimed epoch now
}

// Fence sets the epoch of each claimed partition whose record has the epoch and seq that the keeper saw, and answers what
// is there. One script: no train runs in between; each claim stands for itself. A repeat of a claim that was done is Done.
func (s *Shard) Fence(ctx context.Context, claims ...Claim) ([]Fenced, error) {
	var arg []byte
	for _, c := range claims {
		arg = binary.BigEndian.AppendUint16(arg, uint16(c.Seen.Partition))
		arg = appendU56(binary.BigEndian.AppendUint32(arg, c.Seen.Epoch), c.Seen.Seq)
		arg = binary.BigEndian.AppendUint32(arg, c.Epoch)
	}
	text, err := s.runScript(ctx, fenceScript, []string{partsKey}, arg)
	if err != nil {
		return nil, s.fault("fence", err)
	}
	reply := []byte(text)
	const size = 1 + journal.PartSize
	if len(reply) != size*len(claims) {
		return nil, s.fault("fence", fmt.Errorf("%w: %d bytes for %d claims", ErrBadReply, len(reply), len(claims)))
	}
	fenced := make([]Fenced, len(claims))
	for i, c := range claims {
		b := reply[i*size:]
		fenced[i] = Fenced{Part: Part{Partition: c.Seen.Partition}, Found: b[0] != fenceMissing, Done: b[0] == fenceDone}
		if err := fenced[i].Part.parse(b[1:size]); err != nil {
			return nil, s.fault("fence", err)
		}
	}
	return fenced, nil
}

// claimSize is the length of a packed claim, bytes: partition u16, seen epoch u32, seen seq u56, new epoch u32.
const claimSize = 2 + 4 + 7 + 4

// What fence.lua says about a claim.
const (
	fenceMissing = 0
	fenceDone    = 1
	fenceOther   = 2
)
