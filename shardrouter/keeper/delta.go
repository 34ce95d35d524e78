package keeper

import "walletd/journal"

// delta is a Book's State that remembers what has changed since that was written elsewhere.
type delta struct {
	*journal.Memory
	book    *journal.Book
	changed *journal.Memory
}

// newDelta puts itself into the Book's place for its State, a Memory, all of which has been written.
func newDelta(b *journal.Book) *delta {
	d := &delta{Memory: b.State.(*journal.Memory), book: b, changed: journal.NewMemory()}
	b.State = d
	return d
}

// take answers a Book of what has changed, as it is now, and begins anew. What was evicted meanwhile is no change: a load puts the
// ids of the window into the filter, too (luascripts), and all of the filter with every pass would take seconds of a freeze.
func (d *delta) take() *journal.Book {
	b := *d.book
	b.State, d.changed = d.changed, journal.NewMemory()
	return &b
}

// SetAccount implements journal.State, as the methods below do.
func (d *delta) SetAccount(h journal.Handle, a journal.Account) {
	d.Memory.SetAccount(h, a)
	d.changed.SetAccount(h, a)
}

func (d *delta) SetDetails(h journal.Handle, text []byte) {
	d.Memory.SetDetails(h, text)
	d.changed.SetDetails(h, text)
}

func (d *delta) SetKey(id journal.ID, k journal.KeyRecord) {
	d.Memory.SetKey(id, k)
	d.changed.SetKey(id, k)
}

func (d *delta) SetReservation(id journal.ID, r journal.Reservation) {
	d.Memory.SetReservation(id, r)
	d.changed.SetReservation(id, r)
}

func (d *delta) SetDelivered(source int, seq uint64) {
	d.Memory.SetDelivered(source, seq)
	d.changed.SetDelivered(source, seq)
}
