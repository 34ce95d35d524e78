package luascripts

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"walletd/deploy/local"
	"walletd/journal"
	"walletd/journal/rows"
)

// A train at its bound: 1,024 acts over 1,500 accounts and 1,024 keys go through Lua's stack.
func TestFullTrain(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	b := tellerAt(t, s)
	var all []journal.Row
	name := func(i int) journal.Handle { return account(fmt.Sprint("n", i)) }
	open := func(from, to int) {
		all = all[:0]
		for i := from; i < to; i++ {
			all = append(all, journal.Row{Op: journal.OpOpen, Account: name(i), Flags: journal.Issuance, Text: []byte("{}")})
		}
		for i, o := range b.do(all...) {
			if o.Status != journal.Opened || o.Position.Seq != uint64(from+i+1) {
				t.Fatalf("open %d: %v at %v", from+i, o.Status, o.Position)
			}
		}
	}
	open(0, ActsMax)
	open(ActsMax, 2*ActsMax)
	all = all[:0]
	for i := range ActsMax {
		r := journal.Row{Op: journal.OpTransfer, Verdict: journal.VerdictLocal, Account: name(2 * i), To: name(2*i + 1), Amount: 3, Key: []byte("k")}
		r.ID = journal.IDOf(r.Account, "k")
		all = append(all, r)
	}
	for i, o := range b.do(all...) {
		if o.Status != journal.Confirmed || o.Position.Seq != uint64(2*ActsMax+i+1) {
			t.Fatalf("transfer %d: %v at %v", i, o.Status, o.Position)
		}
	}
	for i, o := range b.do(all...) {
		if o.Status != journal.Confirmed || !o.Replayed || o.Position.Seq != uint64(2*ActsMax+i+1) {
			t.Fatalf("transfer %d again: %v at %v", i, o.Status, o.Position)
		}
	}
	deliver := journal.Row{Op: journal.OpDeliver, Source: 1, UpTo: ActsMax}
	for i := range journal.LegsMax {
		deliver.AddLeg(journal.Leg{Of: journal.OpPay, Payee: account(fmt.Sprint("nobody", i)), Amount: 1, Asset: journal.Asset(i)})
	}
	if o := b.do(deliver)[0]; o.Status != journal.Delivered {
		t.Fatalf("a delivery of %d legs to %d suspense accounts: %v", journal.LegsMax, journal.LegsMax, o.Status)
	}
	parts, err := s.Parts(t.Context())
	must(t, err)
	if parts[0].Seq != 3*ActsMax+1 {
		t.Fatalf("seq %d, want %d", parts[0].Seq, 3*ActsMax+1)
	}
}

// More fields than one redis.call takes: reservations pull in payers that no row names.
func TestFieldsAreReadInPieces(t *testing.T) {
	old := words["FIELDS_MAX"]
	words["FIELDS_MAX"] = "6"
	small := newScript(assemble("#!lua", slices.Concat(trainFiles, []string{"once.lua"})...))
	words["FIELDS_MAX"] = old
	s := openShard(t, local.Redis(t).Addr)
	must(t, s.client.ScriptLoad(t.Context(), small.text).Err())
	s.admission.train, s.admission.once = "nobody", small
	d := newDifferential(t, s, 99)
	for range 60 {
		d.train()
	}
	d.finish()
}

func TestTrainBounds(t *testing.T) {
	var tr Train
	check := (&journal.Row{Op: journal.OpCheck, Account: account("A"), Amount: 1}).Append(nil)
	legs := journal.Row{Op: journal.OpDeliver, Source: 1, UpTo: 9}
	for range 1000 {
		legs.AddLeg(journal.Leg{Payee: account("A"), Amount: 1})
	}
	deliver := legs.Append(nil)
	big := (&journal.Row{Op: journal.OpOpen, Account: account("A"), Text: bytes.Repeat([]byte("x"), 60_000)}).Append(nil)

	tr.Section(0, 1)
	if !tr.Add(deliver) || tr.Acts() != 1000 || tr.Rows() != 1 || !tr.Releases() {
		t.Fatalf("a delivery of 1,000 legs: %d acts, %d rows, releases %v", tr.Acts(), tr.Rows(), tr.Releases())
	}
	if tr.Add(deliver) {
		t.Fatal("2,000 acts went into one train")
	}
	for range 24 {
		if !tr.Add(check) {
			t.Fatalf("full at %d acts", tr.Acts())
		}
	}
	if tr.Add(check) || tr.Acts() != ActsMax || !tr.Releases() {
		t.Fatalf("%d acts, releases %v", tr.Acts(), tr.Releases())
	}

	tr.Reset()
	tr.Section(0, 1)
	n := 0
	for tr.Add(big) {
		n++
	}
	if len(tr.Arg()) > TrainBytesMax || n != TrainBytesMax/len(big) {
		t.Fatalf("%d big rows, %d bytes", n, len(tr.Arg()))
	}
}

