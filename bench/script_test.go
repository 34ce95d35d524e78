package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"walletd/journal"
)

func scriptOf(t testing.TB, accounts int, l Load) (*script, *Config) {
	t.Helper()
	return scriptOfLen(t, accounts, l, scriptLen)
}

func scriptOfLen(t testing.TB, accounts int, l Load, operations int) (*script, *Config) {
	t.Helper()
	cfg := Config{URL: "http://x", Partitions: 8, Accounts: accounts, Run: "test", Workload: l.Workload}
	cfg.withDefaults()
	l.withDefaults()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p := newPeople(&cfg)
	if l.Workload == SmallBank {
		p.hireTellers(&cfg)
	}
	s, err := newScript(p, &l, operations)
	if err != nil {
		t.Fatal(err)
	}
	return s, &cfg
}

// The share is exact wherever one looks: every first n operations have n × share cross transfers, give or take one.
func TestCrossShareIsExact(t *testing.T) {
	for _, distribution := range []Distribution{Uniform, Zipf, Hot} {
		for _, share := range []float64{0, 0.01, 1.0 / 3, 0.5, 0.999, 1} {
			t.Run(fmt.Sprint(distribution, share), func(t *testing.T) {
				s, _ := scriptOfLen(t, 1000, Load{Distribution: distribution, Cross: share}, 20_000)
				cross := 0
				for i, o := range s.ops {
					if o.from == o.to {
						t.Fatalf("operation %d pays itself", i)
					}
					if s.crosses(o) {
						cross++
					}
					if d := float64(cross) - float64(i+1)*share; math.Abs(d) > 1 {
						t.Fatalf("%d of the first %d are cross, want %v", cross, i+1, float64(i+1)*share)
					}
				}
			})
		}
	}
}

// counts is how often each account pays or is paid.
func counts(s *script) []int {
	n := make([]int, s.all())
	for _, o := range s.ops {
		n[o.from]++
		n[o.to]++
	}
	return n
}

func TestDistributions(t *testing.T) {
	const sides = 2 * scriptLen
	t.Run("uniform", func(t *testing.T) {
		s, _ := scriptOf(t, 1000, Load{Cross: 0.5})
		mean := float64(sides) / 1000
		for i, n := range counts(s)[:1000] {
			if math.Abs(float64(n)-mean) > 0.4*mean {
				t.Errorf("account %d is in %d transfers, the mean is %.0f", i, n, mean)
			}
		}
	})
	t.Run("zipf", func(t *testing.T) {
		s, _ := scriptOf(t, 1000, Load{Distribution: Zipf, Cross: 0.9})
		n := counts(s)
		slices.Sort(n)
		top, first := 0, n[len(n)-1]
		for _, n := range n[len(n)-100:] {
			top += n
		}
		// 1/7.73 and 5.26/7.73, a little less for those that find no partner at once
		if share := float64(first) / sides; share < 0.11 || share > 0.15 {
			t.Errorf("the most busy account is in %.3f of the sides", share)
		}
		if share := float64(top) / sides; share < 0.6 || share > 0.72 {
			t.Errorf("the most busy tenth is in %.3f of the sides", share)
		}
	})
	t.Run("hot", func(t *testing.T) {
		s, _ := scriptOf(t, 1000, Load{Distribution: Hot, Cross: 0.5})
		n := counts(s)
		hot := uint32(slices.Index(n, slices.Max(n)))
		pays, isPaid := 0, 0
		for _, o := range s.ops {
			switch hot {
			case o.from:
				pays++
			case o.to:
				isPaid++
			}
		}
		if share := float64(pays+isPaid) / scriptLen; share < 0.5 || share > 0.503 || math.Abs(float64(pays-isPaid)) > 0.02*scriptLen {
			t.Errorf("the hot account pays %d and is paid %d of %d", pays, isPaid, scriptLen)
		}
	})
}

// Ranks come as often as the law says, the first as well as the last, for exponents on both sides of 1.
func TestZipfIsZipf(t *testing.T) {
	for _, exponent := range []float64{0.5, zipfExponent, 1.2} {
		const n, draws = 50, 300_000
		z := newZipf(rand.New(rand.NewPCG(7, 7)), exponent, n)
		seen := make([]float64, n)
		for range draws {
			seen[z.draw()]++
		}
		norm, chi2 := 0.0, 0.0
		for i := range n {
			norm += math.Pow(float64(i+1), -exponent)
		}
		for i := range n {
			want := draws * math.Pow(float64(i+1), -exponent) / norm
			chi2 += (seen[i] - want) * (seen[i] - want) / want
		}
		if chi2 > 90 { // 49 degrees of freedom: the 99.97th percentile
			t.Errorf("exponent %v: χ² is %.1f", exponent, chi2)
		}
	}
	z := newZipf(rand.New(rand.NewPCG(7, 7)), zipfExponent, 1)
	if got := z.draw(); got != 0 {
		t.Errorf("of one rank, %d was drawn", got)
	}
}

