package luascripts

import (
	"testing"
	"time"

	"walletd/deploy/local"
	"walletd/journal"
)

// A shard whose lease is over runs nothing, reads included, in either flavour of the script, and goes on when it has another one.
func TestLeaseOver(t *testing.T) { leaseOver(t) }

func leaseOver(t testing.TB) {
	s := openShard(t, local.Redis(t).Addr)
	b := tellerAt(t, s)
	b.read(`open A -> opened`)
	before := b.dump()
	must(t, s.client.HDel(t.Context(), partsKey, leaseField).Err())
	over := `
		check A 1       -> lease_over
		open B          -> lease_over
		deliver 0 1 A 1 -> lease_over
	`
	lease := func(until time.Time, owned ...Owned) {
		t.Helper()
		held, err := s.Lease(t.Context(), until.UnixMilli(), owned...)
		must(t, err)
		if !held {
			t.Fatalf("no lease until %v for %v", until, owned)
		}
	}
	now, err := s.Time(t.Context())
	must(t, err)
	b.read(over)
	lease(now)
	b.read(over)
	if got := b.dump(); got != before {
		t.Errorf("something happened:\n%s\nbefore:\n%s", got, before)
	}
	lease(now.Add(time.Hour), Owned{0, 1})
	b.read(`open B -> opened`)
	lease(now, Owned{0, 1}) // late on its way: the longer one stays
	b.read(`open C -> opened`)
}

// Nobody's lease is made longer who does not own the partitions that he believes to own, each of them.
func TestLeaseIsTheOwners(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	one, two := journal.NewBook(0, 2), journal.NewBook(1, 2)
	one.Epoch, two.Epoch = 3, 4
	wiped(t, s)
	must(t, s.Load(t.Context(), one, two))
	must(t, s.client.HDel(t.Context(), partsKey, leaseField).Err())
	for what, c := range map[string]struct {
		owned []Owned
		want  bool
	}{
		"both":          {[]Owned{{0, 3}, {1, 4}}, true},
		"an old epoch":  {[]Owned{{0, 3}, {1, 3}}, false},
		"a later epoch": {[]Owned{{0, 5}, {1, 4}}, false},
		"a third":       {[]Owned{{0, 3}, {1, 4}, {2, 4}}, false},
	} {
		got, err := s.Lease(t.Context(), forever, c.owned...)
		must(t, err)
		if n := s.client.HDel(t.Context(), partsKey, leaseField).Val(); got != c.want || (n == 1) != c.want {
			t.Errorf("%s: %t, and %d leases are there", what, got, n)
		}
	}
}

// A replica has the lease that its primary got, in the primary's clock. What it is admitted for when it is promoted is counted in
// its own, which may be behind.
func TestAdmissionBeginsTheLease(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	b := tellerAt(t, s)
	b.read(`open A -> opened`)
	now, err := s.Time(t.Context())
	must(t, err)
	must(t, s.client.HSet(t.Context(), partsKey, leaseField, appendU56(nil, uint64(now.Add(time.Hour).UnixMilli()))).Err())
	must(t, s.Admit(t.Context(), 1, now.UnixMilli()))
	b.read(`open B -> lease_over`)
}
