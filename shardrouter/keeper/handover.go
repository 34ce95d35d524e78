package keeper

import (
	"sync"

	"walletd/journal/relay"
	"walletd/luascripts"
)

// HandOver gives the keeper a train that has come back to a lane in this process, so that what it left in the shard's outbox need not
// be read there: addr is that of the Redis that ran it, epoch the one in which it was sent; t nil says that a reply is lost, and
// that the outbox may have something. The keeper takes it or not (decision 20): the outbox has it in any case. The train is the
// caller's again when HandOver returns. It does not block, and may be called from any goroutine, whether the keeper reigns or not.
func (k *Keeper) HandOver(addr string, epoch uint32, t *luascripts.Train) {
	k.mu.Lock()
	r := k.reign
	k.mu.Unlock()
	// Only trains of its own epoch, at its own address, are of the process and the history that the reign has compared.
	if r == nil || epoch != r.epoch || addr != r.addr {
		return
	}
	r.handed.take(r, t)
}

// handing is where trains are handed over, one at a time.
type handing struct {
	mu     sync.Mutex
	packed []byte
	batch  relay.Batch
}

func (a *handing) take(r *reign, t *luascripts.Train) {
	if t == nil || !a.offer(r, t) {
		r.outbox.lacks()
	}
}

// offer offers a train's entry to the relay; false: it is to be read.
func (a *handing) offer(r *reign, t *luascripts.Train) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, packed, err := t.AppendEntry(a.packed[:0])
	a.packed = packed
	if err != nil {
		return false
	}
	if id == 0 {
		return true
	}
	a.batch.Sections = a.batch.Sections[:0]
	if err := appendEntry(&a.batch, luascripts.NewOutboxEntry(id, packed)); err != nil || !r.relayer.Offer(&a.batch) {
		return false
	}
	r.outbox.took.Store(now())
	return true
}