func kindsOf(s *script) (n [kinds]int) {
	for _, o := range s.ops {
		n[o.kind]++
	}
	return n
}

func TestMixes(t *testing.T) {
	for _, row := range []struct {
		workload Workload
		kind     kind
		share    float64
		give     float64
	}{
		{Transfers, kindTransfer, 1, 0}, {Reservations, kindReserve, 1, 0}, {Refusals, kindPoor, 0.2, 1e-5}, {Repeats, kindRepeat, 0.01, 1e-5},
		{Reads, kindRead, 0.95, 1e-5}, {SmallBank, kindLook, 0.15, 0.005}, {SmallBank, kindDeposit, 0.15, 0.005}, {SmallBank, kindSave, 0.08, 0.005},
		{SmallBank, kindDraw, 0.07, 0.005}, {SmallBank, kindCheck, 0.15, 0.005}, {SmallBank, kindAmalgamate, 0.15, 0.005}, {SmallBank, kindSendPayment, 0.25, 0.005},
	} {
		s, _ := scriptOf(t, 1000, Load{Workload: row.workload, Cross: 0.5})
		if got := float64(kindsOf(s)[row.kind]) / scriptLen; math.Abs(got-row.share) > row.give {
			t.Errorf("%s: %.4f are %s, want %v", row.workload, got, kindNames[row.kind], row.share)
		}
	}
}

// The few transfers between many reads are of both kinds: a pattern of one mixture does not follow that of another.
func TestSharesDoNotBeat(t *testing.T) {
	s, _ := scriptOf(t, 1000, Load{Workload: Reads, Cross: 0.5})
	cross, all := 0, 0
	for _, o := range s.ops {
		if o.kind == kindTransfer {
			if all++; s.crosses(o) {
				cross++
			}
		}
	}
	if d := float64(cross) - float64(all)/2; math.Abs(d) > 1 {
		t.Errorf("%d of %d transfers between reads are cross", cross, all)
	}
}

// SmallBank's customers have two accounts; cash is paid in and out within a partition; nobody pays himself.
func TestSmallBank(t *testing.T) {
	for _, accounts := range []int{100, 101, 1000} {
		s, _ := scriptOfLen(t, accounts, Load{Workload: SmallBank, Cross: 0.5}, 20_000)
		for i, o := range s.ops {
			customer := o.from&^1 == o.to&^1
			switch o.kind {
			case kindLook:
				if o.from%2 != 0 || o.to != o.from+1 {
					t.Fatalf("operation %d looks at %d and %d", i, o.from, o.to)
				}
			case kindAmalgamate, kindSendPayment:
				if customer || o.from%2 != 0 || o.to%2 != 0 || int(max(o.from, o.to)) >= accounts {
					t.Fatalf("operation %d of %d accounts is from %d to %d", i, accounts, o.from, o.to)
				}
			default:
				if s.crosses(o) || (int(o.from) < accounts) == (int(o.to) < accounts) {
					t.Fatalf("operation %d pays cash from %d to %d", i, o.from, o.to)
				}
			}
		}
	}
}

func TestSameSeedSameTransfers(t *testing.T) {
	a, _ := scriptOfLen(t, 1000, Load{Seed: 7}, 1000)
	b, _ := scriptOfLen(t, 1000, Load{Seed: 7}, 1000)
	other, _ := scriptOfLen(t, 1000, Load{Seed: 8}, 1000)
	if !reflect.DeepEqual(a.ops, b.ops) || reflect.DeepEqual(a.ops, other.ops) {
		t.Error("the seed does not decide the transfers")
	}
}

