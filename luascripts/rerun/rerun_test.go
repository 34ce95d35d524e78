package rerun

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/luascripts"
)

var update = flag.Bool("update", false, "record testdata/recorded anew, from the acts of this build")

const reportFile = "testdata/report.json"

// TestRecordedJournal: the acts of this build decide what an earlier build decided, in everything that a journal can say. A change
// that is meant to change an outcome changes the meaning of every journal there is: it needs a new act, not an -update.
func TestRecordedJournal(t *testing.T) {
	if *update {
		r := newRecorder(t)
		r.record()
		keep(t, r.log)
	}
	log := recorded(t)
	report := run(t, log, nil, 2)
	for i := range report.Divergences {
		t.Errorf("%s", report.Divergences[i].String())
	}
	events := uint64(0)
	for _, of := range log.events(t) {
		events += uint64(len(of))
	}
	if report.Events != events {
		t.Errorf("%d events compared, the journal has %d", report.Events, events)
	}
	for op, statuses := range everyRecordable() {
		for _, s := range statuses {
			if report.Decisions[op.String()][s.String()] == 0 {
				t.Errorf("the recorded journal has no %v that is %v", op, s)
			}
		}
	}
	text, err := json.MarshalIndent(report, "", "  ")
	must(t, err)
	if *update {
		must(t, os.WriteFile(reportFile, append(text, '\n'), 0o644))
	}
	want, err := os.ReadFile(reportFile)
	must(t, err)
	if !bytes.Equal(append(text, '\n'), want) {
		t.Errorf("the report is not %s:\n%s", reportFile, text)
	}
}

// everyRecordable are the outcomes that an event can have.
func everyRecordable() map[journal.Op][]journal.Status {
	payees := []journal.Status{journal.PayeeNotFound, journal.PayeeClosed, journal.PayeeFrozen}
	try := append([]journal.Status{journal.PayerClosed, journal.PayerFrozen, journal.InsufficientFunds}, payees...)
	pay := append([]journal.Status{journal.Confirmed, journal.LimitExceeded, journal.BalanceOverflow}, try...)
	return map[journal.Op][]journal.Status{
		journal.OpOpen: {journal.Opened}, journal.OpAlter: {journal.Altered}, journal.OpTransfer: pay, journal.OpPay: pay,
		journal.OpReserve: append([]journal.Status{journal.Tried}, try...),
		journal.OpConfirm: append([]journal.Status{journal.Confirmed, journal.Tried, journal.AlreadyConfirmed, journal.AlreadyCancelled,
			journal.ReservationExpired, journal.ExceedsReservation, journal.BalanceOverflow}, payees...),
		journal.OpCancel: {journal.Cancelled, journal.Expired, journal.Tombstone}, journal.OpExpire: {journal.Expired},
		journal.OpDeliver: {journal.Delivered}, journal.OpEvict: {journal.Evicted},
	}
}

const testSlice = time.Minute // of keys: so that slices are sealed and dropped

// run runs a journal again on so many scratch shards, with the acts' text changed.
func run(t testing.TB, log journal.Log, change func(string) string, shards int) Report {
	t.Helper()
	c := Config{Log: log}
	for range shards {
		s, err := luascripts.OpenScratch(t.Context(), luascripts.Config{Addr: local.Redis(t).Addr, KeySlice: testSlice}, change)
		must(t, err)
		defer s.Close()
		c.Shards = append(c.Shards, s)
	}
	report, err := Run(t.Context(), c)
	must(t, err)
	return report
}

