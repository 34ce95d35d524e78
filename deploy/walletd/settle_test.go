package walletd

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"walletd/projector/settle"
)

// TestReconcileFile: a bank's file against a recorded journal, by flags and by a mapping's file, with the exit codes of each outcome.
func TestReconcileFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flags := []string{"--data", recordedData, "--reference", "ref", "--amount", "sum", "--asset", "cur", "--match-on", "key", "--date", "day", "--from", "2026-01-01", "--to", "2026-01-01", "--days", "366"}
	file := func(path string, more ...string) (int, string, string) {
		return runMain(append(append([]string{"reconcile", "file", path}, flags...), more...)...)
	}
	head := "ref,sum,cur,day\n"
	good := write("good.csv", head+"key-67,12.34,USD,2026-09-21\nkey-68,0.55,USD,2026-09-22\n")
	if code, out, errs := file(good); code != 0 || !strings.Contains(out, "2 matched") || !strings.HasSuffix(out, "ok\n") {
		t.Errorf("good: exit %d: %s%s", code, out, errs)
	}
	differs := write("differs.csv", head+"key-67,12.35,USD,2026-09-21\nkey-no,1,USD,2026-09-21\n")
	code, out, errs := file(differs, "-o", "json")
	var rep settle.Report
	_ = json.Unmarshal([]byte(out), &struct {
		*settle.Report
		Assets any `json:"assets"`
	}{Report: &rep})
	if code != exitDifferent || rep.OK || rep.Differs != 1 || rep.MissingInWallet != 1 || len(rep.Differences) != 2 || rep.Differences[0].AmountInWallet != 1234 {
		t.Errorf("differs: exit %d: %s%s", code, out, errs)
	}
	bad := write("bad.csv", head+"key-67,12.34,USD,2026-09-21\nkey-68,zwölf,USD,2026-09-22\n")
	if code, out, errs := file(bad); code != exitUsage || !strings.Contains(errs, "line 3, column 2: amount: ") || !strings.Contains(out, "1 matched") {
		t.Errorf("bad: exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := file(bad, "--strict"); code != exitUsage || !strings.Contains(errs, "line 3, column 2: amount: ") || out != "" {
		t.Errorf("strict: exit %d: %s%s", code, out, errs)
	}
	code, out, _ = file(bad, "-o", "csv")
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || code != exitUsage || len(rows) != 3 || rows[1][0] != "matched" || rows[1][12] != "payer-0" || rows[2][0] != "malformed" {
		t.Errorf("csv: exit %d: %v %v", code, err, rows)
	}

	mapping := write("bank.yaml", "reference: 1\namount: 2\nasset_is: USD\nnegative: debit\ndecimal: \",\"\nseparator: \";\"\nskip: 1\n")
	bank := write("bank.csv", "\xef\xbb\xbfKontoauszug\r\nkey-67;-12,34\r\nkey-68;\"-0,55\"\r\n")
	code, out, errs = runMain("reconcile", "file", bank, "--data", recordedData, "--mapping", mapping, "--match-on", "key", "--account", "payer-0", "-o", "json")
	if !strings.Contains(out, `"matched":2,"amount_differs":0,`) || code != exitDifferent || !strings.Contains(out, `"class":"missing_in_file"`) {
		t.Errorf("mapping: exit %d: %.300s%s", code, out, errs)
	}

	for want, wrong := range map[string][]string{
		"unknown key":         {"--mapping", write("wrong.yaml", "references: 1\n")},
		"no such file":        {"--mapping", filepath.Join(dir, "nowhere.yaml")},
		`"summe"; the file`:   {"--amount", "summe"},
		"is no date":          {"--from", "yesterday"},
		"allow more with":     {"--max", "1"},
		"has no such account": {"--account", "nobody"},
		"name the account":    {"--negative", "debit"},
		"want reference, key": {"--match-on", "sum"},
	} {
		if code, out, errs := file(good, wrong...); code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%v: exit %d: %s%s", wrong, code, out, errs)
		}
	}
	if code, _, errs := file(filepath.Join(dir, "nowhere.csv")); code != exitUsage || !strings.Contains(errs, "no such file") {
		t.Errorf("no file: exit %d: %s", code, errs)
	}
}
