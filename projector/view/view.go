package view

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/journal"
)

// Format is the version of the store's keys and values. A store of another format is deleted and rebuilt.
const Format = 3

// ErrForeign says that a store is of another format, wallet or journal than this one. Deleting it is safe: it is rebuilt.
var ErrForeign = errors.New("projection of another format or wallet")

// Config opens a View.
type Config struct {
	Dir           string // made when it is missing
	Wallet        string // names the wallet; a store keeps the name that it was made with
	Partitions    int    // of the whole wallet
	CacheBytes    int64  // Pebble's block cache; 0: 64 MiB
	CacheAccounts int    // accounts kept unpacked by the folds, all together; 0: 1,048,576 (about 130 MB when they are all used)
	MemoryBytes   int    // written to the disk at a time, and what a crash makes it fold again; 0: 64 MiB
	ReadOnly      bool   // for auditors: nothing is written, Fold is refused

	FS vfs.FS // where it lies: for tests; nil: the machine's
}

func (c *Config) validate() error {
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("no directory"))
	}
	if c.Partitions < 1 || c.Partitions > 1<<16 {
		problems = append(problems, fmt.Errorf("%d partitions", c.Partitions))
	}
	if strings.ContainsAny(c.Wallet, "\n\r") {
		problems = append(problems, fmt.Errorf("wallet name %q", c.Wallet))
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	if c.CacheAccounts == 0 {
		c.CacheAccounts = 1 << 20
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = 64 << 20
	}
	if c.CacheBytes < 0 || c.CacheAccounts < 0 || c.MemoryBytes < 0 {
		problems = append(problems, errors.New("a cache of negative size"))
	}
	return errors.Join(problems...)
}

// View is the store. All methods may be called from several goroutines.
type View struct {
	config   Config
	db       *pebble.DB
	channels *channels
	waits    []wait
	room     *room
	dead     *dead

	cutting sync.RWMutex // held for reading while a commit becomes visible, for writing by Cut

	mu      sync.Mutex
	folding map[int]bool // guarded by mu
}

// Open opens the store, or makes an empty one. ErrForeign: it was made for another wallet or by another build.
func Open(c Config) (*View, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open projection: %w", err)
	}
	v := &View{config: c, channels: newChannels(c.Partitions), waits: make([]wait, c.Partitions), folding: map[int]bool{}, room: newRoom(), dead: newDead()}
	if err := v.open(); err != nil {
		return nil, fmt.Errorf("open projection in %s: %w", c.Dir, err)
	}
	v.room.opened()
	v.dead.opened()
	return v, nil
}

func (v *View) open() (err error) {
	defer func() {
		switch over := recover().(type) {
		case nil:
		case fatal:
			err = over
		default:
			panic(over)
		}
	}()
	if v.db, err = pebble.Open(v.config.Dir, v.options()); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if err := v.load(); err != nil {
		return errors.Join(err, v.db.Close())
	}
	return nil
}

func (v *View) load() error {
	if err := v.checkMarker(); err != nil {
		return err
	}
	for p := range v.config.Partitions {
		g, err := v.progress(v.db, p)
		if err != nil {
			return err
		}
		v.waits[p].advance(g.book.seq)
		v.channels.at[p] = g.book.seq
	}
	return v.loadChannels()
}

// checkMarker compares the store's marker with this build and wallet, and gives an empty store its marker.
func (v *View) checkMarker() error {
	want := fmt.Sprintf("walletd projection\nformat %d\nwallet %s\npartitions %d\n", Format, v.config.Wallet, v.config.Partitions)
	have, ok, err := get(v.db, []byte{keyMarker}, func(b []byte) (string, error) { return string(b), nil })
	switch {
	case err != nil:
		return err
	case !ok && v.config.ReadOnly:
		return fmt.Errorf("%w: it is empty", ErrForeign)
	case !ok:
		// Flushed: a store must never be found that has data and no marker.
		if err := errors.Join(v.db.Set([]byte{keyMarker}, []byte(want), noSync), v.db.Flush()); err != nil {
			return fmt.Errorf("%w: write the marker: %w", ErrStore, err)
		}
	case have != want:
		return fmt.Errorf("%w: it is %q, this is %q; delete the directory, the projection is rebuilt from the journal", ErrForeign, oneLine(have), oneLine(want))
	}
	return nil
}

func oneLine(marker string) string { return strings.ReplaceAll(strings.TrimSpace(marker), "\n", ", ") }

// Partitions is the number of partitions of the whole wallet.
func (v *View) Partitions() int { return v.config.Partitions }

// Close releases the store. Every Fold and every read must have ended. A store that is dead, or waits for room, is left as
// it is, as a crash would leave it.
func (v *View) Close() error {
	full, _ := v.room.trouble()
	closed := make(chan error, 1)
	var err error
	if err = v.Trouble(); err == nil {
		go func() { closed <- v.shut() }()
		select {
		case err = <-closed:
		case <-v.dead.told:
			err = v.Trouble()
		case <-full:
			err = v.Trouble()
		}
	}
	if err != nil {
		return fmt.Errorf("close projection: %w: %w", ErrStore, err)
	}
	return nil
}

// shut writes what is only in memory: there is no log of batches.
func (v *View) shut() error {
	var err error
	if !v.config.ReadOnly {
		err = v.db.Flush()
	}
	return errors.Join(err, v.db.Close())
}

// reader is a Pebble database, snapshot or batch.
type reader interface {
	pebble.Reader
}

// get reads one record; parse must copy what it keeps.
func get[T any](r reader, key []byte, parse func([]byte) (T, error)) (t T, ok bool, err error) {
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("%w: read %q: %w", ErrStore, key[:1], err)
	}
	t, err = parse(b)
	if e := closer.Close(); err == nil && e != nil {
		err = fmt.Errorf("%w: read %q: %w", ErrStore, key[:1], e)
	}
	return t, err == nil, err
}

func (v *View) progress(r reader, partition int) (progress, error) {
	g, ok, err := get(r, prefix(nil, keyCursor, partition), func(b []byte) (progress, error) { return parseProgress(partition, b) })
	if !ok {
		g.cursor.Partition = partition
	}
	return g, err
}

// Genesis is the SHA-256 of the partition's first record, false before there was one: it tells one wallet's journal from
// another's.
func (v *View) Genesis(partition int) (journal.Hash, bool, error) {
	return get(v.db, prefix(nil, keyGenesis, partition), parseGenesis)
}

func parseGenesis(b []byte) (h journal.Hash, err error) {
	if copy(h[:], b) != len(b) {
		return h, badRecord("genesis", b)
	}
	return h, nil
}