// TestChangedActsAreFound: a build that decides otherwise is told at the first event of each partition where it does, and by what.
func TestChangedActsAreFound(t *testing.T) {
	log := recorded(t)
	events := log.events(t)
	is := func(op journal.Op, s journal.Status) func(*journal.Row, *journal.Event) bool {
		return func(r *journal.Row, e *journal.Event) bool { return r.Op == op && e.Status == s }
	}
	for _, c := range []struct {
		name, text, changed string
		first               func(*journal.Row, *journal.Event) bool // event at which it shows
		what, acts          string
	}{
		{"funds", "elseif sum > spendable then", "elseif sum >= spendable then", nil, "decision", "insufficient_funds, 0 missing"},
		{"what is missing", "lesser(sum - spendable,", "lesser(sum - spendable + 1,",
			func(r *journal.Row, e *journal.Event) bool {
				return e.Status == journal.InsufficientFunds && r.Op != journal.OpReserve
			}, "decision", "missing"},
		{"frozen payees", fmt.Sprintf("if has_flag(f, %d) then return %d end\n  end\n  if sum", journal.FrozenReceiving, journal.PayeeFrozen), "end\n  if sum",
			func(r *journal.Row, e *journal.Event) bool {
				return e.Status == journal.PayeeFrozen && r.Verdict == journal.VerdictLocal
			}, "decision", "confirmed"},
		{"expiry", "if now >= expires_ms[r] then return refuse", "if now > expires_ms[r] then return refuse",
			is(journal.OpConfirm, journal.ReservationExpired), "decision", "confirmed, 1 captured"},
		{"the payee gets more", "move(payer, -sum)\n  move(a, sum)", "move(payer, -sum)\n  move(a, sum + 1)", is(journal.OpTransfer, journal.Confirmed), "account", "available"},
		{"the payer keeps it", "move(payer, -sum)\n  return accept", "return accept", is(journal.OpPay, journal.Confirmed), "account", "available"},
		{"no tombstone", "return entomb(i)", "answer(i, 1)\nreturn put('\\0')", is(journal.OpCancel, journal.Tombstone), "decision", "ok"},
		{"what a key remembers", "pack('>BBI6I4I6', status, o, now, epoch,", "pack('>BBI6I4I6', status, o, now, epoch + 1,",
			func(r *journal.Row, e *journal.Event) bool { return r.Op.Keyed() || e.Status == journal.Tombstone }, "key record", "epoch 2"},
		{"the rest of a capture", "return sum + left, captured[r]", "return sum, captured[r]", nil, "account", "reserved"},
		{"numbers", "available[a], version[a] = available[a] + sum,", "available[a], version[a] = tonumber(tostring(available[a] + sum)),", nil, "account", "available"},
		{"time goes on alone", "math.max(read(", "1 + math.max(read(", func(*journal.Row, *journal.Event) bool { return true }, "time", ""},
		{"seqs", "seq = seq + 1", "seq = seq + 2", func(*journal.Row, *journal.Event) bool { return true }, "account", "status seq 2"},
		{"deliveries are counted otherwise", "delivered[d], channel_moved[d] = up_to, true", "delivered[d], channel_moved[d] = up_to + 1, true", nil, "decision", "delivery_gap"},
		{"spare accounts", "a = leg_spare[l]", "a = leg_to[l]", nil, "decision", "suspense_full"},
		{"sealed keys are not looked for", "look_for(maybe, n, behind, #behind)", "", nil, "key record and reservation of", "no key record"},
		{"evicted keys are found", "record[k], old[k] = false, true", "old[k] = true", nil, "key record and reservation of", "key of"},
		{"what no event tells of", "store(details_hash, words, w)", "", nil, "state at the end: details of account", `""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := run(t, log, func(text string) string {
				if strings.Count(text, c.text) != 1 {
					t.Errorf("%q stands %d times in the train: this changes nothing", c.text, strings.Count(text, c.text))
				}
				return strings.Replace(text, c.text, c.changed, 1)
			}, 1)
			if report.OK() {
				t.Fatal("a changed act is not found")
			}
			for i, d := range report.Divergences {
				if !strings.Contains(d.What, c.what) || !strings.Contains(d.Acts, c.acts) || (d.What == "decision" && d.Book != d.Journal) {
					t.Errorf("%s", d.String())
				}
				if i > 0 && d.TimeMS < report.Divergences[i-1].TimeMS {
					t.Errorf("%s is told behind a later one", d.At)
				}
			}
			if c.first == nil {
				return
			}
			found := map[journal.Position]bool{}
			for _, d := range report.Divergences {
				found[d.Position] = true
			}
			for p := range events {
				if at := firstOf(t, events[p], c.first); at != nil && !found[*at] {
					t.Errorf("partition %d is not found at %v: %+v", p, at, report.Divergences)
				}
			}
		})
	}
}

func firstOf(t testing.TB, events []journal.Event, is func(*journal.Row, *journal.Event) bool) *journal.Position {
	for i := range events {
		row, err := events[i].Row()
		must(t, err)
		if is(&row, &events[i]) {
			return &events[i].Position
		}
	}
	return nil
}

// TestScratchShardsForgetWhatIsEvicted: a scratch shard holds what a shard would hold, not the whole past.
func TestScratchShardsForgetWhatIsEvicted(t *testing.T) {
	log := recorded(t)
	s, err := luascripts.OpenScratch(t.Context(), luascripts.Config{Addr: local.Redis(t).Addr, KeySlice: testSlice}, nil)
	must(t, err)
	defer s.Close()
	for p, events := range log.events(t) {
		if _, err := Run(t.Context(), Config{Log: log, Partitions: []int{p}, Shards: []*luascripts.Scratch{s}}); err != nil {
			t.Fatal(err)
		}
		evictedMS, want := int64(0), int64(0)
		for _, count := range []bool{false, true} { // a slice is dropped when all of it is evicted
			for i := range events {
				row, err := events[i].Row()
				must(t, err)
				switch {
				case row.Op == journal.OpEvict:
					evictedMS = row.CutoffMS
				case !count || !row.Op.Keyed() && events[i].Status != journal.Tombstone:
				case (events[i].TimeMS/testSlice.Milliseconds()+1)*testSlice.Milliseconds() > evictedMS:
					want++
				}
			}
		}
		w, err := s.Window(t.Context())
		must(t, err)
		held, err := s.Held(t.Context(), recordedPartitions)
		must(t, err)
		if !w.Filtered || held.Keys != want || want == 0 || int(want) >= len(events)*3/4 {
			t.Errorf("partition %d: %d keys are held, want %d, window %+v, evicted before %d", p, held.Keys, want, w, evictedMS)
		}
	}
}

// rewritten is the recorded journal with one event of a partition changed, and its chain unbroken.
func rewritten(t testing.TB, p int, change func(*journal.Row, *journal.Event) bool) (*journalLog, journal.Position) {
	t.Helper()
	log := recorded(t)
	events := log.events(t)[p]
	var at journal.Position
	for i := range events {
		row, err := events[i].Row()
		must(t, err)
		if change(&row, &events[i]) {
			at, events[i].Packed = events[i].Position, row.Append(nil)
			break
		}
	}
	home := &recordedHome{cursor: journal.Cursor{Partition: p}}
	r := &recorder{t: t, log: log, homes: make([]*recordedHome, p+1)}
	r.homes[p], log.partitions[p] = home, nil
	for _, e := range events {
		for e.Epoch > home.epoch {
			r.cut(p)
			home.epoch++
			f := journal.NewEpochFrame(p, home.epoch, 1, "forger")
			r.put(p, f.Seal(nil))
		}
		home.events = append(home.events, e)
	}
	r.cut(p)
	return log, at
}

// TestAJournalThatNoActsWouldWrite: a journal that says other than acts and Book is told, in what it says and what they do.
func TestAJournalThatNoActsWouldWrite(t *testing.T) {
	second := 0 // events of epoch 2
	for _, c := range []struct {
		name   string
		change func(*journal.Row, *journal.Event) bool
		want   Divergence
	}{
		{"a refusal that was none", func(r *journal.Row, e *journal.Event) bool {
			if r.Op != journal.OpTransfer || e.Status != journal.Confirmed {
				return false
			}
			e.Status = journal.PayeeFrozen
			return true
		}, Divergence{What: "decision", Journal: "payee_account_frozen", Acts: "confirmed", Book: "confirmed"}},
		{"more than there was", func(r *journal.Row, e *journal.Event) bool {
			a := r.Op == journal.OpReserve && e.Status == journal.Tried
			r.Amount = journal.AmountMax
			return a
		}, Divergence{What: "decision", Journal: "tried", Acts: "insufficient_funds, ", Book: "insufficient_funds, "}},
		{"the past", func(r *journal.Row, e *journal.Event) bool {
			if e.Seq < 20 {
				return false
			}
			e.TimeMS -= 10_000
			return true
		}, Divergence{What: "time"}},
		{"an epoch that was over", func(r *journal.Row, e *journal.Event) bool {
			if e.Epoch == 2 {
				second++
			}
			if second == 2 {
				e.Epoch = 1
			}
			return second == 2
		}, Divergence{What: "position", Acts: "no such epoch behind epoch 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, at := rewritten(t, 1, c.change)
			report := run(t, log, nil, 2)
			if len(report.Divergences) != 1 {
				t.Fatalf("%d divergences, want one: %+v", len(report.Divergences), report.Divergences)
			}
			d, w := report.Divergences[0], c.want
			if d.Position != at && c.want.What != "position" || d.What != w.What || !strings.HasPrefix(d.Journal, w.Journal) || !strings.HasPrefix(d.Acts, w.Acts) || !strings.HasPrefix(d.Book, w.Book) {
				t.Errorf("at %v: %s\nwant %+v", at, d.String(), w)
			}
		})
	}
}

// TestTimeGoesBackWhereATrainIsFull: the section that is begun for a row which then does not fit has no rows.
func TestTimeGoesBackWhereATrainIsFull(t *testing.T) {
	home := &recordedHome{epoch: 1}
	log := &journalLog{partitions: make([][][]byte, 1)}
	r := &recorder{t: t, log: log, homes: []*recordedHome{home}}
	epoch := journal.NewEpochFrame(0, 1, 1, "forger")
	r.put(0, epoch.Seal(nil))
	for n := range luascripts.ActsMax/2 + 1 { // each is an act, and a look at the account
		h := journal.HandleOf(fmt.Sprint(n))
		row := journal.Row{Op: journal.OpOpen, Account: h, Text: []byte("{}")}
		e := journal.Event{Position: journal.Position{Epoch: 1, Seq: uint64(n) + 1}, TimeMS: 1_790_000_000_000, Status: journal.Opened, Packed: row.Append(nil)}
		if n == luascripts.ActsMax/2 {
			e.TimeMS--
		}
		home.events = append(home.events, e)
	}
	r.cut(0)
	report := run(t, log, nil, 1)
	if len(report.Divergences) != 1 || report.Divergences[0].What != "time" || report.Divergences[0].Position.Seq != luascripts.ActsMax/2+1 || report.Events != luascripts.ActsMax/2 {
		t.Errorf("%d events, %+v", report.Events, report.Divergences)
	}
}

// TestADamagedJournalIsNoDivergence: what was not written so is damage, located.
func TestADamagedJournalIsNoDivergence(t *testing.T) {
	log := recorded(t)
	record := log.partitions[1][3]
	record[len(record)-1] ^= 1
	s, err := luascripts.OpenScratch(t.Context(), luascripts.Config{Addr: local.Redis(t).Addr}, nil)
	must(t, err)
	defer s.Close()
	if _, err := Run(t.Context(), Config{Log: log, Shards: []*luascripts.Scratch{s}}); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "offset 3") {
		t.Errorf("damage: %v", err)
	}
}
