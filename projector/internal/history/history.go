package history

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"walletd/journal"
)

// Config shapes a history.
type Config struct {
	Seed       uint64
	Partitions int
	Accounts   int // per partition and asset, besides one issuance account
	Steps      int // acts tried; refusals that are not journaled count too
	Assets     int
	FrameMax   int  // events a frame
	Plain      bool // no takeovers, zombies, repeats, closings: a busy wallet for benchmarks
}

// History is a wallet's past: its log and what every event did.
type History struct {
	Config
	Log   *Log
	Books []*journal.Book
	// Events are the accepted events per partition, in order; event i has seq i+1.
	Events [][]journal.Event
	// Changes are what the event of that index did.
	Changes [][][]journal.Change
	// Ever are the key records and reservations of each partition, the evicted ones, too.
	Ever []*journal.Memory
	// Names are the ids of the accounts.
	Names map[journal.Handle]string
	// Dropped counts the frames that a reader must drop.
	Dropped map[journal.Verdict]int

	rng      *rand.Rand
	nowMS    int64
	writers  []*Writer
	accounts [][]journal.Handle // per partition
	assetOf  map[journal.Handle]journal.Asset
	open     [][]journal.ID // reservations tried, per partition
	legs     [][][]sentLeg  // [p][q]: decided, not yet delivered
	used     []usedKey
	keys     int
}

type sentLeg struct {
	seq uint64
	leg journal.Leg
}

type usedKey struct {
	partition int
	packed    []byte
}

// New makes a history of that shape.
func New(c Config) *History {
	h := &History{Config: c, Log: NewLog(c.Partitions), Names: map[journal.Handle]string{}, Dropped: map[journal.Verdict]int{},
		rng: rand.New(rand.NewPCG(c.Seed, 42)), nowMS: 1_700_000_000_000, assetOf: map[journal.Handle]journal.Asset{}}
	h.Events = make([][]journal.Event, c.Partitions)
	h.Changes = make([][][]journal.Change, c.Partitions)
	h.accounts = make([][]journal.Handle, c.Partitions)
	h.open = make([][]journal.ID, c.Partitions)
	h.legs = make([][][]sentLeg, c.Partitions)
	for p := range c.Partitions {
		h.Books = append(h.Books, journal.NewBook(p, c.Partitions))
		h.Ever = append(h.Ever, journal.NewMemory())
		h.writers = append(h.writers, NewWriter(h.Log, p))
		h.legs[p] = make([][]sentLeg, c.Partitions)
		h.writers[p].Epoch(h.nowMS, "keeper")
	}
	h.openAccounts()
	h.More(c.Steps)
	return h
}

// More goes on with the history by so many acts, and writes everything to the log.
func (h *History) More(steps int) {
	for range steps {
		h.step()
	}
	for p := range h.Partitions {
		h.writers[p].Cut()
	}
}

func (h *History) openAccounts() {
	for asset := range h.Assets {
		for p := range h.Partitions {
			for i := 0; i <= h.Accounts; {
				id := fmt.Sprintf("a%d-%d-%d-%d", asset, p, i, h.rng.Uint32())
				handle := journal.HandleOf(id)
				if handle.Partition(h.Partitions) != p {
					continue
				}
				h.openAccount(id, handle, journal.Asset(asset), i == 0)
				i++
			}
		}
	}
}

func (h *History) openAccount(id string, handle journal.Handle, asset journal.Asset, issuance bool) {
	p := handle.Partition(h.Partitions)
	details, err := json.Marshal(journal.AccountDetails{ID: id, Asset: journal.DevAssets.Code(asset)})
	if err != nil {
		panic(err)
	}
	row := journal.Row{Op: journal.OpOpen, Account: handle, Asset: asset, Text: details}
	if issuance {
		row.Flags = journal.Issuance
	} else if h.rng.IntN(4) == 0 {
		row.OverdraftLimit = journal.Amount(h.rng.IntN(1000))
	}
	h.Names[handle], h.assetOf[handle] = id, asset
	h.accounts[p] = append(h.accounts[p], handle)
	h.act(p, row)
}

// act decides a row and, when it is journaled, makes it an event.
func (h *History) act(p int, row journal.Row) journal.Outcome {
	packed := row.Append(nil)
	o, err := h.Books[p].Decide(packed, h.nowMS)
	if err != nil {
		panic(err)
	}
	if !o.Journaled {
		return o
	}
	w := h.writers[p]
	timeMS := max(h.nowMS, h.Books[p].TimeMS)
	e := journal.Event{Position: journal.Position{Partition: p, Epoch: w.blockEpoch(h.rng, h.Plain), Seq: h.Books[p].Seq + 1}, TimeMS: timeMS, Status: o.Status, Packed: packed}
	x := &collector{h: h}
	if err := h.Books[p].Apply(&e, x); err != nil {
		panic(err)
	}
	if k, ok := h.Books[p].State.Key(row.ID); ok {
		h.Ever[p].SetKey(row.ID, k)
	}
	for _, id := range []journal.ID{row.ID, row.Reservation} {
		if r, ok := h.Books[p].State.Reservation(id); ok {
			h.Ever[p].SetReservation(id, r)
		}
	}
	h.Events[p] = append(h.Events[p], e)
	h.Changes[p] = append(h.Changes[p], x.changes)
	w.Add(e)
	return o
}

type collector struct {
	h       *History
	changes []journal.Change
}

func (c *collector) Changed(_ *journal.Event, ch journal.Change) { c.changes = append(c.changes, ch) }

func (c *collector) Leg(e *journal.Event, l journal.Leg) {
	q := l.Payee.Partition(c.h.Partitions)
	c.h.legs[e.Partition][q] = append(c.h.legs[e.Partition][q], sentLeg{e.Seq, l})
}

func (h *History) key() []byte {
	h.keys++
	return fmt.Appendf(nil, "k-%d", h.keys)
}

func (h *History) pick(p int) journal.Handle {
	return h.accounts[p][h.rng.IntN(len(h.accounts[p]))]
}

// payee picks an account of the asset, in the same partition half of the time.
func (h *History) payee(p int, asset journal.Asset) journal.Handle {
	for {
		q := p
		if h.rng.IntN(2) == 0 {
			q = h.rng.IntN(h.Partitions)
		}
		if a := h.pick(q); h.assetOf[a] == asset || (!h.Plain && h.rng.IntN(50) == 0) {
			return a
		}
	}
}

// verdict is what the payee's partition says, or VerdictLocal.
func (h *History) verdict(p int, payee journal.Handle, asset journal.Asset, amount journal.Amount) uint8 {
	q := payee.Partition(h.Partitions)
	if q == p {
		return journal.VerdictLocal
	}
	check := journal.Row{Op: journal.OpCheck, Account: payee, Asset: asset, Amount: amount}
	o, err := h.Books[q].Decide(check.Append(nil), h.nowMS)
	if err != nil {
		panic(err)
	}
	return uint8(o.Status)
}
