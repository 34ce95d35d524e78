package reconcile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"walletd/journal"
	"walletd/projector/internal/history"
	"walletd/projector/view"
)

const patience = 20 * time.Second

// lastTouch is the last event up to seq that changed the account.
func lastTouch(h *history.History, account journal.Handle, upTo uint64) string {
	p := account.Partition(h.Partitions)
	for i := int(upTo) - 1; i >= 0; i-- {
		for _, c := range h.Changes[p][i] {
			if c.Account == account {
				return h.Events[p][i].String()
			}
		}
	}
	return ""
}

// busiest is an account of the partition that changed often.
func busiest(h *history.History, p int) (account journal.Handle) {
	most := uint64(0)
	for a, s := range h.Books[p].State.(*journal.Memory).Accounts {
		if s.Version > most || (s.Version == most && string(a[:]) < string(account[:])) {
			account, most = a, s.Version
		}
	}
	return account
}

func TestShardsThatAreNotTheReplay(t *testing.T) {
	h := history.New(shape(30))
	const p = 1
	account := busiest(h, p)
	seq := uint64(len(h.Events[p]))
	stale := journal.NewBook(p, h.Partitions)
	for i := range h.Events[p][:seq-100] {
		must(t, stale.Apply(&h.Events[p][i], nil))
	}
	firstMissed := ""
	for i := int(seq) - 100; firstMissed == ""; i++ {
		for _, c := range h.Changes[p][i] {
			if c.Account == account {
				firstMissed = h.Events[p][i].String()
			}
		}
	}
	var reservation journal.ID
	for id := range h.Books[p].State.(*journal.Memory).Reservations {
		reservation = id
	}
	for _, f := range []struct {
		name  string
		spoil func(*Dump)
		expect
	}{
		{"changed balance", func(d *Dump) {
			a := d.State.Accounts[account]
			a.Available += 7
			d.State.Accounts[account] = a
		}, expect{"shard s1", "a wrong account", p, lastTouch(h, account, seq), h.Names[account]}},
		{"stale account", func(d *Dump) { d.State.Accounts[account] = stale.State.(*journal.Memory).Accounts[account] },
			expect{"shard s1", "a wrong account", p, firstMissed, h.Names[account]}},
		{"missing account", func(d *Dump) { delete(d.State.Accounts, account) },
			expect{"shard s1", "a missing account", p, h.Events[p][opening(h, account)].String(), h.Names[account]}},
		{"missing details", func(d *Dump) { delete(d.State.DetailsOf, account) },
			expect{"shard s1", "a missing account details", p, h.Events[p][opening(h, account)].String(), h.Names[account]}},
		{"extra account", func(d *Dump) { d.State.Accounts[journal.HandleOf("ghost")] = journal.Account{Available: 5, Version: 1} },
			expect{"shard s1", "that no event made", p, "", unknown(journal.HandleOf("ghost"))}},
		{"changed reservation", func(d *Dump) {
			r := d.State.Reservations[reservation]
			r.Remaining += 3
			d.State.Reservations[reservation] = r
		}, expect{"shard s1", "a wrong reservation", p, "", ""}},
		{"extra key", func(d *Dump) { d.State.Keys[journal.ID{1}] = journal.KeyRecord{Status: journal.Confirmed} },
			expect{"shard s1", "a key record that no event made", p, "", ""}},
		{"delivered number", func(d *Dump) { d.State.DeliveredOf[0]++ }, expect{"shard s1", "delivered number of source 0", p, "", ""}},
		{"ahead of the journal", func(d *Dump) { d.After++ }, expect{"shard s1", "ahead of the journal", p, "", ""}},
		{"epoch never started", func(d *Dump) { d.Epoch += 100 }, expect{"shard s1", "never started", p, "", ""}},
		{"deposed", func(d *Dump) { d.Epoch = 1 }, expect{"shard s1", "epoch in which it does not serve", p, h.Events[p][seq-1].String(), ""}},
	} {
		t.Run(f.name, func(t *testing.T) {
			list := dumps{}
			for q, b := range h.Books {
				list = append(list, Dump{Partition: q, Shard: "s" + string(rune('0'+q)), Epoch: b.Epoch, Before: b.Seq, After: b.Seq, State: clone(b.State.(*journal.Memory))})
			}
			f.spoil(&list[p])
			r := audited(t, Config{Log: h.Log, Shards: list})
			d := f.in(t, &r)
			equal(t, "differences", len(r.Differences), 1)
			if strings.Contains(f.name, "extra") != (d.Position == "") && !strings.Contains(f.name, "epoch never") {
				t.Errorf("position %q", d.Position)
			}
		})
	}
	r := audited(t, Config{Log: h.Log, Shards: shards(t, h, 6)[:2]})
	if r.OK() || len(r.Unchecked) != 1 || !strings.Contains(r.Unchecked[0], "partition 2") {
		t.Error(r.Text())
	}
}

