package lane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"walletd/journal"
	"walletd/journal/rows"
)

// labelled is a row that carries its own name: a check whose amount is n, with a carry on every third.
func stageLabelled(s *rows.Stage, n int) {
	check := journal.Row{Op: journal.OpCheck, Amount: journal.Amount(n)}
	if n%3 != 0 {
		s.Add(0, &check, nil, uint64(n))
		return
	}
	next := journal.Row{Op: journal.OpLook}
	copy(next.ID[:], fmt.Sprint(n))
	s.AddCheck(0, &check, &next, nil, nil, uint64(n))
}

// labels reads the names back, and fails when a row, its meta and its carry do not belong together.
func labels(t *testing.T, b *batch, from int) (out []int) {
	t.Helper()
	for i := from; i < len(b.metas); i++ {
		var r, carried journal.Row
		if _, err := r.Parse(b.row(i)); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		n := int(r.Amount)
		if b.metas[i].Tag != uint64(n) {
			t.Fatalf("row %d beside the meta of %d", n, b.metas[i].Tag)
		}
		want := journal.ID{}
		if n%3 == 0 {
			copy(want[:], fmt.Sprint(n))
			if _, err := carried.Parse(b.carryOf(i)); err != nil || carried.ID != want {
				t.Fatalf("row %d carries %q (%v)", n, carried.ID, err)
			}
		} else if b.carryOf(i) != nil {
			t.Fatalf("row %d carries %q", n, b.carryOf(i))
		}
		out = append(out, n)
	}
	return out
}

// TestQueueKeepsRowsWhole pushes, takes and puts back at random: order is kept, rows stay with their metas and carries,
// and rows in doubt are never taken for sure ones.
func TestQueueKeepsRowsWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	stage := rows.NewStage(1)
	var q queue
	var want []int
	unsure := map[int]bool{}
	next := 0
	for range 3000 {
		if rng.IntN(2) == 0 {
			k := 1 + rng.IntN(6)
			for range k {
				stageLabelled(stage, next)
				want = append(want, next)
				next++
			}
			stage.Each(func(s *rows.Section) { q.push(s, k) })
			stage.Reset()
			continue
		}
		var b batch
		acts := q.take(&b, room{1 + rng.IntN(10), 1 << 20}).acts
		got := labels(t, &b, 0)
		if !slices.Equal(got, want[:len(got)]) || acts != len(got) {
			t.Fatalf("took %v (%d acts), want the first of %v", got, acts, want)
		}
		for i, n := range got {
			if unsure[n] && i >= b.unsure {
				t.Fatalf("row %d was in doubt and is taken for sure", n)
			}
		}
		if rng.IntN(3) == 0 && len(got) > 0 { // comes back, in doubt or not
			if rng.IntN(2) == 0 {
				b.unsure = len(b.metas)
				for _, n := range got {
					unsure[n] = true
				}
			}
			q.unshift(&b)
		} else {
			want = want[len(got):]
		}
		if q.acts != len(want) || q.waiting() != len(want) {
			t.Fatalf("%d acts, %d rows wait, want %d", q.acts, q.waiting(), len(want))
		}
	}
	if got := labels(t, &q.batch, q.next); !slices.Equal(got, want) {
		t.Fatalf("left %v, want %v", got, want)
	}
}

func TestDeliveriesCountTheirLegs(t *testing.T) {
	stage := rows.NewStage(1)
	acts := []int{1, 300, 900, 1024, 1}
	for _, n := range acts {
		r := journal.Row{Op: journal.OpDeliver}
		if n > 1 {
			r.SetLegs(make([]byte, n*journal.LegSize))
		}
		stage.Add(0, &r, nil, uint64(n))
	}
	var q queue
	stage.Each(func(s *rows.Section) { q.push(s, 300+900+1024+2) })
	for _, step := range []struct {
		room room
		want int // acts
		rows int
	}{
		{room{1024, 1 << 20}, 301, 2},
		{room{200, 1 << 20}, 0, 0},
		{room{1024, 900 * journal.LegSize}, 0, 0},
		{room{1024, 1 << 20}, 900, 1},
		{room{1023, 1 << 20}, 0, 0},
		{room{1024, 1 << 20}, 1024, 1},
		{room{1024, 1 << 20}, 1, 1},
		{room{1024, 1 << 20}, 0, 0},
	} {
		var b batch
		if got := q.take(&b, step.room); got.acts != step.want || len(b.metas) != step.rows || got.bytes != len(b.rows) {
			t.Fatalf("room %v: %v in %d rows of %d bytes, want %d acts in %d", step.room, got, len(b.metas), len(b.rows), step.want, step.rows)
		}
	}
}
