package history

import (
	"testing"

	"walletd/journal"
)

// A fold into Tables says what a fold into a Memory says, at every event: accounts, details, reservations and the dump, also behind
// evictions.
func TestTablesAreTheMemory(t *testing.T) {
	for seed := range uint64(6) {
		h := New(Config{Seed: seed, Partitions: 3, Accounts: 5, Steps: 3000, Assets: 2, FrameMax: 10})
		for p := range h.Partitions {
			memory := journal.NewBook(p, h.Partitions)
			tables := &journal.Book{Partition: p, Partitions: h.Partitions, State: journal.NewTables()}
			for i := range h.Events[p] {
				e := &h.Events[p][i]
				if err := memory.Apply(e, nil); err != nil {
					t.Fatal(err)
				}
				if err := tables.Apply(e, nil); err != nil {
					t.Fatal(err)
				}
				if i%97 == 0 && memory.Digest() != tables.Digest() {
					t.Fatalf("seed %d, event %v: another digest", seed, e.Position)
				}
			}
			m, s := memory.State.(*journal.Memory), tables.State.(*journal.Tables)
			if memory.Digest() != tables.Digest() || memory.Digest() != h.Books[p].Digest() {
				t.Errorf("seed %d, partition %d: another digest at the end", seed, p)
			}
			if m.Filter.Digest() != s.Filter().Digest() || len(m.Accounts) != s.Accounts() {
				t.Errorf("seed %d, partition %d: another filter, or number of accounts", seed, p)
			}
			for id, want := range m.Keys {
				if k, ok := s.Key(id); !ok || k.Seq != want.Seq {
					t.Errorf("seed %d: key %x is of seq %d, want %d", seed, id, k.Seq, want.Seq)
				}
			}
		}
	}
}
