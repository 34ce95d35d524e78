package journal

import (
	"bytes"
	"slices"
)

// Tables is a partition's State for who folds much and asks little: a replay, an audit, a rebuild. Accounts lie in one table and are
// found by a HandleIndex; key records lie in the order in which they came, which is the order in which they go. It is a Memory for
// the rest, and says the same in every answer and in the Book's Dump. Only Key, which no fold asks,
// is slow.
type Tables struct {
	rest *Memory

	index    HandleIndex
	accounts []tableAccount
	details  [][]byte // of accounts
	last     int32    // the account that was asked for last: who asks for one changes it next

	keys    []tableKey // in order of time; of an id that is there twice the later one counts
	evicted int        // of keys, from the first on
	sorted  bool       // of keys: by time
}

type tableAccount struct {
	handle Handle
	Account
}

type tableKey struct {
	id ID
	KeyRecord
}

var _ State = (*Tables)(nil)

// NewTables is an empty State.
func NewTables() *Tables { return &Tables{rest: NewMemory(), last: -1, sorted: true} }

// place answers where an account, or the details of one, lie.
func (t *Tables) place(h Handle) (int32, bool) {
	if t.last >= 0 && t.accounts[t.last].handle == h {
		return t.last, true
	}
	for p := t.index.Probe(h); ; {
		i, ok := p.Next()
		if !ok {
			return 0, false
		}
		if t.accounts[i].handle == h {
			t.last = i
			return i, true
		}
	}
}

func (t *Tables) placed(h Handle) int32 {
	i, ok := t.place(h)
	if !ok {
		i = int32(len(t.accounts))
		t.accounts, t.details = append(t.accounts, tableAccount{handle: h}), append(t.details, nil)
		t.index.Add(h, i)
		t.last = i
	}
	return i
}

// Account implements State, as the methods below do. An account's first version is 1.
func (t *Tables) Account(h Handle) (Account, bool) {
	i, ok := t.place(h)
	if !ok || t.accounts[i].Version == 0 {
		return Account{}, false
	}
	return t.accounts[i].Account, true
}

func (t *Tables) SetAccount(h Handle, a Account) { t.accounts[t.placed(h)].Account = a }

func (t *Tables) Details(h Handle) ([]byte, bool) {
	i, ok := t.place(h)
	if !ok || t.details[i] == nil {
		return nil, false
	}
	return t.details[i], true
}

func (t *Tables) SetDetails(h Handle, d []byte) { t.details[t.placed(h)] = d }

func (t *Tables) Key(id ID) (KeyRecord, bool) {
	for i := len(t.keys) - 1; i >= t.evicted; i-- {
		if t.keys[i].id == id {
			return t.keys[i].KeyRecord, true
		}
	}
	return KeyRecord{}, false
}

func (t *Tables) SetKey(id ID, k KeyRecord) {
	k.Content = t.rest.contents.keep(k.Content)
	if n := len(t.keys); n > t.evicted && t.keys[n-1].TimeMS > k.TimeMS {
		t.sorted = false
	}
	t.keys = append(t.keys, tableKey{id, k})
}

func (t *Tables) Reservation(id ID) (Reservation, bool) { return t.rest.Reservation(id) }
func (t *Tables) SetReservation(id ID, r Reservation)   { t.rest.SetReservation(id, r) }
func (t *Tables) Delivered(source int) uint64           { return t.rest.Delivered(source) }
func (t *Tables) SetDelivered(source int, seq uint64)   { t.rest.SetDelivered(source, seq) }
func (t *Tables) MaybeEvicted(id ID) bool               { return t.rest.MaybeEvicted(id) }

func (t *Tables) Evict(beforeMS int64) {
	if !t.sorted {
		slices.SortStableFunc(t.keys[t.evicted:], func(a, b tableKey) int { return int(a.TimeMS - b.TimeMS) })
		t.sorted = true
	}
	for ; t.evicted < len(t.keys) && t.keys[t.evicted].TimeMS < beforeMS; t.evicted++ {
		t.rest.Filter.Add(t.keys[t.evicted].id)
	}
	if t.evicted > len(t.keys)/2 {
		t.keys, t.evicted = append([]tableKey(nil), t.keys[t.evicted:]...), 0
	}
	t.rest.Evict(beforeMS)
}

// Accounts is the number of accounts.
func (t *Tables) Accounts() (n int) {
	for i := range t.accounts {
		if t.accounts[i].Version > 0 {
			n++
		}
	}
	return n
}

// Filter is of the ids that were evicted.
func (t *Tables) Filter() *Filter { return &t.rest.Filter }

// Sums is as Memory's.
func (t *Tables) Sums(into map[Asset]int64) {
	for i := range t.accounts {
		a := &t.accounts[i].Account
		into[a.Asset] += int64(a.Available + a.Reserved)
	}
}

// dump writes what a Memory's would, record by record.
func (t *Tables) dump(d *Dumper) {
	order := t.byHandle()
	for _, i := range order {
		if a := &t.accounts[i]; a.Version > 0 {
			d.Account(a.handle, a.Account)
		}
	}
	for _, i := range order {
		if details := t.details[i]; details != nil {
			d.Details(t.accounts[i].handle, details)
		}
	}
	for _, i := range t.keysByID() {
		k := &t.keys[i]
		d.Key(k.id, k.KeyRecord)
	}
	dumpRest(d, t.rest)
}

func (t *Tables) byHandle() []int32 {
	order := make([]int32, len(t.accounts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return bytes.Compare(t.accounts[a].handle[:], t.accounts[b].handle[:]) })
	return order
}

// keysByID answers the places of the key records that count, sorted by id.
func (t *Tables) keysByID() []int32 {
	order := make([]int32, 0, len(t.keys)-t.evicted)
	for i := t.evicted; i < len(t.keys); i++ {
		order = append(order, int32(i))
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := bytes.Compare(t.keys[a].id[:], t.keys[b].id[:]); c != 0 {
			return c
		}
		return int(b - a) // the later one first: it is kept
	})
	return slices.CompactFunc(order, func(a, b int32) bool { return t.keys[a].id == t.keys[b].id })
}
