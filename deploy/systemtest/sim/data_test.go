package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"walletd/journal"
	"walletd/luascripts"
)

// data is what a Redis holds of a wallet.
type data struct {
	parts  map[int]*part
	window *window
	loader string // its token; "" = nobody loads
	loads  uint32 // the loader's epoch
	keeper uint32 // the epoch of the keeper that admitted trains last
	lease  int64  // until when it may run trains, ms in its own clock
	outbox []luascripts.OutboxEntry
	last   uint64 // outbox entry
}

func nothing() data { return data{parts: map[int]*part{}, window: &window{}} }

// part is a partition's records and where it is: it serves, or it stands aside (luascripts, move.go), or neither.
type part struct {
	book    *journal.Book // its State is records
	serves  bool
	aside   string // frozen, or who loads it
	freezes int    // so far: one is not another
}

const frozen = "F"

// seen is what parts says of one that is frozen.
func (p *part) seen() string {
	return fmt.Sprint(frozen, p.book.Epoch, p.book.Seq, p.book.EvictedMS, p.freezes)
}

func (d *data) copy() *data {
	c := *d
	c.window = d.window.copy()
	c.outbox = slices.Clone(d.outbox)
	c.parts = map[int]*part{}
	for p, of := range d.parts {
		b, m := *of.book, of.book.State.(*records)
		b.State = &records{Memory: copyOf(m.Memory), window: c.window, book: &b}
		c.parts[p] = &part{&b, of.serves, of.aside, of.freezes}
	}
	return &c
}

func copyOf(m *journal.Memory) *journal.Memory {
	n := journal.NewMemory()
	n.Accounts, n.DetailsOf, n.DeliveredOf, n.Filter = maps.Clone(m.Accounts), maps.Clone(m.DetailsOf), maps.Clone(m.DeliveredOf), m.Filter
	for id, k := range m.Keys {
		n.SetKey(id, k)
	}
	for id, r := range m.Reservations {
		n.SetReservation(id, r)
	}
	return n
}

// part is a partition's, made if need be.
func (d *data) part(p int) *part {
	of := d.parts[p]
	if of == nil {
		of = &part{book: journal.NewBook(p, partitions)}
		of.book.State = &records{Memory: journal.NewMemory(), window: d.window, book: of.book}
		d.parts[p] = of
	}
	return of
}

// erase removes a partition's records.
func (d *data) erase(p int) {
	of := d.part(p)
	*of.book = *journal.NewBook(p, partitions)
	of.book.State = &records{Memory: journal.NewMemory(), window: d.window, book: of.book}
	for _, ids := range d.window.slices {
		maps.DeleteFunc(ids, func(id journal.ID, _ journal.KeyRecord) bool { return id.Partition(partitions) == p })
	}
	maps.DeleteFunc(d.window.filter, func(at luascripts.FilterPlace, _ *journal.FilterBlock) bool { return at.Partition == p })
}

// dump is a partition as luascripts' Dump and DumpPart have it, but for the filter.
func (d *data) dump(p int) *journal.Book {
	b, m, from := *d.parts[p].book, journal.NewMemory(), d.parts[p].book.State.(*records)
	m.Accounts, m.DetailsOf, m.DeliveredOf = from.Accounts, from.DetailsOf, from.DeliveredOf
	for _, ids := range d.window.slices {
		for id, k := range ids {
			if id.Partition(partitions) == p && k.TimeMS >= b.EvictedMS {
				m.Keys[id] = k
			}
		}
	}
	for id, r := range from.Reservations {
		if r.Status == journal.Tried || r.ResolvedMS >= b.EvictedMS {
			m.Reservations[id] = r
		}
	}
	b.State = m
	return &b
}

// window is the key records of all partitions, by time slice, and the filter (luascripts, window.go).
type window struct {
	sliceMS       int64 // 0: the shard has none
	floor, sealed int64
	filtered      bool
	listed        []int64 // slices that trains know of, rising
	slices        map[int64]map[journal.ID]journal.KeyRecord
	filter        map[luascripts.FilterPlace]*journal.FilterBlock // blocks are never changed
}

func (w *window) copy() *window {
	c := *w
	c.listed, c.filter = slices.Clone(w.listed), maps.Clone(w.filter)
	c.slices = maps.Clone(w.slices)
	for n, ids := range c.slices {
		c.slices[n] = maps.Clone(ids)
	}
	return &c
}

// begin gives a shard its window, if it has none.
func (w *window) begin(sliceMS, clock int64) {
	if w.sliceMS == 0 {
		*w = window{sliceMS: sliceMS, floor: clock / sliceMS, sealed: clock / sliceMS,
			slices: map[int64]map[journal.ID]journal.KeyRecord{}, filter: map[luascripts.FilterPlace]*journal.FilterBlock{}}
	}
}

