package walletd

import (
	"strings"
	"testing"

	"walletd/deploy/local"
)

// TestExportIntoPostgres: the command writes once, a repeat writes nothing, and what cannot be is named.
func TestExportIntoPostgres(t *testing.T) {
	url := "postgres://" + local.PostgresUser + "@" + local.Postgres(t).Addr + "/postgres?sslmode=disable"
	sink := func(more ...string) (int, string, string) {
		return runMain(append([]string{"journal", "export", "--data", recordedData, "--to", "postgres", url}, more...)...)
	}
	if code, out, errs := sink("-o", "json"); code != 0 || !strings.Contains(out, `"ok":true`) || strings.Contains(out, `"legs":0`) {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := sink("-o", "json"); code != 0 || !strings.Contains(out, `"legs":0`) {
		t.Errorf("again: exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := sink("--partition", "1"); code != exitUsage || !strings.Contains(errs, "--partition chooses rows of a file") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := runMain("journal", "export", "--data", recordedData, "--to", "csv", "-", "--follow"); code != exitUsage || !strings.Contains(errs, "are of --to postgres") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