// AddRows takes from a staged section what fits, and says where it stopped.
func TestAddRows(t *testing.T) {
	stage := rows.NewStage(1)
	const n = 2500
	for i := range n {
		r := journal.Row{Op: journal.OpRead, Account: account(fmt.Sprint(i))}
		if i == 10 {
			r = journal.Row{Op: journal.OpDeliver, Source: 1, UpTo: 1}
			for range 100 {
				r.AddLeg(journal.Leg{Payee: account("A"), Amount: 1})
			}
		}
		stage.Add(0, &r, nil, 0)
	}
	var tr Train
	var got []byte
	var stops []int
	stage.Each(func(sec *rows.Section) {
		for i := 0; i < n; {
			tr.Reset()
			tr.Section(0, 7)
			i = tr.AddRows(sec, i)
			stops = append(stops, i)
			got = append(got, tr.Arg()[trainHeadSize+sectionHeadSize:]...)
			if i < n && tr.Acts() != ActsMax {
				t.Fatalf("stopped at row %d with %d acts", i, tr.Acts())
			}
		}
		if !bytes.Equal(got, sec.Rows) {
			t.Error("the trains' rows are not the staged ones")
		}
	})
	if want := []int{ActsMax - 99, 2*ActsMax - 99, n}; fmt.Sprint(stops) != fmt.Sprint(want) {
		t.Errorf("stopped at %v, want %v", stops, want)
	}
}

