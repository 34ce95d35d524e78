package watch

import (
	"errors"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/view"
)

// namesMax bounds the names that are remembered.
const namesMax = 1 << 16

func (w *Watch) learn(h journal.Handle, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) >= namesMax {
		clear(w.known)
	}
	w.known[h] = id
}

func (w *Watch) recall(h journal.Handle) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[h]
}

// name adds the counterparties' ids, from memory or from the view.
func (w *Watch) name(news []public.News) (err error) {
	var r *view.Reading
	for i := range news {
		n := &news[i]
		if n.Event == nil || n.Counterparty != "" || n.Event.Counterparty.IsZero() {
			continue
		}
		if n.Counterparty = w.recall(n.Event.Counterparty); n.Counterparty != "" {
			continue
		}
		if r == nil {
			r = w.view.Read()
			defer func() { err = errors.Join(err, r.Close()) }()
		}
		if err := w.nameFrom(r, news[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// nameFrom is name with a reading. An account that is folded elsewhere stays without.
func (w *Watch) nameFrom(r *view.Reading, news []public.News) error {
	for i := range news {
		n := &news[i]
		if n.Event == nil || n.Counterparty != "" || n.Event.Counterparty.IsZero() {
			continue
		}
		h := n.Event.Counterparty
		if n.Counterparty = w.recall(h); n.Counterparty != "" {
			continue
		}
		id, err := r.ID(h)
		if err != nil {
			return err
		}
		if n.Counterparty = id; id != "" {
			w.learn(h, id)
		}
	}
	return nil
}
