package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"walletd/journal"
)

// FoldConfig says what to fold.
type FoldConfig struct {
	Log       journal.Log
	Partition int
	From      *Loaded            // nil: from the first record; it is given away
	Until     int64              // offset behind the last record folded; 0: the present end
	UntilSeq  uint64             // seq of the last event folded; 0: as Until says
	Progress  func(folded int64) // records folded, now and then; nil: nobody is told
}

// Folded is a partition folded from its log.
type Folded struct {
	Book          *journal.Book // its State is a Memory
	Cursor        journal.Cursor
	Last, Genesis journal.Hash // SHA-256 of the last and the first record
	Records       int64        // folded
	Dropped       map[journal.Verdict]int64
	Sent          Sends
	From          string // the snapshot that it began at; "": the first record

	last []byte // the last record, of which Last is made at the end
}

var errUntil = errors.New("far enough")

// Fold folds a partition's log from a snapshot, or from its first record. A snapshot that is not of this log is
// journal.ErrDamaged, as damage of the log is.
func Fold(ctx context.Context, c FoldConfig) (*Folded, error) {
	f := &Folded{Cursor: journal.Cursor{Partition: c.Partition}, Dropped: map[journal.Verdict]int64{}}
	from, known := int64(0), true
	if l := c.From; l != nil && l.Header.Cursor.Offset > 0 {
		f.Book, f.Cursor, f.Last, f.Genesis = l.Book, l.Header.Cursor, l.Header.Last, l.Header.Genesis
		f.Sent.begin(l)
		f.From = l.ID
		from, known = f.Cursor.Offset-1, false // and the record before, to know the log by
	} else {
		f.Book = journal.NewBook(c.Partition, c.Log.Partitions())
	}
	_, err := c.Log.Read(ctx, c.Partition, from, func(offset int64, record []byte) error {
		switch {
		case !known:
			known = true
			if sha256.Sum256(record) != f.Last {
				return fmt.Errorf("%w: the record at offset %d is not the one that snapshot %s was taken behind", journal.ErrDamaged, offset, c.From.ID)
			}
			return nil
		case c.Until > 0 && offset >= c.Until:
			return errUntil
		}
		return f.record(&c, offset, record)
	})
	if err != nil && !errors.Is(err, errUntil) {
		return nil, fmt.Errorf("fold partition %d behind offset %d: %w", c.Partition, f.Cursor.Offset, err)
	}
	if f.Records > 0 {
		f.Last = sha256.Sum256(f.last)
	}
	if !known {
		return nil, fmt.Errorf("fold partition %d: %w: it ends before offset %d, where snapshot %s was taken: records have been lost", c.Partition, journal.ErrDamaged, f.Cursor.Offset, c.From.ID)
	}
	return f, nil
}

func (f *Folded) record(c *FoldConfig, offset int64, record []byte) error {
	frame, verdict, err := f.Cursor.Next(offset, record)
	if err != nil {
		return err
	}
	f.last = append(f.last[:0], record...)
	if offset == 0 {
		f.Genesis = sha256.Sum256(record)
	}
	if f.Records++; f.Records%1024 == 0 && c.Progress != nil {
		c.Progress(f.Records)
	}
	if verdict != journal.Accepted {
		f.Dropped[verdict]++
		return nil
	}
	if frame.Kind != journal.FrameEvents {
		return nil
	}
	err = frame.EachEvent(func(e *journal.Event) error {
		if c.UntilSeq > 0 && e.Seq > c.UntilSeq {
			return errUntil
		}
		return f.Book.Apply(e, &f.Sent)
	})
	if errors.Is(err, journal.ErrBadFrame) && !errors.Is(err, journal.ErrDamaged) {
		err = fmt.Errorf("%w: %w", journal.ErrDamaged, err)
	}
	return err
}

// sendsMax bounds the legs that a fold remembers.
const sendsMax = 1 << 17

// Sends are the last legs that a fold decided for other partitions. It implements journal.Effects.
type Sends struct {
	behind map[int]uint64 // by destination, as a snapshot says
	from   uint64         // every leg behind it is there, for all destinations
	legs   []Sent
}

func (s *Sends) begin(l *Loaded) { s.behind, s.legs = l.Behind, l.Legs }

// Changed implements journal.Effects.
func (*Sends) Changed(*journal.Event, journal.Change) {}

// Leg implements journal.Effects.
func (s *Sends) Leg(e *journal.Event, l journal.Leg) {
	if len(s.legs) >= 2*sendsMax {
		s.from = s.legs[len(s.legs)-sendsMax-1].Seq
		s.legs = append(s.legs[:0], s.legs[len(s.legs)-sendsMax:]...)
	}
	s.legs = append(s.legs, Sent{e.Seq, l})
}

// inFlight answers what the destinations of a partition have not credited, and behind which seq that is all.
func (s *Sends) inFlight(of *journal.Book, delivered func(dest int) uint64) (behind map[int]uint64, legs []Sent) {
	partitions := of.Partitions
	behind = map[int]uint64{}
	for q := range partitions {
		if seq := max(s.from, s.behind[q], min(delivered(q), of.Seq)); seq > 0 && q != of.Partition {
			behind[q] = seq
		}
	}
	for i := range s.legs {
		if l := s.legs[i]; l.Seq > behind[l.Leg.Payee.Partition(partitions)] {
			legs = append(legs, l)
		}
	}
	return behind, legs
}
