package view

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"walletd/journal"
)

// tally is what has passed at one end of a channel in one asset, from the first event on. Its sums wrap.
type tally struct {
	legs   uint64
	amount int64
	mark   uint64 // sum of the legs' marks: equal tallies are of the same legs
}

const tallySize = 3 * 8

func (t tally) plus(o tally) tally {
	return tally{t.legs + o.legs, t.amount + o.amount, t.mark + o.mark}
}

func (t tally) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, t.legs), uint64(t.amount))
	return binary.BigEndian.AppendUint64(dst, t.mark)
}

func parseTally(b []byte) (t tally, err error) {
	if len(b) != tallySize {
		return t, badRecord("tally", b)
	}
	return tally{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint64(b[16:])}, nil
}

// tallyOf is one leg's. The mark mixes everything that a leg says; against accidents, the hash chain is against malice.
func tallyOf(l *journal.Leg) tally {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9
	m := binary.BigEndian.Uint64(l.ID[4:12])
	m = (m ^ binary.BigEndian.Uint64(l.Payee[:8])) * odd1
	m = (m ^ m>>29 ^ binary.BigEndian.Uint64(l.Payer[:8])) * odd2
	m = (m ^ m>>32 ^ uint64(l.Amount)<<8 ^ uint64(l.Of)) * odd1
	return tally{1, int64(l.Amount), m ^ m>>29}
}

// way is a channel in one asset: from the payer's partition to the payee's.
type way struct {
	from, to int
	asset    journal.Asset
}

type sentLeg struct {
	way
	point
}

// point is a leg as its channel remembers it.
type point struct {
	seq uint64
	tally
	packed [journal.LegSize]byte // for snapshots
}

// movements are what a fold's open batch adds to its partition's sums and to the ends of its channels.
type movements struct {
	partition, partitions int
	sums                  map[journal.Asset]int64
	sent                  []sentLeg
	received              map[way]tally
}

func (m *movements) reset(partition, partitions int) {
	m.partition, m.partitions = partition, partitions
	if m.sums == nil {
		m.sums, m.received = map[journal.Asset]int64{}, map[way]tally{}
	}
	clear(m.sums)
	clear(m.received)
	m.sent = m.sent[:0]
}

// add changes what the partition's accounts have of an asset.
func (m *movements) add(asset journal.Asset, change int64) {
	if change != 0 {
		m.sums[asset] += change
	}
}

func (m *movements) send(seq uint64, l *journal.Leg) {
	sent := sentLeg{way{m.partition, l.Payee.Partition(m.partitions), l.Asset}, point{seq: seq, tally: tallyOf(l)}}
	journal.AppendLeg(sent.packed[:0], *l)
	m.sent = append(m.sent, sent)
}

func (m *movements) receive(row *journal.Row) {
	for i := range row.LegCount {
		l := row.Leg(i)
		w := way{row.Source, m.partition, l.Asset}
		m.received[w] = m.received[w].plus(tallyOf(&l))
	}
}

// legsMax bounds the legs in flight that are remembered one by one, all channels together (88 bytes each).
const legsMax = 1 << 18

// channel compares both ends of one way: what was credited must be what was decided up to the seq delivered (P9).
// To know what was decided up to there, the legs in flight are remembered. What cannot be remembered (too many; a store
// just opened) is decided later, once the delivery is past it: until then the channel is open, never wrong.
type channel struct {
	sent     tally // up to the payer partition's last event
	received tally // up to the payee partition's last event
	floor    uint64
	base     tally // sent up to the seq floor
	inFlight []point
}

// channels is the running conservation of the whole wallet.
type channels struct {
	partitions int

	mu        sync.Mutex // guards what follows
	at        []uint64   // seq of each partition's last event
	sums      []map[journal.Asset]int64
	delivered []map[int]uint64 // [payee's partition][payer's]
	ways      map[way]*channel
	assets    map[journal.Asset]bool
	// remembered is the number of legs in flight of all channels.
	remembered int
}

func newChannels(partitions int) *channels {
	c := &channels{partitions: partitions, at: make([]uint64, partitions), delivered: make([]map[int]uint64, partitions), ways: map[way]*channel{}, assets: map[journal.Asset]bool{}}
	for p := range partitions {
		c.sums = append(c.sums, map[journal.Asset]int64{})
		c.delivered[p] = map[int]uint64{}
	}
	return c
}

func (c *channels) way(w way) *channel {
	ch := c.ways[w]
	if ch == nil {
		ch = &channel{}
		c.ways[w] = ch
		c.assets[w.asset] = true
	}
	return ch
}

// write puts what the sums and tallies will be into the batch.
func (c *channels) write(s *state, m *movements) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for asset, sum := range m.sums {
		s.put(numberKey(nil, keySum, m.partition, int(asset)), binary.BigEndian.AppendUint64(nil, uint64(c.sums[m.partition][asset]+sum)))
	}
	sent := map[way]tally{}
	for i := range m.sent {
		sent[m.sent[i].way] = sent[m.sent[i].way].plus(m.sent[i].tally)
	}
	for w, t := range sent {
		s.put(tallyKey(nil, keySent, w.from, w.to, w.asset), c.way(w).sent.plus(t).append(nil))
	}
	for w, t := range m.received {
		s.put(tallyKey(nil, keyReceived, w.to, w.from, w.asset), c.way(w).received.plus(t).append(nil))
	}
}

