package filelog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"time"

	"walletd/journal"
)

// Names of the small files beside the segments.
const (
	metaFile    = "meta.json"
	endFile     = "end.json"
	durableFile = "durable"
	lockFile    = "lock"
	nextFile    = "next.tmp"
)

// meta is what is fixed for the journal's life.
type meta struct {
	Version    int       `json:"version"`
	Partitions int       `json:"partitions"`
	Created    time.Time `json:"created"`
}

// ErrMismatch says that the journal there is another one than the configuration describes.
var ErrMismatch = errors.New("not the journal that is configured")

// readMeta answers fs.ErrNotExist when nothing has been written here yet.
func readMeta(fsys FS, dir string) (m meta, err error) {
	b, err := readFile(fsys, join(dir, metaFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, &DamageError{File: join(dir, metaFile), Partition: -1, Reason: err.Error()}
	}
	if m.Version != formatVersion {
		return m, fmt.Errorf("%w: %s has version %d, this build reads %d", ErrMismatch, join(dir, metaFile), m.Version, formatVersion)
	}
	if m.Partitions < 1 || m.Partitions > partitionsMax {
		return m, &DamageError{File: join(dir, metaFile), Partition: -1, Reason: fmt.Sprintf("%d partitions", m.Partitions)}
	}
	return m, nil
}

func writeMeta(fsys FS, dir string, m meta) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(fsys, dir, metaFile, append(b, '\n'))
}

// endMark says where a clean stop left the journal.
type endMark struct {
	Version  int     `json:"version"`
	Segment  uint32  `json:"segment"`
	Position int64   `json:"position"`
	Offsets  []int64 `json:"offsets"` // behind each partition's last record
}

// readEnd answers nil without an error when the last stop was not clean.
func readEnd(fsys FS, dir string) (*endMark, error) {
	name := join(dir, endFile)
	b, err := readFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e endMark
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, &DamageError{File: name, Partition: -1, Reason: "the end mark cannot be read: " + err.Error()}
	}
	return &e, nil
}

func writeEnd(fsys FS, dir string, e endMark) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return writeFile(fsys, dir, endFile, append(b, '\n'))
}

// The file `durable` holds: segment u32, position u64, CRC-32C u32. It is overwritten in place after every fdatasync of
// a segment and never synced itself: whatever it says was true before it was written. A torn one says nothing.
const durableSize = 16

func packDurable(l location) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, durableSize), l.segment())
	b = binary.BigEndian.AppendUint64(b, uint64(l.pos()))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readDurable answers 0 where the file says nothing.
func readDurable(fsys FS, dir string) (location, error) {
	b, err := readFile(fsys, join(dir, durableFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) != durableSize || crc32.Checksum(b[:12], castagnoli) != binary.BigEndian.Uint32(b[12:]) {
		return 0, nil
	}
	return locationOf(binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]))), nil
}

func openDurable(fsys FS, dir string) (File, error) {
	return fsys.OpenFile(join(dir, durableFile), os.O_CREATE|os.O_RDWR)
}

// DamageError names where a journal is not what was written. It wraps journal.ErrDamaged.
type DamageError struct {
	File      string
	Offset    int64  // byte in the file
	Partition int    // -1 where it cannot be told
	Epoch     uint32 // 0 where it cannot be told
	Seq       uint64 // first of the damaged frame, by its own head; 0 where it cannot be told
	Reason    string
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("%v: %s at byte %d", journal.ErrDamaged, e.File, e.Offset)
	if e.Partition >= 0 {
		s += fmt.Sprintf(", partition %d", e.Partition)
	}
	if e.Seq > 0 {
		s += fmt.Sprintf(" epoch %d seq %d", e.Epoch, e.Seq)
	}
	return s + ": " + e.Reason
}

// Unwrap makes errors.Is(err, journal.ErrDamaged) true.
func (e *DamageError) Unwrap() error { return journal.ErrDamaged }

// locate fills in what the head of a damaged record and of its frame still tell; none of it is certain.
func (e *DamageError) locate(b []byte, partitions int) *DamageError {
	e.Partition = -1
	if r, err := parseRecordHead(b); err == nil && r.partition < partitions {
		e.Partition = r.partition
	}
	if len(b) < recordHeadSize+16 {
		return e
	}
	frame := b[recordHeadSize:]
	p := int(binary.BigEndian.Uint16(frame[2:]))
	if frame[0] != journal.FrameVersion || p >= partitions || (e.Partition >= 0 && p != e.Partition) {
		return e
	}
	e.Partition, e.Epoch, e.Seq = p, binary.BigEndian.Uint32(frame[4:]), binary.BigEndian.Uint64(frame[8:])
	return e
}