// opening is the index of the event that opened the account.
func opening(h *history.History, account journal.Handle) int {
	p := account.Partition(h.Partitions)
	for i := range h.Changes[p] {
		for _, c := range h.Changes[p][i] {
			if c.Account == account {
				return i
			}
		}
	}
	return -1
}

// storeKey is a key of the projection's store, by hand: the forger knows its layout (view/keys.go).
func storeKey(kind byte, partition int, rest ...[]byte) []byte {
	key := binary.BigEndian.AppendUint16([]byte{kind}, uint16(partition))
	for _, r := range rest {
		key = append(key, r...)
	}
	return key
}

// forge opens the store behind the view's back.
func forge(t testing.TB, dir string) *pebble.DB {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silent{}, Comparer: view.Comparer()})
	must(t, err)
	return db
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func last(t testing.TB, db *pebble.DB, prefix []byte) (key, value []byte) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(append([]byte(nil), prefix...), 0xff, 0xff)})
	must(t, err)
	if !it.Last() {
		t.Fatalf("nothing under %q", prefix)
	}
	key = append(key, it.Key()...)
	value = append([]byte{}, it.Value()...)
	must(t, it.Close())
	return key, value
}

// newest is the first record under a prefix: of an account's groups the newest.
func newest(t testing.TB, db *pebble.DB, prefix []byte) (key, value []byte) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix})
	must(t, err)
	if !it.First() || !bytes.HasPrefix(it.Key(), prefix) {
		t.Fatalf("nothing under %q", prefix)
	}
	key = append(key, it.Key()...)
	value = append([]byte{}, it.Value()...)
	must(t, it.Close())
	return key, value
}

// groupKey is the key of a group by its oldest line.
func groupKey(partition int, handle []byte, timeMS int64, version uint64) []byte {
	at := binary.BigEndian.AppendUint64(nil, ^uint64(timeMS))[1:]
	return storeKey('a', partition, handle, at, binary.BigEndian.AppendUint64(nil, ^version)[2:])
}

// flaggedAt is where the newest line of a group says that it is flagged.
func flaggedAt(group []byte) int {
	at := journal.AccountSize
	for range 2 {
		_, n := binary.Uvarint(group[at:])
		at += n
	}
	return at
}

