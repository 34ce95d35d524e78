package walletd

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"walletd/journal"
	"walletd/journal/filelog"
)

// dataDir is what `walletd dev` keeps on disk:
//
//	wallet.json   what the wallet was created with; never changes
//	map.json      the map and the epochs given out
//	journal/      the file journal: the truth
//	projection/   read models; may be deleted, they are rebuilt
//	snapshots/    states from which a rebuild begins; may be deleted
//	redis/        working directories of the shards; nothing in them counts
type dataDir struct {
	path string
	dirMeta
}

// dirMeta is wallet.json.
type dirMeta struct {
	Version    int                 `json:"version"`
	Wallet     string              `json:"wallet"`
	Partitions int                 `json:"partitions"`
	Shards     []string            `json:"shards"`
	Assets     []journal.AssetInfo `json:"assets"`
	Journal    string              `json:"journal"` // file, kafka
}

func (d *dataDir) journalDir() string    { return filepath.Join(d.path, "journal") }
func (d *dataDir) projectionDir() string { return filepath.Join(d.path, "projection") }
func (d *dataDir) mapFile() string       { return filepath.Join(d.path, "map.json") }
func (d *dataDir) redisDir(shard string) string {
	return filepath.Join(d.path, "redis", shard)
}

// openDataDir reads a data directory, or makes one. want's partitions, shards and journal are those of the flags that
// were given; 0 and "" take what is there, or the defaults.
func openDataDir(path string, want dirMeta, shards int) (*dataDir, error) {
	d := &dataDir{path: path}
	b, err := os.ReadFile(filepath.Join(path, "wallet.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, d.create(want, shards)
	case err != nil:
		return nil, exit(exitFailed, "data directory: %w; name another with --data", err)
	}
	if err := json.Unmarshal(b, &d.dirMeta); err != nil || d.Partitions == 0 || len(d.Shards) == 0 {
		return nil, exit(exitFailed, "data directory %s is damaged: wallet.json cannot be read (%v); restore it from a backup, or start afresh with --fresh", path, err)
	}
	differs := func(what string, has, wants any) error {
		return exit(exitUsage, "data directory %s was made with %v %s, not %v: that is fixed for ever; leave the flag out, use another --data, or start afresh with --fresh", path, has, what, wants)
	}
	switch {
	case want.Partitions != 0 && want.Partitions != d.Partitions:
		return nil, differs("partitions", d.Partitions, want.Partitions)
	case shards != 0 && shards != len(d.Shards):
		return nil, differs("shards", len(d.Shards), shards)
	case want.Journal != "" && want.Journal != d.Journal:
		return nil, differs("journal", d.Journal, want.Journal)
	}
	return d, d.checkJournal()
}

// checkJournal refuses to begin an empty wallet where there was one: a map and a projection come about when the journal is
// there, and never without it.
func (d *dataDir) checkJournal() error {
	if d.Journal != "file" || filelog.Exists(d.journalDir()) {
		return nil
	}
	for _, rest := range []string{d.mapFile(), d.projectionDir()} {
		if _, err := os.Stat(rest); err == nil {
			return exit(exitFailed, "data directory %s is damaged: it has %s, but its journal is gone; restore %s from a backup, or begin with an empty wallet with --fresh",
				d.path, filepath.Base(rest), d.journalDir())
		}
	}
	return nil
}

// readDataDir reads a data directory that must be there.
func readDataDir(path string) (*dataDir, error) {
	if _, err := os.Stat(filepath.Join(path, "wallet.json")); err != nil {
		return nil, exit(exitUsage, "%s is no data directory of walletd: %w", path, err)
	}
	return openDataDir(path, dirMeta{}, 0)
}

func (d *dataDir) create(want dirMeta, shards int) error {
	damaged := func(what string) error {
		return exit(exitFailed, "data directory %s is damaged: it has a %s but no wallet.json; restore it from a backup, or start afresh with --fresh", d.path, what)
	}
	if rest, err := os.ReadDir(d.journalDir()); err == nil && len(rest) > 0 {
		return damaged("journal")
	}
	if _, err := os.Stat(d.mapFile()); err == nil {
		return damaged("map.json")
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	d.dirMeta = dirMeta{Version: 1, Wallet: hex.EncodeToString(id[:]), Partitions: 8, Assets: journal.DevAssets, Journal: "file"}
	if want.Partitions != 0 {
		d.Partitions = want.Partitions
	}
	if want.Journal != "" {
		d.Journal = want.Journal
	}
	if shards == 0 {
		shards = min(2, d.Partitions)
	}
	for i := range shards {
		d.Shards = append(d.Shards, fmt.Sprintf("s%d", i+1))
	}
	if err := filelog.MakeDir(d.path, 0o755); err != nil {
		return exit(exitFailed, "data directory: %w; name another with --data", err)
	}
	b, err := json.MarshalIndent(d.dirMeta, "", "  ")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return writeFile(filepath.Join(d.path, "wallet.json"), append(b, '\n'))
}

// fresh empties a data directory of what walletd keeps in it, and of nothing else.
func fresh(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--fresh: %w", err)
	}
	// wallet.json goes last: a directory of which only a part is gone is damaged, not empty.
	ours := []string{"projection", "snapshots", "redis", "kafka", "journal", "map.json", "wallet.json"}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return exit(exitUsage, "--fresh: %s holds %s, which is not walletd's; name another --data, or remove it yourself", path, e.Name())
		}
	}
	// A wallet that runs there holds its journal's lock. It keeps it until all is gone.
	lock, err := filelog.Lock(filepath.Join(path, "journal"))
	if err != nil {
		return exit(exitFailed, "--fresh: %w; stop that process, or use another --data", err)
	}
	defer lock.Close()
	for _, name := range ours {
		if err := os.RemoveAll(filepath.Join(path, name)); err != nil {
			return fmt.Errorf("--fresh: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file durably: whoever reads it sees the old content or the new, whole, also after a power cut.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
