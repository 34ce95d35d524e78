package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/view"
)

// Sink hears of the accounts that it watches. Told comes on the goroutines that fold, one call at a time for a partition's events but also
// from who calls Watch: it must return at once, may not call the Watch, and does not keep the slice.
type Sink interface {
	Told(partition int, news []public.News)
}

// ErrTooMany says that more events are asked for than are told at once.
var ErrTooMany = errors.New("more events than are told at once")

// Watch knows who watches which account. All methods may be called from several goroutines.
type Watch struct {
	view  *view.View
	parts []*part

	mu    sync.Mutex // guards known
	known map[journal.Handle]string
}

// part is a partition: the Listener of its fold.
type part struct {
	*Watch
	partition int
	count     atomic.Int64 // accounts that are watched

	mu      sync.Mutex // guards the rest
	watched map[journal.Handle][]Sink
	fresh   map[journal.Handle]struct{} // watched since the last commit: they may have changed in the open batch before
	open    []public.News               // of the open batch

	telling []public.News // owned by Committed
}

var _ view.Listener = (*part)(nil)

// New makes a Watch over a view.
func New(v *view.View) *Watch {
	w := &Watch{view: v, known: map[journal.Handle]string{}}
	for p := range v.Partitions() {
		w.parts = append(w.parts, &part{Watch: w, partition: p, watched: map[journal.Handle][]Sink{}, fresh: map[journal.Handle]struct{}{}})
	}
	return w
}

// Listener is what a partition's fold is to be given.
func (w *Watch) Listener(partition int) view.Listener { return w.parts[partition] }

// Watched reports whether an account of the partition is watched.
func (w *Watch) Watched(partition int) bool { return w.parts[partition].count.Load() > 0 }

// Accounts is the number of accounts that are watched.
func (w *Watch) Accounts() (n int) {
	for _, pt := range w.parts {
		n += int(pt.count.Load())
	}
	return n
}

// Watch begins to tell a sink of an account: at once the version that it has. The account need not exist yet. Errors: view.ErrStore.
func (w *Watch) Watch(account string, to Sink) error {
	h := journal.HandleOf(account)
	w.learn(h, account)
	pt := w.parts[h.Partition(len(w.parts))]
	pt.mu.Lock()
	sinks := pt.watched[h]
	first := len(sinks) == 0 && pt.count.Add(1) == 1
	if !slices.Contains(sinks, to) {
		pt.watched[h] = append(sinks, to)
	}
	pt.fresh[h] = struct{}{}
	pt.mu.Unlock()
	if first {
		w.view.Hasten(pt.partition) // it may have meant to rest, as nobody watched
	}
	news, err := w.versions([]journal.Handle{h})
	if err != nil {
		return fmt.Errorf("watch %s: %w", account, err)
	}
	to.Told(pt.partition, news)
	return nil
}

// Unwatch ends it. What is being told at the moment may still come.
func (w *Watch) Unwatch(account string, to Sink) {
	h := journal.HandleOf(account)
	pt := w.parts[h.Partition(len(w.parts))]
	pt.mu.Lock()
	defer pt.mu.Unlock()
	sinks := pt.watched[h]
	i := slices.Index(sinks, to)
	if i < 0 {
		return
	}
	if sinks = slices.Delete(slices.Clone(sinks), i, i+1); len(sinks) > 0 {
		pt.watched[h] = sinks
		return
	}
	delete(pt.watched, h)
	delete(pt.fresh, h)
	pt.count.Add(-1)
}

// Changed implements view.Listener.
func (pt *part) Changed(e *journal.Event, r *journal.Row, number int, c journal.Change) {
	if pt.count.Load() == 0 {
		return
	}
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if len(pt.watched[c.Account]) == 0 {
		return
	}
	pt.open = append(pt.open, newsOf(e, r, number, &c))
}

func newsOf(e *journal.Event, r *journal.Row, number int, c *journal.Change) public.News {
	event := public.Of(e, r, number, c)
	event.Keep()
	n := public.News{Account: c.Account, Version: c.After.Version, Event: &event}
	if c.Other == r.To {
		n.Counterparty = string(r.ToText)
	}
	return n
}

// Dropped implements view.Listener.
func (pt *part) Dropped() {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.open = nil
}

// Committed implements view.Listener.
func (pt *part) Committed() {
	pt.mu.Lock()
	if len(pt.open) == 0 && len(pt.fresh) == 0 {
		pt.mu.Unlock()
		return
	}
	news, fresh := pt.open, slices.Collect(maps.Keys(pt.fresh))
	pt.open = pt.telling[:0]
	clear(pt.fresh)
	pt.mu.Unlock()
	_ = pt.name(news) // a name that cannot be read is left to who asks for it
	if len(fresh) > 0 {
		// When the store fails, the fold ends with it: nobody is told anything any more.
		versions, _ := pt.versions(fresh)
		news = append(news, versions...)
	}
	pt.tell(news)
	clear(news)
	if cap(news) > keptMax {
		news = nil
	}
	pt.telling = news[:0]
}

// keptMax is how many news a partition keeps room for.
const keptMax = 4096

// tell hands every sink its news.
func (pt *part) tell(news []public.News) {
	pt.mu.Lock()
	only, several := Sink(nil), false
	per := map[Sink][]public.News{}
	for i := range news {
		for _, s := range pt.watched[news[i].Account] {
			if only == nil {
				only = s
			}
			several = several || s != only
		}
	}
	if several {
		for i := range news {
			for _, s := range pt.watched[news[i].Account] {
				per[s] = append(per[s], news[i])
			}
		}
	} else if only != nil {
		per[only] = news // some may not be watched any more: who hears of them passes them over
	}
	pt.mu.Unlock()
	for s, of := range per {
		s.Told(pt.partition, of)
	}
}

// versions reads how far accounts are.
func (w *Watch) versions(accounts []journal.Handle) (news []public.News, err error) {
	r := w.view.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	for _, h := range accounts {
		v, err := r.Version(h)
		if err != nil {
			return nil, err
		}
		news = append(news, public.News{Account: h, Version: v})
	}
	return news, nil
}

// Since answers every event of an account behind a version that is folded, oldest first. Errors: ErrTooMany: there are more than limit;
// view.ErrStore.
func (w *Watch) Since(_ context.Context, account string, version uint64, limit int) (news []public.News, err error) {
	r := w.view.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	fits, err := r.Versions(journal.HandleOf(account), version, limit, func(e *journal.Event, row *journal.Row, number int, c journal.Change) error {
		news = append(news, newsOf(e, row, number, &c))
		return nil
	})
	if err == nil && !fits {
		err = ErrTooMany
	}
	if err == nil {
		err = w.nameFrom(r, news)
	}
	if err != nil {
		return nil, fmt.Errorf("events of %s behind version %d: %w", account, version, err)
	}
	return news, nil
}
