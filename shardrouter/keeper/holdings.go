package keeper

import (
	"slices"
	"sync"
	"sync/atomic"

	"walletd/luascripts"
)

// holding is a partition that a reign owns.
type holding struct {
	epoch  uint32        // in which: the reign's, or a later one when it came, or came back, while the reign lasted
	at     *atomic.Int64 // offset behind our last durable record
	looked *atomic.Int64 // offset up to which its log has been looked through for a later epoch

	stage stage
}

// stage is where a partition is that comes or goes.
type stage int

const (
	settled  stage = iota
	arriving       // it serves in our shard; the map does not show that yet
	leaving        // it does not serve in our shard any more; the map may still name us
)

// holdings are a reign's partitions. Others come and go while the reign lasts, and nobody else notices.
type holdings struct {
	mu sync.Mutex
	of map[int]holding
}

func newHoldings(epoch uint32, partitions []int) *holdings {
	h := &holdings{of: map[int]holding{}}
	for _, p := range partitions {
		h.add(p, epoch, 0, settled)
	}
	return h
}

// add takes a partition in, whose log is known up to an offset.
func (h *holdings) add(partition int, epoch uint32, offset int64, s stage) {
	at, looked := new(atomic.Int64), new(atomic.Int64)
	at.Store(offset)
	looked.Store(offset)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[partition] = holding{epoch: epoch, at: at, looked: looked, stage: s}
}

// move changes a partition's stage, if it is held.
func (h *holdings) move(partition int, s stage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if own, held := h.of[partition]; held {
		own.stage = s
		h.of[partition] = own
	}
}

func (h *holdings) drop(partition int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, partition)
}

func (h *holdings) get(partition int) (holding, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	own, held := h.of[partition]
	return own, held
}

// serves reports whether the partition serves in our shard, in this epoch.
func (h *holdings) serves(o luascripts.Owned) bool {
	own, held := h.get(o.Partition)
	return held && own.stage != leaving && own.epoch == o.Epoch
}

// served are the partitions that serve in our shard, in rising order.
func (h *holdings) served() []luascripts.Owned {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]luascripts.Owned, 0, len(h.of))
	for _, p := range ordered(h.of) {
		if h.of[p].stage != leaving {
			out = append(out, luascripts.Owned{Partition: p, Epoch: h.of[p].epoch})
		}
	}
	return out
}

// proven are the partitions on which the lease rests: those that serve. One that is arriving is nobody's yet, and may be taken back.
func (h *holdings) proven() []luascripts.Owned {
	return slices.DeleteFunc(h.served(), func(o luascripts.Owned) bool {
		own, _ := h.get(o.Partition)
		return own.stage == arriving
	})
}

// agree reports whether a map that gives us these partitions is one that we expect.
func (h *holdings) agree(own []int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range own {
		if _, held := h.of[p]; !held {
			return false
		}
	}
	for p, hold := range h.of {
		if hold.stage == settled && !slices.Contains(own, p) {
			return false
		}
	}
	return true
}

// shown takes what a map gives us: what was arriving is settled. It answers those that have left, and are another's now.
func (h *holdings) shown(own []int) (gone []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range ordered(h.of) {
		hold, ours := h.of[p], slices.Contains(own, p)
		switch {
		case ours && hold.stage == arriving:
			hold.stage = settled
			h.of[p] = hold
		case !ours && hold.stage == leaving:
			gone = append(gone, p)
		}
	}
	return gone
}

// partitions are all that are held.
func (h *holdings) partitions() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return ordered(h.of)
}
