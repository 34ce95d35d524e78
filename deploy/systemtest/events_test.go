package systemtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"walletd/projector/events"
	"walletd/projector/events/kafkatopic"
	"walletd/projector/webhooks"
)

// TestPublicEvents: the topic has every version of every account once, in order, with the bytes that the journal alone gives; a projector that is
// killed while it publishes, and a rebuild, only repeat; a tail shows them.
func TestPublicEvents(t *testing.T) {
	hook, told := startReceiver(t)
	c := startCluster(t, clusterOptions{events: true, webhook: hook})
	l := startLoad(t, c.wallet)
	l.advance(steady)
	for range 2 {
		c.projector.signal(syscall.SIGKILL)
		<-c.projector.exited
		c.projector.launch()
		c.projector.awaitReady()
		l.advance(steady)
	}
	tail := launch(t, "events tail", nil, "events", "tail", "-c", c.config, "--from-beginning", "--partition", "7", "-o", "json")
	c.check(l.stop())

	r := run(t, nil, "events", "cat", "-c", c.config, "-o", "json")
	if r.code != 0 {
		t.Fatalf("walletd events cat: %v", r)
	}
	confirmed := map[string]bool{}
	want, wanted, last := map[string]string{}, 0, ""
	for line := range strings.Lines(r.stdout) {
		var e struct {
			ID, Type, Subject string
			Data              json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		want[e.ID] = e.Subject + " " + string(e.Data)
		wanted, last = wanted+1, e.ID
		if e.Type == "reservation.confirmed" {
			confirmed["evt_"+strings.ReplaceAll(e.ID, ".", "-")] = true
		}
	}
	to := kafkatopic.Open(kafkatopic.Config{Brokers: addrsOf(c.kafka), Name: c.eventsTopic(), Partitions: clusterPartitions, Replicas: 1})
	defer to.Close()
	seen := awaitEvents(t, to, want)
	t.Logf("%d events, %d in the topic", wanted, seen)
	await(t, time.Minute, "the tail to show the last event of partition 7", func() error {
		if !strings.Contains(tail.out.String(), `"id":"`+last+`"`) {
			return fmt.Errorf("%s is not there", last)
		}
		return nil
	})

	await(t, time.Minute, "the webhook to be told of every confirmed reservation", func() error {
		if have := told(); !maps.Equal(have, confirmed) {
			return fmt.Errorf("%d of %d", len(have), len(confirmed))
		}
		return nil
	})
	if len(confirmed) == 0 {
		t.Error("the load has confirmed nothing")
	}

	var lag struct {
		Data []struct {
			Events  uint64
			Trouble string
		}
	}
	await(t, time.Minute, "no lag", func() error {
		if err := operate(t.Context(), c.admin, "GET", "/admin/v1/events", nil, &lag); err != nil {
			return err
		}
		for p, l := range lag.Data {
			if l.Events != 0 || l.Trouble != "" {
				return fmt.Errorf("partition %d: %+v", p, l)
			}
		}
		return nil
	})
	if len(lag.Data) != clusterPartitions {
		t.Errorf("lag of %d partitions", len(lag.Data))
	}

	var rebuilt struct{ Published int }
	command(t, &rebuilt, "events", "rebuild", "-c", c.config)
	if rebuilt.Published != wanted {
		t.Errorf("rebuilt %d events, of %d", rebuilt.Published, wanted)
	}
	if again := awaitEvents(t, to, want); again != seen+wanted {
		t.Errorf("%d events are in the topic behind the rebuild, want %d", again, seen+wanted)
	}
}

const webhookSecret = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="

// startReceiver is a webhook's: told answers the messages that it has taken.
func startReceiver(t *testing.T) (url string, told func() map[string]bool) {
	key, err := webhooks.ParseSecret(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	ids := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		at, err2 := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
		id := r.Header.Get("Webhook-Id")
		mu.Lock()
		defer mu.Unlock()
		if errors.Join(err, err2) == nil && r.Header.Get("Webhook-Signature") == webhooks.Sign([][]byte{key}, id, at, body) {
			ids[id] = true
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func() map[string]bool {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(ids)
	}
}

// awaitEvents reads the topic until it has all the events, and answers how many records that are. No event may come before one that comes
// before it, and none with other bytes.
func awaitEvents(t *testing.T, to *kafkatopic.Topic, want map[string]string) (records int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen, versions := map[string]bool{}, map[string]uint64{}
	at := make([]int64, clusterPartitions)
	for len(seen) < len(want) {
		for p := range at {
			_, end, err := to.Ends(ctx, p)
			for err == nil && at[p] < end {
				at[p], err = to.Read(ctx, p, at[p], func(_ int64, r *events.Record) error {
					records++
					i, err := r.Item()
					if err != nil {
						return err
					}
					id := i.ID.String()
					if have := i.Account + " " + string(i.Body); have != want[id] {
						return fmt.Errorf("event %s\nhave %s\nwant %s", id, have, want[id])
					}
					if i.Version > versions[i.Account]+1 {
						return fmt.Errorf("event %s: version %d of %s follows %d", id, i.Version, i.Account, versions[i.Account])
					}
					seen[id], versions[i.Account] = true, max(i.Version, versions[i.Account])
					return nil
				})
			}
			if err != nil {
				t.Fatalf("%d of %d events seen: %v", len(seen), len(want), err)
			}
		}
	}
	return records
}
