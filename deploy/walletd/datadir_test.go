package walletd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
