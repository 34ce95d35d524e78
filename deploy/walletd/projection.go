package walletd

import (
	"context"
	"errors"

	"walletd/gateway"
	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/projector/view"
)

// projection hands the read models to the gateway, in the gateway's words.
type projection struct {
	view   *view.View
	assets journal.Assets
	folds  folds
}

// folds is the projector, as those who read what it has folded need it.
type folds interface {
	// CatchUp folds what the partitions' logs have now. When it fails, what is folded is the answer, and says its position.
	CatchUp(ctx context.Context, partitions ...int) error
	Behind(partition int) uint64
}

// now folds what there is of a partition before it is read.
func (p *projection) now(ctx context.Context, partition int) { _ = p.folds.CatchUp(ctx, partition) }

func (p *projection) nowOf(ctx context.Context, account string) {
	p.now(ctx, journal.HandleOf(account).Partition(p.view.Partitions()))
}

var _ gateway.Projection = (*projection)(nil)

func (p *projection) Wait(ctx context.Context, at journal.Position) error {
	return p.view.WaitFor(ctx, at)
}

func (p *projection) Lag(partition int) uint64 { return p.folds.Behind(partition) }

func (p *projection) Transfer(ctx context.Context, id journal.ID) (reply wire.TransferReply, at journal.Position, ok bool, err error) {
	t, ok, err := p.transfer(ctx, id)
	if err != nil || !ok || (t.Of != journal.OpTransfer && t.Of != journal.OpPay) {
		return reply, at, false, err
	}
	reply = wire.TransferReply{ID: t.ID, Key: t.Key, From: t.PayerID, To: t.PayeeID, Amount: t.Amount, Asset: p.assets.Code(t.Asset),
		Reference: t.Reference, Status: "confirmed", Position: t.Event, CreatedMS: t.TimeMS}
	if !t.Status.Accepted() {
		reply.Status, reply.Code, reply.Side = "refused", t.Status.Code(), t.Status.Side()
	}
	for _, l := range t.Legs {
		reply.Legs = append(reply.Legs, wire.LegReply{Account: l.AccountID, Direction: string(l.Direction), Amount: l.Amount, Partition: l.Partition, Phase: string(l.Phase)})
	}
	return reply, t.Position, true, nil
}

// transfer is what home has, and then what the partitions have to which its legs were still on their way.
func (p *projection) transfer(ctx context.Context, id journal.ID) (view.Transfer, bool, error) {
	p.now(ctx, id.Partition(p.view.Partitions()))
	t, ok, err := p.view.TransferWithLegs(id)
	var there []int
	for _, l := range t.Legs {
		if l.Phase == view.PhaseTried {
			there = append(there, l.Partition)
		}
	}
	if err != nil || len(there) == 0 {
		return t, ok, err
	}
	_ = p.folds.CatchUp(ctx, there...) // as with now
	return p.view.TransferWithLegs(id)
}

func (p *projection) Entries(ctx context.Context, account string, q gateway.EntriesQuery) (s gateway.Statement, ok bool, err error) {
	p.nowOf(ctx, account)
	o := view.EntriesOptions{Cursor: q.Cursor, Limit: q.Limit, FromMS: q.FromMS, ToMS: q.ToMS, Direction: view.Direction(q.Direction), Kind: q.Kind,
		AmountMin: q.AmountMin, AmountMax: q.AmountMax, ID: q.ID, Reference: q.Reference}
	if q.Counterparty != "" {
		o.Counterparty = journal.HandleOf(q.Counterparty)
	}
	st, ok, err := p.view.Entries(journal.HandleOf(account), o)
	if len(st.Homes) > 0 && err == nil {
		_ = p.folds.CatchUp(ctx, st.Homes...) // as with now
		st, ok, err = p.view.Entries(journal.HandleOf(account), o)
	}
	if err != nil || !ok {
		return s, false, translate(err)
	}
	s = gateway.Statement{Items: make([]wire.EntryReply, len(st.Data)), Next: st.Next, Position: st.Position}
	s.Account, s.Asset = account, p.assets.Code(st.Asset)
	s.Opening, s.Closing = boundReply(&st.Opening), boundReply(&st.Closing)
	for i := range st.Data {
		s.Items[i] = entryReply(account, &st.Data[i])
	}
	return s, true, nil
}

func boundReply(b *view.Balance) wire.BoundReply {
	return wire.BoundReply{Available: b.Available, Reserved: b.Reserved, Version: b.Version}
}

func entryReply(account string, e *view.Entry) wire.EntryReply {
	reply := wire.EntryReply{Account: account, Version: e.Version, Kind: e.Kind(), Direction: string(e.Direction()), Amount: e.Amount,
		AvailableChange: e.AvailableChange, ReservedChange: e.ReservedChange, AvailableAfter: e.AvailableAfter, ReservedAfter: e.ReservedAfter,
		Counterparty: e.CounterpartyID, Reference: e.Reference, CreatedMS: e.TimeMS, Position: e.Position}
	switch e.Of {
	case journal.OpOpen, journal.OpAlter:
	case journal.OpTransfer, journal.OpPay:
		reply.Transfer = e.ID
	default:
		reply.Reservation = e.ID
	}
	return reply
}

func (p *projection) BalanceAt(_ context.Context, account string, at gateway.At) (reply wire.BalanceReply, ok bool, err error) {
	var b view.Balance
	if h := journal.HandleOf(account); at.Position.Seq != 0 {
		b, ok, err = p.view.BalanceBehind(h, at.Position.Seq)
	} else {
		b, ok, err = p.view.BalanceAt(h, at.MS)
	}
	return wire.BalanceReply{Account: account, Asset: p.assets.Code(b.Asset), Available: b.Available, Reserved: b.Reserved, Version: b.Version, Position: b.Position}, ok, err
}

func (p *projection) WaitPast(ctx context.Context, partition int, atMS int64) error {
	p.now(ctx, partition)
	return p.view.WaitPast(ctx, partition, atMS)
}

// reservationStatus are the words that a list can be asked for.
var reservationStatus = map[string]journal.Status{"": journal.None, "tried": journal.Tried, "confirmed": journal.Confirmed, "cancelled": journal.Cancelled, "expired": journal.Expired}

func (p *projection) Reservations(ctx context.Context, account, status, cursor string, limit int) ([]wire.ReservationReply, string, journal.Position, bool, error) {
	p.nowOf(ctx, account)
	page, ok, err := p.view.Reservations(journal.HandleOf(account), view.ReservationsOptions{Status: reservationStatus[status], Cursor: cursor, Limit: limit})
	if err != nil || !ok {
		return nil, "", journal.Position{}, false, translate(err)
	}
	items := make([]wire.ReservationReply, len(page.Data))
	for i := range page.Data {
		r := &page.Data[i]
		items[i] = wire.ReservationReply{ID: r.ID, Key: r.Key, From: r.PayerID, To: r.ToID, Amount: r.Amount, Remaining: r.Remaining, Captured: r.Captured,
			Asset: p.assets.Code(r.Asset), Reference: r.Reference, Status: r.Status.Code(), Position: r.Event, CreatedMS: r.CreatedMS, ExpiresMS: r.ExpiresMS}
	}
	return items, page.Next, page.Position, true, nil
}

// translate turns the store's errors into the gateway's, at this door.
func translate(err error) error {
	if errors.Is(err, view.ErrBadCursor) {
		return errors.Join(gateway.ErrBadCursor, err)
	}
	return err
}
