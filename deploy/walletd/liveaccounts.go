package walletd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"walletd/journal"
	"walletd/luascripts"
	"walletd/projector/reconcile"
	"walletd/shardrouter"
)

// liveAccounts reads accounts of the map's shards for auditors, over one connection to each: nothing that moves money waits for it.
// Its zero value has no connection; Close gives up those that it has made.
type liveAccounts struct {
	source shardrouter.Source

	mu    sync.Mutex
	shard map[string]*luascripts.Shard // by address
}

var _ reconcile.Accounts = (*liveAccounts)(nil)

// Accounts implements reconcile.Accounts.
func (l *liveAccounts) Accounts(ctx context.Context, partition int, handles []journal.Handle) (m reconcile.Moment, err error) {
	now := l.source.Current()
	if now == nil || partition >= len(now.Partitions) {
		return m, fmt.Errorf("partition %d: %w", partition, reconcile.ErrNotServed)
	}
	id := now.Partitions[partition].Shard
	s := now.Shards[id]
	if s.Primary == "" || s.State != shardrouter.StateServing {
		return m, fmt.Errorf("shard %s, partition %d: %w", id, partition, reconcile.ErrNotServed)
	}
	shard, err := l.open(s.Primary)
	if err != nil {
		return m, err
	}
	st, err := shard.Accounts(ctx, partition, handles)
	switch {
	case err != nil:
		return m, err
	case !st.Serves || st.Part.Epoch < now.Partitions[partition].Epoch:
		return m, fmt.Errorf("shard %s, partition %d: %w", id, partition, reconcile.ErrNotServed)
	}
	return reconcile.Moment{Shard: id, Epoch: st.Part.Epoch, Seq: st.Part.Seq, Accounts: st.Accounts, Found: st.Found}, nil
}

// open answers the client of an address. There are as many as the map has had primaries.
func (l *liveAccounts) open(addr string) (*luascripts.Shard, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.shard[addr]; s != nil {
		return s, nil
	}
	s, err := luascripts.Open(luascripts.Config{Addr: addr, PoolSize: 1, ReadTimeout: time.Second, PoolTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	if l.shard == nil {
		l.shard = map[string]*luascripts.Shard{}
	}
	l.shard[addr] = s
	return s, nil
}

// Close gives up the connections.
func (l *liveAccounts) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.shard {
		errs = append(errs, s.Close())
	}
	l.shard = nil
	return errors.Join(errs...)
}
