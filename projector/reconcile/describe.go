package reconcile

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"walletd/journal"
	"walletd/projector/view"
)

// Names are the ids of the accounts that a replay has heard of: opened, or named by a payer.
type Names map[journal.Handle]string

// Learn takes the names that a row has.
func (n Names) Learn(r *journal.Row) {
	switch {
	case r.Op == journal.OpOpen || r.Op == journal.OpAlter:
		var d journal.AccountDetails
		if json.Unmarshal(r.Text, &d) == nil && d.ID != "" {
			n[r.Account] = d.ID
		}
	case len(r.ToText) > 0 && n[r.To] == "":
		n[r.To] = string(r.ToText)
	}
}

// Of is the account's id, handle:… when none is known, "" for nobody.
func (n Names) Of(h journal.Handle) string {
	if h.IsZero() {
		return ""
	}
	if p, asset, ok := h.Suspense(); ok {
		return view.SuspenseID(p, asset)
	}
	if id := n[h]; id != "" {
		return id
	}
	return unknown(h)
}

// Description is an event in words: its JSON is a line of `journal cat -o json`, its String one of `journal cat`.
type Description struct {
	Position string `json:"position"` // of an epoch's start or a dropped frame: only the partition is meant
	Offset   int64  `json:"offset"`
	Time     string `json:"time,omitempty"` // RFC 3339, UTC, milliseconds
	Op       string `json:"op"`             // of the act; epoch_started, dropped
	Status   string `json:"status,omitempty"`
	Side     string `json:"side,omitempty"`

	ID          string `json:"id,omitempty"`
	Reservation string `json:"reservation,omitempty"`
	Key         string `json:"key,omitempty"`
	Account     string `json:"account,omitempty"` // opened, altered; the payer
	To          string `json:"to,omitempty"`
	Amount      int64  `json:"amount,omitempty"` // minor units; a confirm's 0 is all that remains
	Asset       string `json:"asset,omitempty"`
	Reference   string `json:"reference,omitempty"`
	ExpiresInS  uint32 `json:"expires_in_s,omitempty"`
	Final       *bool  `json:"final,omitempty"`
	Keeper      string `json:"keeper,omitempty"`

	Issuance       bool   `json:"issuance,omitempty"`
	Frozen         string `json:"frozen,omitempty"` // sending, receiving, both
	Closed         bool   `json:"closed,omitempty"`
	OverdraftLimit int64  `json:"overdraft_limit,omitempty"`

	Source    *int         `json:"source,omitempty"` // deliver: the payer's partition, and the seqs of its journal
	From      *uint64      `json:"from,omitempty"`
	UpTo      uint64       `json:"up_to,omitempty"`
	Delivered []LegText    `json:"delivered,omitempty"`
	Decided   []LegText    `json:"decided,omitempty"` // with Fold: credits for other partitions
	Changes   []ChangeText `json:"changes,omitempty"` // with Fold
}

// LegText is a credit that a channel carries.
type LegText struct {
	Of     string `json:"of"`
	ID     string `json:"id"`
	Payer  string `json:"payer"`
	Payee  string `json:"payee"`
	Amount int64  `json:"amount"`
	Asset  string `json:"asset"`
}

// ChangeText is one version of an account.
type ChangeText struct {
	Account   string `json:"account"`
	Version   uint64 `json:"version"`
	Available int64  `json:"available"`
	Reserved  int64  `json:"reserved"`
	Flagged   bool   `json:"flagged,omitempty"`
}

