package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/view"
)

// Place is how far someone has come in a partition: through the changes of all events before Seq, and the first Number of that one's.
// Its zero value is the beginning.
type Place struct {
	Seq    uint64
	Number int
}

// PlaceOf is behind an event.
func PlaceOf(id public.ID) Place { return Place{id.Seq, id.Number} }

// before reports whether the place is before that of the event.
func (p Place) before(id public.ID) bool {
	return p.Seq < id.Seq || p.Seq == id.Seq && p.Number < id.Number
}

// Item is a public event as it is told.
type Item struct {
	ID      public.ID
	Type    public.Type
	Account string
	Version uint64
	TimeMS  int64
	Body    []byte // one JSON object
}

// Bounds say how much is read at once.
type Bounds struct {
	Events int // 0: 500
	Bytes  int // of bodies; 0: 256 KiB. One event at least is read
}

func (b Bounds) full(events, bytes int) bool {
	if b.Events == 0 {
		b.Events = 500
	}
	if b.Bytes == 0 {
		b.Bytes = 256 << 10
	}
	return events >= b.Events || bytes >= b.Bytes
}

// Source reads public events from the projection. All methods may be called from several goroutines.
type Source struct {
	view   *view.View
	assets journal.Assets

	mu    sync.Mutex // guards known
	known map[journal.Handle]string
}

// NewSource reads from a view.
func NewSource(v *view.View, assets journal.Assets) *Source {
	return &Source{view: v, assets: assets, known: map[journal.Handle]string{}}
}

// Partitions is the number of partitions.
func (s *Source) Partitions() int { return s.view.Partitions() }

// ErrNameless says that an event names an account of another partition that is not folded so far: its opening is in the journal, and a
// moment later it is.
var ErrNameless = errors.New("the account that an event names is not folded yet")

// Read answers the events behind a place, as many as the bounds allow, and the place behind them: at the end of what is folded when next is the
// only thing that it answers. Errors: ErrNameless, behind everything before the event; view.ErrStore.
func (s *Source) Read(partition int, from Place, b Bounds) (items []Item, next Place, err error) {
	r := s.view.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	end, err := r.Position(partition)
	if err != nil {
		return nil, from, err
	}
	if end.Seq < from.Seq || end.Seq == from.Seq && from.Number == math.MaxInt {
		return nil, from, nil
	}
	next = from
	var failed error
	size := 0
	err = r.Changes(partition, from.Seq, func(h *view.Happened) (bool, error) {
		id := public.ID{Position: h.Event.Position, Number: h.Number}
		if !from.before(id) {
			return true, nil
		}
		item, err := s.item(r, h, id)
		if err != nil {
			failed = err
			return false, nil
		}
		items, next, size = append(items, item), PlaceOf(id), size+len(item.Body)
		return !b.full(len(items), size), nil
	})
	if err == nil && failed == nil && !b.full(len(items), size) {
		next = Place{end.Seq, math.MaxInt}
	}
	return items, next, errors.Join(err, failed)
}

func (s *Source) item(r *view.Reading, h *view.Happened, id public.ID) (Item, error) {
	var failed error
	name := func(account journal.Handle) string {
		if account.IsZero() {
			return ""
		}
		name, err := s.name(r, h.Row, account)
		if err == nil && name == "" {
			err = fmt.Errorf("%w: event %v names %x, of partition %d", ErrNameless, id, account, account.Partition(s.Partitions()))
		}
		failed = errors.Join(failed, err)
		return name
	}
	e := public.Of(h.Event, h.Row, h.Number, &h.Change)
	item := Item{ID: id, Type: e.Type, Account: name(e.Account), Version: e.Version, TimeMS: e.TimeMS}
	item.Body = e.AppendJSON(make([]byte, 0, 512), name, s.assets)
	return item, failed
}

// namesMax bounds the names that are remembered.
const namesMax = 1 << 16

// name is an account's id, "" where it is not known yet. It never changes, so it is remembered.
func (s *Source) name(r *view.Reading, row *journal.Row, h journal.Handle) (string, error) {
	s.mu.Lock()
	name, ok := s.known[h]
	s.mu.Unlock()
	if ok {
		return name, nil
	}
	name, err := r.Name(h)
	if err == nil && name == "" && row.To == h {
		name = string(row.ToText) // as its payer wrote it
	}
	if err != nil || name == "" {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= namesMax {
		clear(s.known)
	}
	s.known[h] = name
	return name, nil
}

// Wait blocks until something behind the place is folded, which is not done sooner on its behalf, or ctx ends. It fails at once when the
// partition is folded no further.
func (s *Source) Wait(ctx context.Context, partition int, at Place) error {
	return s.view.Follow(ctx, journal.Position{Partition: partition, Seq: at.Seq + 1})
}

// Behind is how many journal events are folded behind a place.
func (s *Source) Behind(partition int, at Place) (uint64, error) {
	end, err := s.view.Position(partition)
	if err != nil || end.Seq < at.Seq {
		return 0, err
	}
	return end.Seq - at.Seq, nil
}