func TestProjectionsThatAreNotTheReplay(t *testing.T) {
	h := history.New(shape(31))
	const p = 2
	account := busiest(h, p)
	handle := account[:]
	v, dir := projected(t, h.Log, 1)
	must(t, v.Close())
	end := uint64(len(h.Events[p]))
	set := func(db *pebble.DB, key, value []byte) { must(t, db.Set(key, value, pebble.Sync)) }
	for _, f := range []struct {
		name  string
		spoil func(*pebble.DB) (key, value []byte) // answers what was there

		expect
	}{
		{"changed balance", func(db *pebble.DB) ([]byte, []byte) {
			key, value := newest(t, db, storeKey('a', p, handle))
			a, err := journal.ParseAccount(value[:journal.AccountSize])
			must(t, err)
			a.OverdraftLimit++
			set(db, key, append(a.Append(nil), value[journal.AccountSize:]...))
			return key, value
		}, expect{projection, "a wrong account", p, lastTouch(h, account, end), h.Names[account]}},
		{"missing account", func(db *pebble.DB) ([]byte, []byte) {
			key, value := newest(t, db, storeKey('a', p, handle))
			must(t, db.Delete(key, pebble.Sync))
			return key, value
		}, expect{projection, "a missing account", p, h.Events[p][opening(h, account)].String(), h.Names[account]}},
		{"changed line", func(db *pebble.DB) ([]byte, []byte) {
			key, value := newest(t, db, storeKey('a', p, handle))
			changed := append([]byte(nil), value...)
			changed[flaggedAt(value)] ^= 1
			set(db, key, changed)
			return key, value
		}, expect{projection, "is not what the event did", p, lastTouch(h, account, end), h.Names[account]}},
		{"missing line", func(db *pebble.DB) ([]byte, []byte) {
			key, value := newest(t, db, storeKey('a', p, handle))
			must(t, db.Delete(key, pebble.Sync))
			return key, value
		}, expect{projection, "line of the statement is missing", p, lastTouch(h, account, end), h.Names[account]}},
		{"extra line", func(db *pebble.DB) ([]byte, []byte) {
			_, value := newest(t, db, storeKey('a', p, handle))
			a, err := journal.ParseAccount(value[:journal.AccountSize])
			must(t, err)
			a.Version++ // behind a group's head there are its lines: here, one of no change
			one := append(a.Append(nil), 1, 0, 0, 0, 0)
			key := groupKey(p, handle, 1<<50, a.Version)
			set(db, key, one)
			return key, nil
		}, expect{projection, "line of the statement that no event made", p, "", h.Names[account]}},
		{"changed row", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('e', p))
			changed := append([]byte(nil), value...)
			changed[len(changed)-20] ^= 0x40
			set(db, key, changed)
			return key, value
		}, expect{projection, "an event is not the journal's", p, "", ""}},
		{"missing events", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('e', p))
			must(t, db.Delete(key, pebble.Sync))
			return key, value
		}, expect{projection, "an event is missing", p, "", ""}},
		{"unreadable events", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('e', p))
			set(db, key, value[:20])
			return key, value
		}, expect{projection, "cannot be read", p, "", ""}},
		{"changed id", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('k', p))
			changed := append([]byte(nil), value...)
			changed[len(changed)-10] ^= 1
			set(db, key, changed)
			return key, value
		}, expect{projection, "a transfer's row is not the event's", p, "", ""}},
		{"missing ids", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('k', p))
			must(t, db.Delete(key, pebble.Sync))
			return key, value
		}, expect{projection, "cannot be read", p, "", ""}},
		{"missing listing", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('l', p))
			must(t, db.Delete(key, pebble.Sync))
			return key, value
		}, expect{projection, "is not listed", p, "", ""}},
		{"extra listing", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('l', p))
			key[len(key)-1] ^= 1
			set(db, key, value)
			return key, nil
		}, expect{projection, "listed where it does not belong", p, "", ""}},
		{"changed capture", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('p', p))
			changed := append([]byte(nil), value...)
			changed[len(changed)-1] ^= 1
			set(db, key, changed)
			return key, value
		}, expect{projection, "captures", p, "", ""}},
		{"changed chain", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('c', p))
			changed := append([]byte(nil), value...)
			changed[30] ^= 1
			set(db, key, changed)
			return key, value
		}, expect{projection, "cursor", p, "", ""}},
		{"ahead of the log", func(db *pebble.DB) ([]byte, []byte) {
			key, value := last(t, db, storeKey('c', p))
			changed := append([]byte(nil), value...)
			changed[7]++
			set(db, key, changed)
			return key, value
		}, expect{projection, "records that the journal does not have", p, "", ""}},
	} {
		t.Run(f.name, func(t *testing.T) {
			db := forge(t, dir)
			key, value := f.spoil(db)
			must(t, db.Close())
			v := openView(t, dir, h.Partitions)
			r := audited(t, Config{Log: h.Log, View: v})
			if strings.Contains(f.name, "line") || strings.Contains(f.name, "account") || strings.Contains(f.name, "balance") {
				x := explained(t, WhyConfig{Log: h.Log, Account: account, View: v})
				if f.name != "changed line" && (len(x.Differences) != 1 || x.Differences[0].Where != projection) { // of a flag why says nothing
					t.Errorf("why: %+v", x.Differences)
				}
			}
			must(t, v.Close())
			f.in(t, &r)
			only(t, &r, projection)
			db = forge(t, dir)
			if value == nil {
				must(t, db.Delete(key, pebble.Sync))
			} else {
				set(db, key, value)
			}
			must(t, db.Close())
		})
	}
	v = openView(t, dir, h.Partitions)
	defer func() { must(t, v.Close()) }()
	if r := audited(t, Config{Log: h.Log, View: v}); !r.OK() {
		t.Errorf("put back, and still:\n%s", r.Text())
	}
}
