package keeper

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"walletd/journal"
	"walletd/luascripts"
)

// reborn is a shard that was started again with what its outbox has.
type reborn struct {
	Shard
	outbox []luascripts.OutboxEntry
}

func (s *reborn) ReadOutbox(_ context.Context, after uint64, _ int, _ time.Duration) ([]luascripts.OutboxEntry, error) {
	for i, e := range s.outbox {
		if e.ID > after {
			return s.outbox[i:], nil
		}
	}
	return nil, nil
}

// entry is one train's outbox entry: count events of partition 0 from seq first on, in an epoch.
func entry(id uint64, epoch uint32, first uint64, count int) luascripts.OutboxEntry {
	var events []byte
	for range count {
		events = append((&journal.Row{Op: journal.OpExpire}).Append(events), byte(journal.Expired))
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 2), epoch)
	b = append(b, binary.BigEndian.AppendUint64(nil, first)[1:]...)
	b = append(b, make([]byte, 7)...) // its time
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	b = binary.BigEndian.AppendUint32(b, uint32(len(events)))
	return luascripts.NewOutboxEntry(id, append(b, events...))
}

// onePartition is a log of which only that is asked.
type onePartition struct{ journal.Log }

func (onePartition) Partitions() int { return 1 }

// TestNothingOfAnotherHistoryIsJournaled: a Redis that comes back with an older epoch's data while it is served may have events
// with the very seqs that the log lacks.
func TestNothingOfAnotherHistoryIsJournaled(t *testing.T) {
	const ours = 9
	log := onePartition{}
	for _, c := range []struct {
		name  string
		ahead []span
		entry luascripts.OutboxEntry
		taken bool
	}{
		{"our own event", nil, entry(1, ours, 17, 2), true},
		{"what the log has", nil, entry(1, 7, 15, 2), true},
		{"an older epoch's event with the next seq", nil, entry(1, 8, 17, 1), false},
		{"what was adopted", []span{{17, 18, 8}}, entry(1, 8, 17, 2), true},
		{"our own event behind what was adopted", []span{{17, 18, 8}}, entry(1, ours, 19, 1), true},
		{"another epoch's event in place of what was adopted", []span{{17, 18, 8}}, entry(1, 7, 17, 2), false},
		{"less than what was adopted", []span{{17, 18, 8}}, entry(1, 8, 17, 1), false},
		{"an older epoch's event behind what was adopted", []span{{17, 18, 8}}, entry(1, 8, 19, 1), false},
	} {
		r := &reign{Keeper: &Keeper{cfg: Config{Journal: log}.withDefaults()}, epoch: ours, held: newHoldings(ours, []int{0}), shard: &reborn{outbox: []luascripts.OutboxEntry{c.entry}},
			ends: map[int]journal.Cursor{0: {Seq: 16, Epoch: ours}}, ahead: map[int][]span{0: c.ahead}}
		r.outbox = newOutbox(r)
		var err error
		if r.relayer, err = r.relayOf(); err != nil {
			t.Fatal(err)
		}
		batch, err := r.outbox.Next(t.Context())
		if err != nil || len(batch.Sections) != 1 {
			t.Fatalf("%s: %d sections, %v", c.name, len(batch.Sections), err)
		}
		if err := r.continues(&batch.Sections[0]); (err == nil) != c.taken {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
