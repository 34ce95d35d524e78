package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"walletd/journal"
	"walletd/projector/reconcile"
	"walletd/projector/view"
)

// Finding is an account whose shard has it otherwise than the fold at the same seq.
type Finding struct {
	Account   string                  `json:"account"`
	Partition int                     `json:"partition"`
	Shard     string                  `json:"shard"`
	Asset     string                  `json:"asset"`
	Position  string                  `json:"position"` // at which the shard was read
	Found     time.Time               `json:"found"`    // for the first time
	Why       reconcile.WhyDifference `json:"why"`
	handle    journal.Handle
	asset     journal.Asset
	epoch     uint32
	have      journal.Account
}

// errBehind says that the projection does not come.
var errBehind = errors.New("the projection is behind")

// compare reads accounts of a shard and holds them against the projection at the seq of that reading. It answers those that differ. An error
// says that nothing can be concluded: the partition is served by nobody, or the projection does not come, or on another history.
func (s *Sweeper) compare(ctx context.Context, partition int, handles []journal.Handle) (wrong []Finding, err error) {
	m, err := s.config.Live.Accounts(ctx, partition, handles)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, partition, m.Seq); err != nil {
		return nil, err
	}
	r := s.config.View.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	e, _, ok, err := r.Event(partition, m.Seq)
	switch {
	case err != nil:
		return nil, err
	case !ok && m.Seq > 0:
		return nil, fmt.Errorf("partition %d: the projection has no event %d", partition, m.Seq)
	case e.Epoch > m.Epoch:
		return nil, fmt.Errorf("partition %d: shard %s served epoch %d, event %v is of a later one", partition, m.Shard, m.Epoch, e.Position)
	}
	compared := map[journal.Asset]int{}
	for i, h := range handles {
		want, there, whole, err := r.AccountAt(h, m.Seq)
		if err != nil {
			return nil, err
		}
		have := m.Accounts[i]
		if m.Found[i] {
			compared[have.Asset]++
		}
		same := m.Found[i] == there && have.Version == want.Version && have.Available == want.Available && have.Reserved == want.Reserved
		if same && (!whole || have == want) {
			s.right(h, whole)
			continue
		}
		f, err := s.finding(r, &m, partition, h, i)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, f)
	}
	s.compared(compared)
	return wrong, nil
}

// finding names the first offending event, from the statement's lines: without reading the journal.
func (s *Sweeper) finding(r *view.Reading, m *reconcile.Moment, partition int, h journal.Handle, i int) (f Finding, err error) {
	a, _, err := r.Account(h)
	if err != nil {
		return f, err
	}
	f = Finding{Account: a.Details.ID, Partition: partition, Shard: m.Shard, asset: a.Asset, Asset: s.config.Assets.Code(a.Asset), handle: h, epoch: m.Epoch, have: m.Accounts[i],
		Position: journal.Position{Partition: partition, Epoch: m.Epoch, Seq: m.Seq}.String()}
	if f.Account == "" {
		f.Account = fmt.Sprintf("handle:%x", h)
	}
	f.Why, err = reconcile.Explain(r, h, m.Seq, "shard "+m.Shard, m.Accounts[i])
	return f, err
}

// await waits until the projection has folded the seq. It looks now and then, and hastens nobody.
func (s *Sweeper) await(ctx context.Context, partition int, seq uint64) error {
	for until := time.Now().Add(s.config.Patience); ; {
		at, err := s.config.View.Position(partition)
		switch {
		case err != nil:
			return err
		case at.Seq >= seq:
			return nil
		case time.Now().After(until) || ctx.Err() != nil:
			return fmt.Errorf("partition %d: %w: it has come to seq %d, the shard to %d", partition, errBehind, at.Seq, seq)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}