// commit says that the store now holds the movements, which end at seq. Only the channels that they touch are looked at.
func (c *channels) commit(m *movements, seq uint64, s *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[m.partition] = seq
	for asset, sum := range m.sums {
		c.sums[m.partition][asset] += sum
	}
	touched := map[way]bool{}
	for i := range m.sent {
		ch := c.way(m.sent[i].way)
		ch.sent = ch.sent.plus(m.sent[i].tally)
		ch.inFlight = append(ch.inFlight, m.sent[i].point)
		c.remembered++
		touched[m.sent[i].way] = true
	}
	for w, t := range m.received {
		ch := c.way(w)
		ch.received = ch.received.plus(t)
	}
	for source := range s.moved {
		c.delivered[m.partition][source] = s.delivered[source]
		for asset := range c.assets {
			touched[way{source, m.partition, asset}] = true
		}
	}
	for w := range touched {
		if ch := c.ways[w]; ch != nil {
			c.settle(w, ch)
		}
	}
}

// settle moves the floor up to what has been delivered, and over what is too much to remember.
func (c *channels) settle(w way, ch *channel) {
	done := min(c.delivered[w.to][w.from], c.at[w.from])
	n := 0
	for n < len(ch.inFlight) && ch.inFlight[n].seq <= done {
		ch.base = ch.base.plus(ch.inFlight[n].tally)
		n++
	}
	ch.inFlight = append(ch.inFlight[:0], ch.inFlight[n:]...)
	c.remembered -= n
	ch.floor = max(ch.floor, done)
	if c.remembered > legsMax {
		c.remembered -= len(ch.inFlight)
		ch.floor, ch.base, ch.inFlight = c.at[w.from], ch.sent, nil
	}
}

// settled reports whether base is exactly what was decided up to the seq delivered.
func (c *channels) settled(w way, ch *channel) bool {
	d := c.delivered[w.to][w.from]
	return (ch.floor <= d && d <= c.at[w.from]) || ch.sent == ch.received
}

// Conservation is the state of promise P1 (and P9) in the projection: available + reserved of all accounts, and what is in
// flight, are 0 per asset. It needs every partition of the wallet in one view.
type Conservation struct {
	Error    map[journal.Asset]int64 // minor units; 0 for every asset, or money was created or lost
	InFlight map[journal.Asset]int64 // decided and not yet credited
	Open     int                     // channels that cannot be compared at the moment: one end is ahead of what is folded of the other
	Off      []ChannelError          // channels whose ends do not agree
}

// ChannelError says that the credits at To are not the legs that From decided.
type ChannelError struct {
	From, To int
	Asset    journal.Asset
	Legs     int64 // credited − decided; with Amount 0 as well, other legs than those decided
	Amount   int64 // credited − decided, minor units
}

// Conservation answers the running sums as of what is committed.
func (v *View) Conservation() Conservation {
	c := v.channels
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Conservation{Error: map[journal.Asset]int64{}, InFlight: map[journal.Asset]int64{}}
	for _, sums := range c.sums {
		for asset, sum := range sums {
			r.Error[asset] += sum
		}
	}
	for w, ch := range c.ways {
		r.Error[w.asset] += ch.sent.amount - ch.received.amount
		if !c.settled(w, ch) {
			r.Open++
			r.InFlight[w.asset] += ch.sent.amount - ch.received.amount
			continue
		}
		decided := ch.base
		if ch.sent == ch.received {
			decided = ch.sent
		}
		r.InFlight[w.asset] += ch.sent.amount - decided.amount
		r.Error[w.asset] += ch.received.amount - decided.amount
		if ch.received != decided {
			r.Off = append(r.Off, ChannelError{w.from, w.to, w.asset, int64(ch.received.legs - decided.legs), ch.received.amount - decided.amount})
		}
	}
	slices.SortFunc(r.Off, func(a, b ChannelError) int {
		return (a.From-b.From)<<40 + (a.To-b.To)<<20 + int(a.Asset) - int(b.Asset)
	})
	return r
}

// loadChannels reads the sums and tallies of a store that has just been opened.
func (v *View) loadChannels() error {
	c := v.channels
	for p := range c.partitions {
		var err error
		if c.delivered[p], err = delivered(v.db, p); err != nil {
			return err
		}
		if err := scan(v.db, prefix(nil, keySum, p), func(key, value []byte) error {
			if len(key) != prefixSize+2 || len(value) != 8 {
				return badRecord("sum", value)
			}
			c.sums[p][journal.Asset(binary.BigEndian.Uint16(key[prefixSize:]))] = int64(binary.BigEndian.Uint64(value))
			return nil
		}); err != nil {
			return err
		}
		if err := v.loadTallies(keySent, p); err != nil {
			return err
		}
		if err := v.loadTallies(keyReceived, p); err != nil {
			return err
		}
	}
	return nil
}

func (v *View) loadTallies(kind byte, partition int) error {
	return scan(v.db, prefix(nil, kind, partition), func(key, value []byte) error {
		t, err := parseTally(value)
		if err != nil || len(key) != prefixSize+4 {
			return fmt.Errorf("%w: %w", badRecord("tally key", key), err)
		}
		other, asset := int(binary.BigEndian.Uint16(key[prefixSize:])), journal.Asset(binary.BigEndian.Uint16(key[prefixSize+2:]))
		if kind == keySent {
			ch := v.channels.way(way{partition, other, asset})
			ch.sent, ch.base, ch.floor = t, t, v.channels.at[partition]
		} else {
			v.channels.way(way{other, partition, asset}).received = t
		}
		return nil
	})
}
