package walletd

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestExportOfARecordedJournal: the columns and the words are frozen: others read them.
func TestExportOfARecordedJournal(t *testing.T) {
	for _, format := range []string{"csv", "jsonl"} {
		golden := "testdata/export." + format
		code, out, errs := runMain("journal", "export", "--data", recordedData, "--to", format, "-", "--from-position", "1.1.20", "--to-position", "1.2.140")
		if code != 0 || !strings.Contains(errs, "USD: debit") {
			t.Fatalf("exit %d: %s", code, errs)
		}
		if *update {
			if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || out != string(want) {
			t.Errorf("%s: %v\n%s", golden, err, out)
		}
	}
}

func TestExportWritesWholeFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.sqlite")
	code, out, errs := runMain("journal", "export", "--data", recordedData, "--to", "sqlite", path, "-o", "json")
	if code != 0 || !strings.Contains(out, `"ok":true`) || !strings.Contains(out, `"in_flight":0`) {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	head := make([]byte, 15)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "SQLite format 3" {
		t.Errorf("%q %v", head, err)
	}
	for name, wrong := range map[string][]string{
		"exists":              {"--to", "sqlite", path},
		"want one of":         {"--to", "xls", path + "2"},
		"no such file":        {"--to", "csv", filepath.Join(dir, "nowhere", "x.csv")},
		"needs a file":        {"--to", "sqlite", "-"},
		"is no time":          {"--to", "csv", "-", "--from-time", "yesterday"},
		"is not behind":       {"--to", "csv", "-", "--from-time", "2026-11-02", "--to-time", "2026-11-01"},
		"partition.epoch.seq": {"--to", "csv", "-", "--from-position", "3"},
		"no order":            {"--to", "csv", "-", "--from-position", "0.1.1", "--to-position", "1.1.1"},
		"is before":           {"--to", "csv", "-", "--from-position", "0.1.9", "--to-position", "0.1.3"},
		"no partition 7":      {"--to", "csv", "-", "--partition", "7"},
	} {
		code, out, errs := runMain(append([]string{"journal", "export", "--data", recordedData}, wrong...)...)
		if code != exitUsage || !strings.Contains(errs, name) || out != "" {
			t.Errorf("%v: exit %d: %s%s", wrong, code, out, errs)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestCatOfATime: events of the time alone, and of all times together those of every time.
func TestCatOfATime(t *testing.T) {
	code, all, errs := runMain("journal", "cat", "--data", recordedData, "--from-time", "1970-01-02")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	_, epochs, _ := runMain("journal", "cat", "--data", recordedData)
	if all == "" || strings.Count(epochs, "\n") <= strings.Count(all, "\n") {
		t.Errorf("epochs are no events: %d lines, without bounds %d", strings.Count(all, "\n"), strings.Count(epochs, "\n"))
	}
	for _, bound := range []string{"--to-time=1970-01-02", "--from-time=2999-01-01"} {
		if code, out, errs := runMain("journal", "cat", "--data", recordedData, bound); code != 0 || out != "" {
			t.Errorf("%s: exit %d: %.200s%s", bound, code, out, errs)
		}
	}
	if code, _, errs := runMain("journal", "cat", "--data", recordedData, "--to-time", "soon"); code != exitUsage || !strings.Contains(errs, "--to-time") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
