package wire

import (
	"bytes"
	"encoding/json"
	"testing"

	"walletd/journal"
)

const canonical = `{"id":48213,"transfer":{"key":"order-004821","from":"alice-0017","to":"bob-0042","amount":1250,"asset":"USD"}}`

func BenchmarkParseTransfer(b *testing.B) {
	line, m := []byte(canonical), NewMessage(journal.DevAssets)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if f := ParseMessage(line, m); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkParseTransferEncodingJSON(b *testing.B) {
	line := []byte(canonical)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		var m struct {
			ID       uint64 `json:"id"`
			Transfer *struct {
				Key, From, To, Asset, Reference string
				Amount                          int64
			} `json:"transfer"`
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendOKTransfer(b *testing.B) {
	id := journal.IDOf(journal.HandleOf("alice"), "k")
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendOKTransfer(buf[:0], 48213, id, journal.Confirmed, journal.Position{Partition: 3, Epoch: 7, Seq: 18842})
	}
}

func BenchmarkAppendRefusal(b *testing.B) {
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRefusal(buf[:0], 48213, journal.InsufficientFunds, 250)
	}
}
