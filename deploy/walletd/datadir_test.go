package walletd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"walletd/journal/filelog"
)

func TestADataDirectoryKeepsWhatItWasMadeWith(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	made, err := openDataDir(path, dirMeta{Partitions: 4}, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openDataDir(path, dirMeta{}, 0)
	if err != nil || again.Wallet != made.Wallet || again.Partitions != 4 || len(again.Shards) != 2 || again.Journal != "file" {
		t.Errorf("%+v, %v", again, err)
	}
	for name, open := range map[string]func() error{
		"partitions": func() error { _, err := openDataDir(path, dirMeta{Partitions: 8}, 0); return err },
		"shards":     func() error { _, err := openDataDir(path, dirMeta{}, 3); return err },
		"journal":    func() error { _, err := openDataDir(path, dirMeta{Journal: "kafka"}, 0); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "--fresh") {
			t.Errorf("other %s: %v", name, err)
		}
	}
}

func TestADamagedDataDirectoryIsNotBegunAnew(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "wallet.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(path, dirMeta{}, 0); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a broken wallet.json: %v", err)
	}
	path = t.TempDir()
	if err := os.MkdirAll(filepath.Join(path, "journal", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(path, dirMeta{}, 0); err == nil || !strings.Contains(err.Error(), "no wallet.json") {
		t.Errorf("a journal without wallet.json: %v", err)
	}
}

func TestFreshDeletesOnlyWhatIsOurs(t *testing.T) {
	path := t.TempDir()
	if _, err := openDataDir(path, dirMeta{}, 0); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(path, "thesis.txt")
	if err := os.WriteFile(mine, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fresh(path); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a directory with other files: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path, "wallet.json")); err != nil {
		t.Errorf("a refused --fresh deleted something: %v", err)
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if err := fresh(path); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(path); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

// ranBefore is a data directory in which a wallet has run, as far as the disk shows.
func ranBefore(t *testing.T) (path string, log *filelog.Log) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a", "b")
	d, err := openDataDir(path, dirMeta{Partitions: 2}, 0)
	must(t, err)
	log, err = filelog.Open(filelog.Config{Dir: d.journalDir(), Partitions: 2, SegmentBytes: 4 << 20})
	must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	must(t, os.WriteFile(d.mapFile(), []byte(`{"epoch":3,"map":{}}`), 0o600))
	must(t, os.Mkdir(d.projectionDir(), 0o755))
	return path, log
}

func TestADeletedJournalIsNoEmptyWallet(t *testing.T) {
	path, log := ranBefore(t)
	must(t, log.Close())
	if _, err := openDataDir(path, dirMeta{}, 0); err != nil {
		t.Fatalf("with its journal: %v", err)
	}
	must(t, os.RemoveAll(filepath.Join(path, "journal")))
	refused := func(what string) {
		t.Helper()
		_, err := openDataDir(path, dirMeta{}, 0)
		if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "--fresh") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("no directory")
	must(t, os.Mkdir(filepath.Join(path, "journal"), 0o755))
	refused("an empty one")
	must(t, os.Remove(filepath.Join(path, "map.json"))) // as one may do about a map that cannot be used
	refused("no map either")
	must(t, os.WriteFile(filepath.Join(path, "map.json"), []byte(`{}`), 0o600))
	must(t, os.Rename(filepath.Join(path, "wallet.json"), filepath.Join(path, "..", "wallet.json")))
	refused("nor wallet.json")
	must(t, os.Rename(filepath.Join(path, "..", "wallet.json"), filepath.Join(path, "wallet.json")))
	must(t, fresh(path))
	if _, err := openDataDir(path, dirMeta{}, 0); err != nil {
		t.Errorf("after --fresh: %v", err)
	}
	// One that was made and never ran is empty indeed.
	if _, err := openDataDir(path, dirMeta{}, 0); err != nil {
		t.Errorf("never run: %v", err)
	}
}

func TestFreshIsRefusedBesideARunningWallet(t *testing.T) {
	path, log := ranBefore(t)
	names := func() (all []string) {
		entries, err := os.ReadDir(path)
		must(t, err)
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	before := names()
	err := fresh(path)
	if !errors.Is(err, filelog.ErrLocked) || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "stop that process") {
		t.Errorf("%v", err)
	}
	if after := names(); !slices.Equal(after, before) {
		t.Errorf("left are %v of %v", after, before)
	}
	must(t, log.Close())
	must(t, fresh(path))
	if after := names(); len(after) != 0 {
		t.Errorf("left are %v", after)
	}
}
