package journal

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Dumper writes a partition's canonical text, one record a line. Who has the records in order (accounts, details, keys,
// reservations, delivered; each sorted by its name) gets a Book's Dump without a Book in memory.
type Dumper struct {
	w    io.Writer
	line []byte // scratch
	val  []byte // scratch
	err  error
}

// NewDumper begins the text of a partition that is folded up to seq. The filter is no part of it (Book.Dump).
func NewDumper(w io.Writer, partition, partitions int, seq uint64, timeMS, evictedMS int64) *Dumper {
	d := &Dumper{w: w}
	d.write(fmt.Appendf(nil, "partition %d of %d seq %d time_ms %d evicted_ms %d", partition, partitions, seq, timeMS, evictedMS))
	return d
}

func (d *Dumper) write(line []byte) {
	if d.line = append(line, '\n'); d.err == nil {
		_, d.err = d.w.Write(d.line)
	}
}

// record writes a kind, a name and a value in hexadecimal.
func (d *Dumper) record(kind string, name, value []byte) {
	line := hex.AppendEncode(append(d.line[:0], kind...), name)
	d.write(hex.AppendEncode(append(line, ' '), value))
}

// Account writes a line, as the methods below do.
func (d *Dumper) Account(h Handle, a Account) {
	d.val = a.Append(d.val[:0])
	d.record("account ", h[:], d.val)
}

// Details are quoted: most of them are JSON.
func (d *Dumper) Details(h Handle, details []byte) {
	line := hex.AppendEncode(append(d.line[:0], "details "...), h[:])
	d.write(strconv.AppendQuote(append(line, ' '), string(details)))
}

// Key writes a key record.
func (d *Dumper) Key(id ID, k KeyRecord) {
	d.val = k.Append(d.val[:0])
	d.record("key ", id[:], d.val)
}

// Reservation writes a reservation.
func (d *Dumper) Reservation(id ID, r Reservation) {
	d.val = r.Append(d.val[:0])
	d.record("reservation ", id[:], d.val)
}

// Delivered writes how far a source's legs have been credited.
func (d *Dumper) Delivered(source int, seq uint64) {
	d.write(fmt.Appendf(d.line[:0], "delivered %d %d", source, seq))
}

// Err is the first error of the writer.
func (d *Dumper) Err() error { return d.err }
