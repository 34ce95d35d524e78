package wire

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"walletd/journal"
)

var update = flag.Bool("update", false, "write testdata/codes.golden anew")

// The table is a promise to clients: a change of it must be seen in the golden file's diff.
func TestCodesAreTheGoldenTable(t *testing.T) {
	var b strings.Builder
	for _, c := range Codes() {
		retryable := "final"
		if c.Retryable {
			retryable = fmt.Sprintf("retry after %d s", c.RetryAfter)
		}
		fmt.Fprintf(&b, "%-46s http %d  exit %d  %-16s  %s. %s\n", c.Code, c.HTTP, c.Exit, retryable, c.Title, c.Help)
	}
	const golden = "testdata/codes.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table of codes is not %s (run with -update and read the diff); it is now\n%s", golden, b.String())
	}
}

func TestCodesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Code] {
			t.Errorf("%s: twice in the table", c.Code)
		}
		seen[c.Code] = true
		if c.Title == "" || c.Help == "" || strings.Contains(c.Help, "\n") {
			t.Errorf("%s: wants a title and one line of help", c.Code)
		}
		if c.Retryable != (c.RetryAfter > 0) {
			t.Errorf("%s: retryable %v, Retry-After %d", c.Code, c.Retryable, c.RetryAfter)
		}
		if Lookup(c.Code) != c {
			t.Errorf("%s: Lookup finds %v", c.Code, Lookup(c.Code))
		}
	}
	if got := Lookup("nonsense").Code; got != "outcome_unknown" {
		t.Errorf("an unknown code is %s", got)
	}
}

// Every refusal of a shard has its place in the table, in the order of precedence, and is retryable there when it is in the journal.
func TestEveryStatusHasItsCode(t *testing.T) {
	house := map[journal.Status]string{
		journal.Uninitialised: "shard_unavailable", journal.StaleEpoch: "shard_unavailable", journal.LeaseOver: "shard_unavailable",
		journal.AlterConflict: "shard_unavailable", journal.DeliveryGap: "shard_unavailable",
		journal.SuspenseFull: "shard_unavailable", journal.NotDue: "shard_unavailable",
		journal.UnknownTry: "shard_unavailable", journal.Malformed: "shard_unavailable",
		journal.AccountExists: "account_exists_with_different_id", journal.None: "outcome_unknown",
		journal.KeyOld: "projection_behind",
	}
	for i := 0; i < 256; i++ {
		s := journal.Status(i)
		want, told := house[s]
		switch {
		case told:
		case !s.Known():
			want = "outcome_unknown"
		default:
			want = s.Code()
		}
		got := OfStatus(s)
		if got.Code != want {
			t.Errorf("%v is told as %s, want %s", s, got.Code, want)
		}
		if s.Accepted() {
			if got.HTTP != 200 || got.Exit != 0 || got.Retryable {
				t.Errorf("%v: %+v", s, got)
			}
			continue
		}
		if _, in := byCode[got.Code]; !in {
			t.Errorf("%v: %s is not in the table", s, got.Code)
		}
		if !told && s.Known() && got.Retryable != s.Retryable() {
			t.Errorf("%v: retryable %v, the journal says %v", s, got.Retryable, s.Retryable())
		}
	}
}

// The table's order of what a shard can refuse is the statuses' order.
func TestCodesKeepThePrecedenceOfStatuses(t *testing.T) {
	last := -1
	for s := journal.KeyReusedKind; s <= journal.CancelledBeforeTry; s++ {
		at := byCode[s.Code()]
		if s == journal.PayeeNotFound {
			last = -1 // payee's three follow the payer's three and share their codes
		}
		if at <= last && s != journal.PayeeNotFound {
			t.Errorf("%v stands before its predecessor", s)
		}
		last = at
	}
}

func TestAccountExistsWith(t *testing.T) {
	for field, want := range map[string]string{
		"asset": "account_exists_with_different_asset", "metadata": "account_exists_with_different_metadata",
		"shoe_size": "account_exists_with_different_id",
	} {
		if got := AccountExistsWith(field); got.Code != want || got.HTTP != 409 || got.Exit != 5 {
			t.Errorf("another %s: %+v", field, got)
		}
	}
}
