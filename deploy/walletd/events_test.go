package walletd

import (
	"os"
	"strings"
	"testing"
)

// TestEventsOfARecordedJournal: ids and bytes are frozen: consumers know an event by them.
func TestEventsOfARecordedJournal(t *testing.T) {
	const golden = "testdata/events.jsonl"
	code, out, errs := runMain("events", "cat", "--data", recordedData, "--account", "payer-2,shop-0", "-o", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || out != string(want) {
		t.Errorf("%s: %v\n%.3000s", golden, err, out)
	}
	for format, head := range map[string]string{"table": "ID    ", "csv": "id,time,type,account,version,asset,amount,available,reserved,counterparty\n"} {
		code, out, errs := runMain("events", "cat", "--data", recordedData, "--type", "reservation.expired", "--partition", "1", "-o", format)
		if lines := strings.Count(out, "\n"); code != 0 || !strings.HasPrefix(out, head) || lines < 2 || strings.Count(out, "reservation.expired") != lines-1 {
			t.Errorf("-o %s: exit %d: %s%s", format, code, out, errs)
		}
	}
}

func TestEventsCommandsNameWhatIsWrong(t *testing.T) {
	for name, wrong := range map[string][]string{
		"transfer.received":   {"cat", "--data", recordedData, "--type", "transfer"},
		"no partition 9":      {"cat", "--data", recordedData, "--partition", "9"},
		"--data DIR":          {"cat"},
		"--kafka host:port":   {"tail"},
		"partition.epoch.seq": {"rebuild", "--data", recordedData, "--from-position", "3"},
		"names others":        {"rebuild", "--data", recordedData, "--partition", "1", "--from-position", "0.1.3"},
	} {
		if code, _, errs := runMain(append([]string{"events"}, wrong...)...); code != exitUsage || !strings.Contains(errs, name) {
			t.Errorf("%v: exit %d: %s", wrong, code, errs)
		}
	}
	c, _, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Events.Publish, c.Events.Topic = true, c.Topic
	if err := c.validate(roles{projector: true}); err == nil || !strings.Contains(err.Error(), "events.topic") {
		t.Errorf("the journal's topic for events: %v", err)
	}
	if code, _, errs := runMain("dev", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--events"); code != exitUsage || !strings.Contains(errs, "--journal kafka") {
		t.Errorf("--events without Kafka: exit %d: %s", code, errs)
	}
}