// Commands put together from pieces are what they are meant to be.
func TestComposer(t *testing.T) {
	s, cfg := scriptOf(t, 1000, Load{Workload: Refusals})
	cfg.Amount, cfg.Asset = 1250, "EUR"
	c := newComposer(cfg, s, "test-r3")
	type transfer struct {
		Key, From, To, Asset string
		Amount               journal.Amount
	}
	var m struct {
		Transfer transfer
		Reserve  transfer
		Batch    struct{ Transfers []transfer }
		Confirm  struct{ Reservation, Key string }
		Balance  struct{ Account string }
	}
	name := func(i uint32) string { return string(s.name(i)) }
	read := func(command []byte) {
		t.Helper()
		if err := json.Unmarshal([]byte("{"+string(command)+"}"), &m); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	o := s.ops[3]
	read(c.one(17, o.from, o.to, 5))
	if want := (transfer{"test-r3-17", name(o.from), name(o.to), "EUR", 5}); m.Transfer != want {
		t.Errorf("got %+v, want %+v", m.Transfer, want)
	}
	read(c.reserve(18, o))
	if want := (transfer{"test-r3-18", name(o.from), name(o.to), "EUR", 1250}); m.Reserve != want {
		t.Errorf("got %+v, want %+v", m.Reserve, want)
	}
	if read(c.confirm([]byte("rs_x"))); m.Confirm.Reservation != "rs_x" || m.Confirm.Key == "" {
		t.Errorf("got %+v", m.Confirm)
	}
	if read(c.balance(o.to)); m.Balance.Account != name(o.to) {
		t.Errorf("got %+v", m.Balance)
	}
	read(c.batch(&slot{at: scriptLen - 2, number: 40}, 10))
	for i, got := range m.Batch.Transfers {
		o := s.ops[(scriptLen-2+i)%scriptLen]
		want := transfer{fmt.Sprint("test-r3-", 40+i), name(o.from), name(o.to), "EUR", 1250}
		if o.kind == kindPoor {
			want.Amount = cfg.Prefund*1000 + 1
		}
		if got != want {
			t.Errorf("item %d is %+v, want %+v", i, got, want)
		}
	}
	if len(m.Batch.Transfers) != 10 {
		t.Errorf("%d items", len(m.Batch.Transfers))
	}
	if n := testing.AllocsPerRun(1000, func() { c.one(17, o.from, o.to, 5) }); n != 0 {
		t.Errorf("%v allocations a command", n)
	}
}

// A repeat repeats what was acknowledged; before anything was, it is the transfer in front of it.
func TestRepeatsRepeat(t *testing.T) {
	s, cfg := scriptOf(t, 1000, Load{Workload: Repeats})
	c := newComposer(cfg, s, "test-r3")
	at := slices.IndexFunc(s.ops, func(o op) bool { return o.kind == kindRepeat })
	m := &slot{at: at, number: 9}
	o := c.effective(m, 0)
	if number, _ := c.terms(o, m, 0); o != (op{s.ops[at-1].from, s.ops[at-1].to, kindTransfer}) || number != 9 {
		t.Errorf("the first repeat is %+v, %d", o, number)
	}
	m.repeat = said{op: op{5, 6, kindTransfer}, number: 3}
	o = c.effective(m, 0)
	if number, _ := c.terms(o, m, 0); o != (op{5, 6, kindRepeat}) || number != 3 {
		t.Errorf("a later one is %+v, %d", o, number)
	}
}

func TestBatchItems(t *testing.T) {
	id := journal.IDOf(journal.HandleOf("alice"), "k-1")
	quick := `{"ok":{"transfer":"` + id.Text(journal.TransferPrefix) + `","status":"confirmed","position":"3.1.42"}}`
	spaced := `{ "ok": {"position":"3.1.42", "transfer":"` + id.Text(journal.TransferPrefix) + `","status":"confirmed"}}`
	refused := `{"error":{"code":"insufficient_funds","retryable":false,"needed":7,"detail":"a } in it"}}`
	rest := []byte(quick + "," + spaced + "," + refused + "," + quick + `]}`)
	for i, want := range []answer{{id: id, status: "confirmed", position: journal.Position{Partition: 3, Epoch: 1, Seq: 42}},
		{id: id, status: "confirmed", position: journal.Position{Partition: 3, Epoch: 1, Seq: 42}}, {code: "insufficient_funds"},
		{id: id, status: "confirmed", position: journal.Position{Partition: 3, Epoch: 1, Seq: 42}}} {
		var a answer
		var ok bool
		if rest, ok = nextItem(rest, &a); !ok || a != want {
			t.Fatalf("item %d is %+v, %v; %s is left", i, a, ok, rest)
		}
	}
	for _, bad := range []string{"", "]}", `{"ok":{"transfer":"tr_x","status":"confirmed","position":"1.1.1"}}`, `{}`, `{"ok":`} {
		var a answer
		if _, ok := nextItem([]byte(bad), &a); ok {
			t.Errorf("%q was read as %+v", bad, a)
		}
	}
	var a answer
	if n := testing.AllocsPerRun(1000, func() { nextItem([]byte(quick), &a) }); n > 1 {
		t.Errorf("%v allocations an item", n)
	}
}

func TestWorkloadsThatAreNotPossible(t *testing.T) {
	cfg := Config{URL: "http://x", Partitions: 1024, Accounts: 2, Run: "test"}
	cfg.withDefaults()
	if err := newPeople(&cfg).possible(0); err == nil {
		t.Error("two accounts in different partitions pay each other within one")
	}
	cfg.Partitions = 1
	if err := newPeople(&cfg).possible(1); err == nil {
		t.Error("transfers across partitions in a wallet with one")
	}
}

func BenchmarkComposer(b *testing.B) {
	s, cfg := scriptOf(b, 10_000, Load{})
	c := newComposer(cfg, s, "test-r3")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o := s.ops[i%scriptLen]
		c.one(uint64(i), o.from, o.to, 1)
	}
}