// find looks for a key record as trains do: in the slices that are not sealed, then in the others, if the filter may know it.
func (w *window) find(id journal.ID) (journal.KeyRecord, bool) {
	behind := w.filtered && w.mayKnow(id)
	for i := len(w.listed) - 1; i >= 0; i-- {
		if w.listed[i] < w.sealed && !behind {
			break
		}
		if k, seen := w.slices[w.listed[i]][id]; seen {
			return k, true
		}
	}
	return journal.KeyRecord{}, false
}

func (w *window) mayKnow(id journal.ID) bool {
	b := w.filter[placeOf(id)]
	return b != nil && b.Has(id)
}

func placeOf(id journal.ID) luascripts.FilterPlace {
	return luascripts.FilterPlace{Partition: id.Partition(partitions), Block: journal.FilterBlockOf(id)}
}

// put writes a key record and answers the slice that it went to.
func (w *window) put(id journal.ID, k journal.KeyRecord) int64 {
	n := k.TimeMS / w.sliceMS
	if w.slices[n] == nil {
		w.slices[n] = map[journal.ID]journal.KeyRecord{}
	}
	w.slices[n][id] = k
	return n
}

// list tells trains of a slice.
func (w *window) list(n int64) {
	if i, there := slices.BinarySearch(w.listed, n); !there {
		w.listed = slices.Insert(w.listed, i, n)
	}
}

func (w *window) remove(id journal.ID) {
	for _, ids := range w.slices {
		delete(ids, id)
	}
}

// know adds a block to the filter.
func (w *window) know(at luascripts.FilterPlace, more *journal.FilterBlock) {
	b := *more
	if before := w.filter[at]; before != nil {
		for i := range b {
			b[i] |= before[i]
		}
	}
	w.filter[at] = &b
}

func (w *window) knowID(id journal.ID) {
	var b journal.FilterBlock
	b.Add(id)
	w.know(placeOf(id), &b)
}

// records are a partition's State in a shard: its keys are in the shard's window.
type records struct {
	*journal.Memory
	window *window
	book   *journal.Book
}

var _ journal.State = (*records)(nil)

// Key implements journal.State, as the methods below do.
func (s *records) Key(id journal.ID) (journal.KeyRecord, bool) {
	k, seen := s.window.find(id)
	return k, seen && k.TimeMS >= s.book.EvictedMS
}

func (s *records) SetKey(id journal.ID, k journal.KeyRecord) {
	k.Content = append([]byte(nil), k.Content...)
	s.window.list(s.window.put(id, k))
}

func (s *records) Reservation(id journal.ID) (journal.Reservation, bool) {
	r, there := s.Memory.Reservation(id)
	return r, there && (r.Status == journal.Tried || r.ResolvedMS >= s.book.EvictedMS)
}

func (s *records) Evict(int64) {} // the records themselves go with their slice

func (s *records) MaybeEvicted(id journal.ID) bool {
	_, seen := s.window.find(id)
	return seen || (s.window.filtered && s.window.mayKnow(id))
}

// write writes a Book over what a partition has, and answers the slices that got something.
func (d *data) write(b *journal.Book) (used []int64) {
	m, to := b.State.(*journal.Memory), d.part(b.Partition).book.State.(*records)
	maps.Copy(to.Accounts, m.Accounts)
	maps.Copy(to.DetailsOf, m.DetailsOf)
	maps.Copy(to.DeliveredOf, m.DeliveredOf)
	maps.Copy(to.Reservations, m.Reservations)
	for id, k := range m.Keys {
		used = append(used, d.window.put(id, k))
		d.window.knowID(id)
	}
	_ = m.Filter.Each(func(n int, more *journal.FilterBlock) error {
		d.window.know(luascripts.FilterPlace{Partition: b.Partition, Block: n}, more)
		return nil
	})
	return used
}

// stand is a Book's part record.
func (of *part) stand(b *journal.Book) {
	of.book.Epoch, of.book.Seq, of.book.TimeMS, of.book.EvictedMS = b.Epoch, b.Seq, b.TimeMS, b.EvictedMS
}

// unlike says in what a partition of the shard is not as the journal has it, "" in nothing.
func (d *data) unlike(p int, book *journal.Book) string {
	var has, wants bytes.Buffer
	_, _ = d.dump(p).Dump(&has), book.Dump(&wants)
	if !bytes.Equal(has.Bytes(), wants.Bytes()) {
		return "its records are not what the journal says:\n" + has.String() + "\n" + wants.String()
	}
	missing := ""
	_ = book.State.(*journal.Memory).Filter.Each(func(n int, want *journal.FilterBlock) error {
		got := d.window.filter[luascripts.FilterPlace{Partition: p, Block: n}]
		for i := range want {
			if got == nil || want[i]&^got[i] != 0 {
				missing = "its filter does not know what was evicted"
			}
		}
		return nil
	})
	return missing
}
