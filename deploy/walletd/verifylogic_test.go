package walletd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"walletd/journal"
	"walletd/journal/filelog"
)

// recordedData is a data directory whose journal has everything that a journal can say.
const recordedData = "../../luascripts/rerun/testdata/recorded"

func runMain(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestVerifyLogicOfARecordedJournal(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	code, out, errs := runMain("verify-logic", "--data", recordedData, "-o", "json")
	var report logicReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.OK || report.Events < 800 || report.NotCompared == "" {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	code, out, errs = runMain("verify-logic", "--data", recordedData, "--partition", "1", "--shards", "1")
	if code != 0 || !strings.Contains(out, "decisions agree") || !strings.HasSuffix(out, "ok\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, out, _ := runMain("verify-logic", "--help"); !strings.Contains(out, "Not compared, because no journal has them: reads, ") {
		t.Errorf("it does not say what it cannot compare: %s", out)
	}
	for _, wrong := range [][]string{{"--partition", "3"}, {"--shards", "-1"}, {"-c", "x.yaml"}} {
		if code, out, errs := runMain(append([]string{"verify-logic", "--data", recordedData}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit %d: %s%s", wrong, code, out, errs)
		}
	}
}

// TestVerifyLogicNamesTheFirstEvent: a transfer that this build would have refused is told in words, with exit code 9.
func TestVerifyLogicNamesTheFirstEvent(t *testing.T) {
	data := t.TempDir()
	if _, err := openDataDir(data, dirMeta{Partitions: 1}, 0); err != nil {
		t.Fatal(err)
	}
	log, err := filelog.Open(filelog.Config{Dir: filepath.Join(data, "journal"), Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	block := journal.Block{TimeMS: 1_790_000_000_000, Epoch: 1}
	add := func(status journal.Status, r journal.Row) {
		block.Events, block.Count = append(r.Append(block.Events), byte(status)), block.Count+1
	}
	alice, bob := journal.HandleOf("alice"), journal.HandleOf("bob")
	add(journal.Opened, journal.Row{Op: journal.OpOpen, Account: alice, Text: []byte(`{"id":"alice","asset":"USD"}`)})
	add(journal.Opened, journal.Row{Op: journal.OpOpen, Account: bob, Text: []byte(`{"id":"bob","asset":"USD"}`)})
	add(journal.Confirmed, journal.Row{Op: journal.OpTransfer, ID: journal.IDOf(alice, "k"), Account: alice, To: bob, Amount: 5, Key: []byte("k"), ToText: []byte("bob"), Verdict: journal.VerdictLocal})
	epoch := journal.NewEpochFrame(0, 1, block.TimeMS, "keeper")
	cursor := journal.Cursor{}
	if _, _, err := cursor.Next(0, epoch.Seal(nil)); err != nil {
		t.Fatal(err)
	}
	events := journal.Frame{Kind: journal.FrameEvents, Epoch: 1, FirstSeq: 1, Count: block.Count, Prev: cursor.Chain, Payload: block.Append(nil)}
	for _, record := range [][]byte{epoch.Seal(nil), events.Seal(nil)} {
		if _, err := log.Append(t.Context(), []journal.Record{{Bytes: record}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	code, out, errs := runMain("verify-logic", "--data", data)
	for _, want := range []string{"0.1.3", "alice → bob", `key "k"`, "journal has   confirmed", "insufficient_funds, 5 missing", "2 decisions agree"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != exitDifferent || !strings.Contains(errs, "first at event 0.1.3") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if t.Failed() {
		t.Log(out)
	}
}
