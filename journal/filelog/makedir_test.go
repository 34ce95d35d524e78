package filelog

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMakeDir(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b", "c")
	for range 2 {
		if err := MakeDir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	t.Chdir(root)
	if err := MakeDir("d", 0o750); err != nil {
		t.Errorf("a relative one: %v", err)
	}
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(filepath.Join("file", "x"), 0o750); err == nil {
		t.Error("below a file")
	}
	if Exists(dir) {
		t.Error("an empty directory is a journal")
	}
}