// Filling, packing and reading a train that is used again allocates nothing of ours.
func TestTrainAllocatesNothing(t *testing.T) {
	stage := rows.NewStage(1)
	for i := range 200 {
		r := journal.Row{Op: journal.OpCheck, Account: account(fmt.Sprint(i)), Amount: 1}
		stage.Add(0, &r, nil, 0)
	}
	var sec *rows.Section
	stage.Each(func(s *rows.Section) { sec = s })
	var tr Train
	answer := append(make([]byte, replyHeadSize, 300), sectionHead(journal.OK, 1, 0, 5)...)
	for range 200 {
		answer = append(answer, byte(journal.PayeeNotFound))
	}
	var o rows.Outcome
	allocs := testing.AllocsPerRun(100, func() {
		tr.Reset()
		tr.Section(0, 1)
		tr.AddRows(sec, 0)
		tr.reply = append(tr.reply[:0], answer...)
		reply := newReply(&tr)
		n := 0
		for reply.NextSection() {
			for reply.NextRow(&o) {
				n++
			}
		}
		if reply.Err() != nil || n != 200 {
			t.Fatal(n, reply.Err())
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a train", allocs)
	}
}

// Sections that the shard does not serve are refused one by one; the others go on; a partition may come twice.
func TestSections(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	var books []*journal.Book
	for p := range 3 {
		b := journal.NewBook(p, 4)
		b.Epoch, b.Seq = uint32(p+1), uint64(10*p)
		books = append(books, b)
	}
	must(t, s.Load(t.Context(), books...))
	var tr Train
	open := func(partition int, epoch uint32, name string) {
		tr.Section(partition, epoch)
		tr.Add((&journal.Row{Op: journal.OpOpen, Account: account(name), Text: []byte("{}")}).Append(nil))
		tr.Add((&journal.Row{Op: journal.OpRead, Account: account(name)}).Append(nil))
	}
	open(1, 2, "a")
	open(1, 1, "b") // an epoch that is over
	open(3, 1, "c") // nobody has loaded it
	tr.Section(2, 3)
	open(0, 2, "d") // an epoch that has not begun here
	open(1, 2, "e")
	reply, err := s.Run(t.Context(), &tr)
	must(t, err)
	var got []string
	for reply.NextSection() {
		sec := reply.Section()
		line := fmt.Sprintf("%d %v epoch %d base %d:", sec.Partition, sec.Status, sec.Epoch, sec.Base)
		var o rows.Outcome
		for reply.NextRow(&o) {
			line += fmt.Sprintf(" %v@%v", o.Status, o.Position)
		}
		got = append(got, line)
	}
	must(t, reply.Err())
	want := []string{
		"1 ok epoch 2 base 10: opened@1.2.11 ok@1.2.11",
		"1 stale_epoch epoch 2 base 11: stale_epoch@1.2.11 stale_epoch@1.2.11",
		"3 shard_uninitialised epoch 0 base 0: shard_uninitialised@3.0.0 shard_uninitialised@3.0.0",
		"2 ok epoch 3 base 20:",
		"0 stale_epoch epoch 1 base 0: stale_epoch@0.1.0 stale_epoch@0.1.0",
		"1 ok epoch 2 base 11: opened@1.2.12 ok@1.2.12",
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("section %d\n\tgot  %v\n\twant %s", i, got[i:], want[i])
		}
	}
}

// A row of an op that the script does not know is answered, and harms no other row.
func TestUnknownOp(t *testing.T) {
	b := newTeller(t)
	b.tr.Reset()
	b.tr.Section(0, 1)
	open := (&journal.Row{Op: journal.OpOpen, Account: account("A"), Text: []byte("{}")}).Append(nil)
	odd := append([]byte(nil), open...)
	for _, op := range []byte{0, 13, 15, 200} {
		odd[2] = op
		b.tr.Add(odd)
	}
	b.tr.Add(open)
	outcomes, err := runTrain(t, b.s, &b.tr)
	must(t, err)
	if reply, err := b.s.Run(t.Context(), new(Train)); err != nil || reply.NextSection() {
		t.Errorf("an empty train: %v", err)
	}
	for i, o := range outcomes[:4] {
		if o.Status != journal.Malformed {
			t.Errorf("row %d: %v", i, o.Status)
		}
	}
	if o := outcomes[4]; o.Status != journal.Opened || o.Position.Seq != 1 {
		t.Errorf("the good row: %v at %v", o.Status, o.Position)
	}
}

// A delivery that would move its number back is a bug of its sender, and moves nothing.
func TestDeliveryBackwards(t *testing.T) {
	b := newTeller(t)
	b.read(`
		open A             -> opened
		deliver 0 5 A 1    -> delivered
		deliver 5 4 A 1    -> malformed_row
		balance A          -> 1 0
		deliver 5 6 A 1    -> delivered
	`)
}

// sectionHead packs what a shard says of a section.
func sectionHead(status journal.Status, epoch byte, base, timeMS uint64) []byte {
	b := []byte{byte(status), 0, 0, 0, epoch}
	return appendU56(appendU56(b, base), timeMS)
}

// The time is the server's, and is kept with the partition's last event; it never goes back (TestActsAreTheBook).
func TestTime(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	b := journal.NewBook(0, 1)
	b.Epoch, b.TimeMS = 1, 5
	must(t, s.Load(t.Context(), b))
	before, err := s.client.Time(t.Context()).Result()
	must(t, err)
	var tr Train
	tr.Section(0, 1)
	tr.Add((&journal.Row{Op: journal.OpOpen, Account: account("A")}).Append(nil))
	outcomes, err := runTrain(t, s, &tr)
	must(t, err)
	after, err := s.client.Time(t.Context()).Result()
	must(t, err)
	if at := outcomes[0].TimeMS; at < before.UnixMilli() || at > after.UnixMilli() {
		t.Errorf("opened at %d, between %d and %d", at, before.UnixMilli(), after.UnixMilli())
	}
	parts, err := s.Parts(t.Context())
	must(t, err)
	if parts[0].TimeMS != outcomes[0].TimeMS {
		t.Errorf("the partition's time is %d, its last event's %d", parts[0].TimeMS, outcomes[0].TimeMS)
	}
}
