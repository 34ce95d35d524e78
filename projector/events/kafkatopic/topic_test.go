package kafkatopic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/projector/events"
	"walletd/projector/events/kafkatopic"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

func TestMain(m *testing.M) { os.Exit(local.M{M: m}.Run()) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made is a new topic of a broker that the tests share.
func made(t *testing.T, name string, partitions int) (*kafkatopic.Topic, *local.Server) {
	t.Helper()
	broker := local.SharedKafka(t)
	to := kafkatopic.Open(kafkatopic.Config{Brokers: []string{broker.Addr}, Name: name, Partitions: partitions, Replicas: 1})
	t.Cleanup(to.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, to.Create(ctx))
	must(t, to.Create(ctx)) // again is fine
	return to, broker
}

func TestATopicGivesBackWhatWasAppended(t *testing.T) {
	to, broker := made(t, "events.given-back", 2)
	id, end, err := to.Last(t.Context(), 1)
	must(t, err)
	if id != "" || end != 0 {
		t.Fatalf("a new topic has %q at %d", id, end)
	}
	records := []events.Record{
		{Key: []byte("ann"), Value: []byte(`{"a":1}`), Headers: []events.Header{{Name: "ce_id", Value: "1.1.1-1"}, {Name: "content-type", Value: "application/json"}}},
		{Key: []byte("bob"), Value: []byte(`{"a":2}`), Headers: []events.Header{{Name: "ce_id", Value: "1.1.1-2"}}},
	}
	for want := int64(0); want < 4; want += 2 {
		first, err := to.Append(t.Context(), 1, records)
		must(t, err)
		if first != want {
			t.Fatalf("appended at %d, want %d", first, want)
		}
	}
	id, end, err = to.Last(t.Context(), 1)
	must(t, err)
	if id != "1.1.1-2" || end != 4 {
		t.Errorf("the last is %q before %d", id, end)
	}
	var have []string
	next, err := to.Read(t.Context(), 1, 1, func(offset int64, r *events.Record) error {
		have = append(have, fmt.Sprint(offset, " ", r.Header("ce_id"), " ", string(r.Key), " ", string(r.Value)))
		return nil
	})
	must(t, err)
	if want := `1 1.1.1-2 bob {"a":2},2 1.1.1-1 ann {"a":1},3 1.1.1-2 bob {"a":2}`; strings.Join(have, ",") != want || next != 4 {
		t.Errorf("have %v, next %d", have, next)
	}
	other := kafkatopic.Open(kafkatopic.Config{Brokers: []string{broker.Addr}, Name: "events.given-back", Partitions: 3, Replicas: 1})
	defer other.Close()
	if err := other.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "events.topic") {
		t.Errorf("a topic of two partitions for a wallet of three: %v", err)
	}
}

// libs is where Kafka's jars are.
func libs(t *testing.T) string {
	t.Helper()
	dir, err := local.KafkaJars()
	must(t, err)
	return filepath.Join(dir, "*")
}

func java(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		program = filepath.Join(home, "bin", "java")
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", libs(t)}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("java %v: %v\n%s%s(a JDK is needed: `make deps`)", args, err, &out, &errs)
	}
	return out.String()
}

func TestATopicThatHasLostEverythingIsNotBegunAnew(t *testing.T) {
	to, broker := made(t, "events.trimmed", 1)
	_, err := to.Append(t.Context(), 0, []events.Record{{Key: []byte("a"), Value: []byte("{}"), Headers: []events.Header{{Name: "ce_id", Value: "0.1.1-1"}}}})
	must(t, err)
	java(t, "testdata/Trim.java", broker.Addr, "events.trimmed")
	_, _, err = to.Last(t.Context(), 0)
	if !errors.Is(err, kafkatopic.ErrPlaceLost) || !strings.Contains(err.Error(), "walletd events rebuild --partition 0") {
		t.Errorf("have %v", err)
	}
}

// TestAConsumerInJavaFollowsTheEvents runs the example of docs/events.md against what a publisher has written, a part of it twice.
func TestAConsumerInJavaFollowsTheEvents(t *testing.T) {
	h := history.New(history.Config{Seed: 5, Partitions: 3, Accounts: 4, Steps: 600, Assets: 2, FrameMax: 12})
	v, err := view.Open(view.Config{Dir: "view", Wallet: "java", Partitions: h.Partitions, CacheBytes: 8 << 20, FS: vfs.NewMem()})
	must(t, err)
	defer func() { must(t, v.Close()) }()
	for p := range h.Partitions {
		f, err := v.Fold(p)
		must(t, err)
		_, err = h.Log.Read(t.Context(), p, 0, func(offset int64, record []byte) error {
			_, err := f.Take(offset, record)
			return err
		})
		must(t, err)
		must(t, f.Commit())
		must(t, f.Close())
	}
	to, broker := made(t, "events.java", h.Partitions)
	source := events.NewSource(v, journal.DevAssets)
	total := 0
	for p := range h.Partitions { // a rebuild: all that is published now comes twice
		items, _, err := source.Read(p, events.Place{}, events.Bounds{Events: 1 << 20, Bytes: 1 << 30})
		must(t, err)
		total += len(items)
		var records []events.Record
		for _, i := range items[:len(items)/3] {
			records = append(records, i.Record(events.SourceOf("java")))
		}
		for range 2 {
			_, err = to.Append(t.Context(), p, records)
			must(t, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pub, err := events.NewPublisher(events.PublisherConfig{Source: source, Topic: to, Wallet: "java", Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = pub.Run(ctx) }() // its error is ctx's
	defer func() { cancel(); <-done }()

	out := java(t, "../../../docs/examples/WalletEvents.java", broker.Addr, "events.java", fmt.Sprint(total))
	for p := range h.Partitions {
		for a, account := range h.Books[p].State.(*journal.Memory).Accounts {
			id := h.Names[a]
			if q, asset, ok := a.Suspense(); ok {
				id = view.SuspenseID(q, asset)
			}
			line := fmt.Sprintf("account %s version %d available %d reserved %d\n", id, account.Version, account.Available, account.Reserved)
			if !strings.Contains(out, line) {
				t.Errorf("the consumer does not have %s", line)
			}
		}
	}
	if n := strings.Count(out, "event "); n != total {
		t.Errorf("the consumer took %d events, of %d", n, total)
	}
	if t.Failed() {
		t.Logf("%.2000s", out)
	}
}
