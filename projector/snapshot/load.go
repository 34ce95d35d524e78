package snapshot

import (
	"io"

	"walletd/journal"
)

// Loaded is a file in memory.
type Loaded struct {
	ID     string // of the snapshot, where one was named
	Header Header
	File   Written
	Book   *journal.Book  // its State is a Memory
	Behind map[int]uint64 // by destination; none: 0
	Legs   []Sent
}

// Sent is a decided leg with the seq of its event.
type Sent struct {
	Seq uint64
	Leg journal.Leg
}

// Load reads a whole file. After an error nothing of it is answered.
func Load(src io.Reader, name string) (*Loaded, error) {
	r, err := NewReader(src, name)
	if err != nil {
		return nil, err
	}
	h := r.Header()
	l := &Loaded{Header: h, Behind: map[int]uint64{}, Book: &journal.Book{Partition: h.Cursor.Partition, Partitions: h.Partitions,
		Epoch: h.BookEpoch, Seq: h.Cursor.Seq, TimeMS: h.TimeMS, EvictedMS: h.EvictedMS}}
	m := journal.NewMemory()
	l.Book.State = m
	if l.File, err = r.Each(&loading{l, m}); err != nil {
		return nil, err
	}
	return l, nil
}

type loading struct {
	l *Loaded
	s *journal.Memory
}

var _ Records = (*loading)(nil)

func (x *loading) Account(h journal.Handle, a journal.Account) { x.s.SetAccount(h, a) }
func (x *loading) Details(h journal.Handle, d []byte) {
	x.s.SetDetails(h, append([]byte(nil), d...))
}

func (x *loading) Key(id journal.ID, k journal.KeyRecord) {
	if k.Content != nil {
		k.Content = append(make([]byte, 0, len(k.Content)), k.Content...)
	}
	x.s.SetKey(id, k)
}

func (x *loading) Reservation(id journal.ID, r journal.Reservation) { x.s.SetReservation(id, r) }
func (x *loading) Delivered(source int, seq uint64)                 { x.s.SetDelivered(source, seq) }
func (x *loading) Filter(n int, b *journal.FilterBlock)             { x.s.Filter.Merge(n, b) }
func (x *loading) Behind(dest int, seq uint64)                      { x.l.Behind[dest] = seq }
func (x *loading) Leg(seq uint64, l journal.Leg)                    { x.l.Legs = append(x.l.Legs, Sent{seq, l}) }