// Describe puts what was replayed into words.
func (r *Replayed) Describe(assets journal.Assets) Description {
	d := Description{Offset: r.Offset}
	switch {
	case r.Event == nil && r.Epoch == nil:
		d.Position, d.Op, d.Status = fmt.Sprintf("%d", r.Partition), "dropped", string(r.Dropped)
	case r.Event == nil:
		name, timeMS := r.Keeper()
		d.Position, d.Op, d.Keeper, d.Time = fmt.Sprintf("%d.%d", r.Partition, r.Epoch.Epoch), "epoch_started", name, timeText(timeMS)
	default:
		d.event(r.Event, &r.Row, r.Names, assets)
		for i := range r.Legs {
			d.Decided = append(d.Decided, legText(&r.Legs[i], r.Names, assets))
		}
		for i := range r.Changes {
			c := &r.Changes[i]
			d.Changes = append(d.Changes, ChangeText{r.Names.Of(c.Account), c.After.Version, int64(c.After.Available), int64(c.After.Reserved), c.Flagged})
		}
	}
	return d
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

func (d *Description) event(e *journal.Event, r *journal.Row, names Names, assets journal.Assets) {
	at := e.Position
	d.Position, d.Time = at.String(), timeText(e.TimeMS)
	d.Op, d.Status, d.Side = r.Op.String(), e.Status.Code(), e.Status.Side()
	d.Account, d.To = names.Of(r.Account), names.Of(r.To)
	d.Key, d.Reference, d.Amount, d.ExpiresInS = string(r.Key), string(r.Reference), int64(r.Amount), r.ExpiresInS
	switch r.Op {
	case journal.OpOpen, journal.OpAlter:
		d.account(r, assets)
	case journal.OpTransfer, journal.OpPay:
		d.ID, d.Asset = r.ID.Text(journal.TransferPrefix), assets.Code(r.Asset)
	case journal.OpReserve:
		d.ID, d.Asset = r.ID.Text(journal.ReservationPrefix), assets.Code(r.Asset)
	case journal.OpConfirm:
		final := r.Final // the row is reused
		d.ID, d.Reservation, d.Final = hexOf(r.ID[:]), r.Reservation.Text(journal.ReservationPrefix), &final
	case journal.OpCancel, journal.OpExpire:
		d.Reservation = r.ID.Text(journal.ReservationPrefix)
	case journal.OpDeliver:
		source, from := r.Source, r.From
		d.Source, d.From, d.UpTo = &source, &from, r.UpTo
		for i := range r.LegCount {
			l := r.Leg(i)
			d.Delivered = append(d.Delivered, legText(&l, names, assets))
		}
	default: // no act that is journaled
	}
}

func (d *Description) account(r *journal.Row, assets journal.Assets) {
	if r.Op == journal.OpOpen {
		d.Asset = assets.Code(r.Asset)
	}
	d.Issuance, d.Closed, d.OverdraftLimit = r.Flags.Has(journal.Issuance), r.Flags.Has(journal.Closed), int64(r.OverdraftLimit)
	switch {
	case r.Flags.Has(journal.FrozenSending | journal.FrozenReceiving):
		d.Frozen = "both"
	case r.Flags.Has(journal.FrozenSending):
		d.Frozen = "sending"
	case r.Flags.Has(journal.FrozenReceiving):
		d.Frozen = "receiving"
	}
}

func legText(l *journal.Leg, names Names, assets journal.Assets) LegText {
	id := l.ID.Text(journal.TransferPrefix)
	if l.Of == journal.OpConfirm {
		id = l.ID.Text(journal.ReservationPrefix)
	}
	return LegText{l.Of.String(), id, names.Of(l.Payer), names.Of(l.Payee), int64(l.Amount), assets.Code(l.Asset)}
}

// String is the event in one line.
func (d Description) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %-24s %-8s", d.Position, d.Time, d.Op)
	word := func(format string, v any, shown bool) {
		if shown {
			fmt.Fprintf(&b, " "+format, v)
		}
	}
	word("%s", d.Side+" "+d.Status, d.Side != "")
	word("%s", d.Status, d.Side == "" && d.Status != "")
	word("%s", d.Account, d.Account != "")
	word("→ %s", d.To, d.To != "")
	word("%d", d.Amount, d.Amount != 0)
	word("%s", d.Asset, d.Asset != "")
	word("%s", d.ID, d.ID != "")
	word("of %s", d.Reservation, d.Reservation != "")
	word("key %q", d.Key, d.Key != "")
	word("reference %q", d.Reference, d.Reference != "")
	word("expires in %d s", d.ExpiresInS, d.ExpiresInS != 0)
	word("by %s", d.Keeper, d.Keeper != "")
	word("issuance%s", "", d.Issuance)
	word("frozen: %s", d.Frozen, d.Frozen != "")
	word("closed%s", "", d.Closed)
	word("overdraft limit %d", d.OverdraftLimit, d.OverdraftLimit != 0)
	if d.Source != nil {
		fmt.Fprintf(&b, " from partition %d seq %d…%d", *d.Source, *d.From, d.UpTo)
	}
	for _, l := range d.Delivered {
		fmt.Fprintf(&b, "\n    %s %s: %d %s from %s to %s", l.Of, l.ID, l.Amount, l.Asset, l.Payer, l.Payee)
	}
	for _, c := range d.Changes {
		fmt.Fprintf(&b, "\n    %s version %d: available %d reserved %d", c.Account, c.Version, c.Available, c.Reserved)
		if c.Flagged {
			b.WriteString(" (flagged)")
		}
	}
	for _, l := range d.Decided {
		fmt.Fprintf(&b, "\n    to be delivered: %d %s to %s", l.Amount, l.Asset, l.Payee)
	}
	return b.String()
}
