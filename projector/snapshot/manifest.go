package snapshot

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"walletd/journal"
)

// manifestName is the file that makes a snapshot one.
const manifestName = "manifest.json"

const manifestMax = 4 << 20 // bytes; 1,024 partitions are some 600 KB

// Manifest lists a snapshot's files. It is written last: without it there is no snapshot.
type Manifest struct {
	Version    int       `json:"version"`
	ID         string    `json:"id"`
	Wallet     string    `json:"wallet"`
	Partitions int       `json:"partitions"`
	CreatedAt  time.Time `json:"created_at"`
	TakenBy    string    `json:"taken_by,omitempty"`
	Files      []File    `json:"files"` // one a partition, in order
}

// File is a partition's, and where it was cut.
type File struct {
	Partition    int              `json:"partition"`
	Name         string           `json:"name"` // beside the manifest
	Size         int64            `json:"size"`
	SHA256       string           `json:"sha256"`
	Digest       string           `json:"digest"` // of the Book
	Filter       string           `json:"filter_digest"`
	Position     string           `json:"position"` // of the last event
	Offset       int64            `json:"offset"`   // of the log's next record
	Epoch        uint32           `json:"epoch"`
	Chain        string           `json:"chain"`
	TimeMS       int64            `json:"time_ms"`
	Accounts     uint64           `json:"accounts"`
	Keys         uint64           `json:"keys"`
	Reservations uint64           `json:"reservations"`
	Legs         uint64           `json:"legs"`
	Sums         map[string]int64 `json:"sums"` // by number of the asset
}

// Events is the sum of the partitions' seqs.
func (m *Manifest) Events() (n uint64) {
	for i := range m.Files {
		if p, err := journal.ParsePosition(m.Files[i].Position); err == nil {
			n += p.Seq
		}
	}
	return n
}

// Size is the sum of the files' sizes, bytes.
func (m *Manifest) Size() (n int64) {
	for i := range m.Files {
		n += m.Files[i].Size
	}
	return n
}

func (m *Manifest) path(f *File) string { return path.Join(m.ID, f.Name) }

func fileName(partition int) string { return fmt.Sprintf("p%04d.snap", partition) }

func fileOf(h *Header, w *Written) File {
	f := File{Partition: h.Cursor.Partition, Name: fileName(h.Cursor.Partition), Size: w.Size, SHA256: hex.EncodeToString(w.SHA256[:]),
		Digest: hex.EncodeToString(w.Digest[:]), Filter: hex.EncodeToString(w.Filter[:]), Position: h.Position().String(), Offset: h.Cursor.Offset, Epoch: h.Cursor.Epoch,
		Chain: hex.EncodeToString(h.Cursor.Chain[:]), TimeMS: h.TimeMS, Accounts: w.Records[Accounts], Keys: w.Records[Keys],
		Reservations: w.Records[Reservations], Legs: w.Records[Legs], Sums: map[string]int64{}}
	for asset, sum := range w.Sums {
		f.Sums[strconv.Itoa(int(asset))] = sum
	}
	return f
}

// same reports whether a file is what the manifest says.
func (f *File) same(h *Header, w *Written) bool {
	o := fileOf(h, w)
	return f.SHA256 == o.SHA256 && f.Size == o.Size && f.Digest == o.Digest && f.Filter == o.Filter && f.Position == o.Position && f.Offset == o.Offset &&
		f.Epoch == o.Epoch && f.Chain == o.Chain && f.Partition == o.Partition
}

func (m *Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// parseManifest reads the manifest of the snapshot id.
func parseManifest(id string, b []byte) (*Manifest, error) {
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more follows")
	}
	if m.Version != Version {
		return nil, fmt.Errorf("version %d, this build reads %d", m.Version, Version)
	}
	if m.ID != id || m.Partitions < 1 || len(m.Files) != m.Partitions || slices.ContainsFunc(m.Files, func(f File) bool { return f.Name != fileName(f.Partition) }) {
		return nil, fmt.Errorf("it is of snapshot %q, with %d files for %d partitions", m.ID, len(m.Files), m.Partitions)
	}
	for p := range m.Files {
		if m.Files[p].Partition != p {
			return nil, fmt.Errorf("file %d is of partition %d", p, m.Files[p].Partition)
		}
	}
	return m, nil
}
