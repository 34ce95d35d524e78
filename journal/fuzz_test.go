package journal

import (
	"bytes"
	"errors"
	"testing"
)

// Records have one form: what is read packs into the same bytes.
func FuzzRecords(f *testing.F) {
	f.Add(Account{Available: -5, Reserved: 7, Flags: 15, Version: 3, StatusSeq: 1, Asset: 2, OverdraftLimit: AmountMax}.Append(nil))
	f.Add(Reservation{Status: Tried, Payer: alice, To: bob, Amount: 5, Remaining: 5, CreatedMS: 1, ExpiresMS: 2}.Append(nil))
	f.Add(KeyRecord{Status: Confirmed, Op: OpPay, TimeMS: 1, Epoch: 2, Seq: 3, Content: []byte("content")}.Append(nil))
	f.Add((&Book{Epoch: 1, Seq: 2, TimeMS: 3, EvictedMS: 4}).AppendPart(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, again []byte, err error) {
			if err != nil && !errors.Is(err, ErrBadRecord) || err == nil && !bytes.Equal(again, b) {
				t.Fatalf("%s %x is read, and packs into %x: %v", what, b, again, err)
			}
		}
		a, err := ParseAccount(b)
		check("account", a.Append(nil), err)
		r, err := ParseReservation(b)
		check("reservation", r.Append(nil), err)
		k, err := ParseKeyRecord(b)
		check("key record", k.Append(nil), err)
		var book Book
		err = book.ParsePart(b)
		check("part", book.AppendPart(nil), err)
		created, text, err := SplitDetails(b)
		check("details", append(appendU56(nil, uint64(created)), text...), err)
	})
}

// A frame that is sealed comes back, and its bytes are the only ones that it has.
func FuzzSealedFrame(f *testing.F) {
	sample := frameOf(3, 7, 42, Hash{1}, sampleRows()...)
	f.Add(byte(1), uint16(3), uint32(7), uint64(42), uint32(sample.Count), sample.Payload)
	f.Add(byte(2), uint16(0), uint32(1), uint64(0), uint32(0), []byte("keeper"))
	f.Fuzz(func(t *testing.T, kind byte, partition uint16, epoch uint32, first uint64, count uint32, payload []byte) {
		want := Frame{Kind: FrameKind(kind), Partition: int(partition), Epoch: epoch, FirstSeq: first, Count: int(count), Payload: payload}
		b := want.Seal(nil)
		got, err := ParseFrame(b)
		if err != nil {
			if !errors.Is(err, ErrBadFrame) {
				t.Fatal(err)
			}
			return
		}
		if again := got.Seal(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x comes back as %x", b, again)
		}
		events, size := 0, 0
		err = got.EachEvent(func(e *Event) error {
			if e.Seq != first+uint64(events) || e.Partition != int(partition) {
				t.Fatalf("event %d is %v", events, e.Position)
			}
			events, size = events+1, size+len(e.Packed)+1
			if r, err := e.Row(); err == nil {
				for i := range r.LegCount {
					_ = r.Leg(i)
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrBadFrame) {
			t.Fatal(err)
		}
		if err == nil && got.Kind == FrameEvents && (events != got.Count || size > len(payload)) {
			t.Fatalf("%d events of %d in %d bytes of %d", events, got.Count, size, len(payload))
		}
	})
}

// Ids and positions in text: what is read is written the same.
func FuzzTexts(f *testing.F) {
	f.Add("tr_0123456789abcdefghjkmnpqr0")
	f.Add("rs_zzzzzzzzzzzzzzzzzzzzzzzzzw")
	f.Add("3.1.42")
	f.Add("65535.4294967295.72057594037927935")
	f.Fuzz(func(t *testing.T, text string) {
		for _, prefix := range []string{TransferPrefix, ReservationPrefix, ""} {
			if id, err := ParseID(prefix, text); err == nil && id.Text(prefix) != text {
				t.Fatalf("%q is id %s", text, id.Text(prefix))
			}
		}
		p, err := ParsePosition(text)
		if err != nil {
			return
		}
		if again, err := ParsePosition(p.String()); err != nil || again != p {
			t.Fatalf("%q is %v, and that is %v, %v", text, p, again, err)
		}
	})
}
