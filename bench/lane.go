package bench

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"walletd/gateway/client"
	"walletd/journal"
)

// lane is one connection of a load.
type lane struct {
	load   *load
	client *client.Client
	done   client.Done   // lane.complete
	under  atomic.Int64  // messages under way
	ended  chan struct{} // one token when nothing is under way any more and the run is over

	mu       sync.Mutex // guards these: the pacing goroutine sends, too
	composer *composer
	slots    []slot
	free     []uint32
	at       int    // next operation of the script
	number   uint64 // last number of a key
	last     said
	bytes    int64 // of all commands

	tally // owned by complete; the client never lets its calls overlap. Read when the load has ended.
}

// slot is a message under way: an operation, or as many as a batch holds.
type slot struct {
	at       int    // its first operation in the script
	number   uint64 // of its first key
	phase    uint8  // of an operation of several messages
	amount   int64  // of a transfer under way
	intended time.Duration
	repeat   said // what a repeat among them repeats
}

// said is a transfer that was acknowledged, and how: a repeat must be answered the same.
type said struct {
	op       op
	number   uint64
	id       journal.ID
	position journal.Position
}

// tally is what has come back.
type tally struct {
	latency  *hdrhistogram.Histogram // microseconds
	series   []int64                 // operations, by time: SeriesStep each
	measured [kinds]int64            // operations that ended as they should within the measured time
	total    [kinds]int64            // in the whole load
	cross    int64                   // of those, over partitions
	refused  map[string]int64
	unknown  int64
	errors   int64
	first    []string // of each kind of trouble, the first
}

// SeriesStep is how fine throughput over time is told.
const SeriesStep = 100 * time.Millisecond

func newLane(l *load, c *client.Client, i int) *lane {
	n := &lane{
		load: l, client: c, ended: make(chan struct{}, 1), slots: make([]slot, l.InFlight), free: make([]uint32, l.InFlight),
		at:       i * len(l.script.ops) / l.Connections,
		composer: newComposer(l.cfg, l.script, fmt.Sprintf("%s-%d-%d", l.cfg.Run, l.round, i)),
		tally: tally{latency: newHistogram(), refused: map[string]int64{},
			series: make([]int64, int(l.Duration/SeriesStep)+1)},
	}
	for i := range n.free {
		n.free[i] = uint32(i)
	}
	n.done = n.complete
	return n
}

// room is how many messages more may be under way.
func (n *lane) room() int64 { return int64(n.load.InFlight) - n.under.Load() }

// begin sends the next message, which was meant to leave at a time of the load. There is room for it.
func (n *lane) begin(intended time.Duration) {
	n.under.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.free[len(n.free)-1]
	n.free = n.free[:len(n.free)-1]
	n.next(i, intended)
}

// next is under mu: slot i takes the next message.
func (n *lane) next(i uint32, intended time.Duration) {
	size := n.load.size()
	m := &n.slots[i]
	*m = slot{at: n.at, number: n.number + 1, intended: intended, repeat: n.last}
	n.at = (n.at + size) % len(n.load.script.ops)
	n.number += 2 * uint64(size) // an operation has two keys at most
	var command []byte
	if n.load.Batch > 0 {
		command = n.composer.batch(m, size)
	} else {
		command = n.opening(m)
	}
	n.post(i, command)
}

// post is under mu.
func (n *lane) post(i uint32, command []byte) {
	n.bytes += int64(len(command))
	if err := n.client.Post(command, uint64(i), n.done); err != nil {
		// The lane keeps within InFlight, so this is the end of the session.
		n.under.Add(-1)
		n.load.lost.CompareAndSwap(nil, &err)
		n.load.over.Store(true)
	}
}

// opening is the first message of a slot's operation.
func (n *lane) opening(slot *slot) []byte {
	o := n.composer.effective(slot, 0)
	c := n.composer
	switch o.kind {
	case kindReserve:
		return c.reserve(slot.number, o)
	case kindRead, kindLook:
		return c.balance(o.from)
	case kindAmalgamate:
		return c.balance(o.from + 1) // savings first
	}
	number, amount := c.terms(o, slot, 0)
	return c.one(number, o.from, o.to, amount)
}

// complete hears how a message ended.
func (n *lane) complete(end *client.Completion) {
	l := n.load
	slot := &n.slots[end.Tag]
	at := end.At.Sub(l.start)
	if l.Batch > 0 {
		n.batchEnded(slot, at, end)
	} else if n.oneEnded(slot, at, end) {
		return // its next message is under way
	}
	if l.Rate == 0 && !l.over.Load() {
		n.mu.Lock()
		n.next(uint32(end.Tag), at)
		n.mu.Unlock()
		return
	}
	n.mu.Lock()
	n.free = append(n.free, uint32(end.Tag))
	n.mu.Unlock()
	n.under.Add(-1)
	if l.over.Load() {
		n.signal()
	}
}

// signal tells drain that nothing is under way.
func (n *lane) signal() {
	if n.under.Load() == 0 && n.load.over.Load() {
		select {
		case n.ended <- struct{}{}:
		default:
		}
	}
}

// oneEnded takes the answer to a single operation's message, and sends what follows it; more says that something did.
func (n *lane) oneEnded(slot *slot, at time.Duration, end *client.Completion) (more bool) {
	o := n.composer.effective(slot, 0)
	if o.kind.transfers() {
		if n.judge(o, slot, 0, answerOf(end)) {
			n.count(o, slot, at, 1)
		}
		return false
	}
	if end.Err != nil {
		if n.failed(end.Err); o.kind.mayLack() && client.Code(end.Err) == "insufficient_funds" {
			n.count(o, slot, at, 1)
		}
		return false
	}
	n.mu.Lock()
	command, ok := n.follow(o, slot, end)
	if command != nil {
		n.post(uint32(end.Tag), command)
	}
	n.mu.Unlock()
	if ok && command == nil {
		n.count(o, slot, at, 1)
	}
	return command != nil
}

// count counts an operation that has ended as it should.
func (n *lane) count(o op, slot *slot, at time.Duration, times int64) {
	l := n.load
	n.total[o.kind] += times
	if at < l.Duration {
		n.measured[o.kind] += times
		n.series[at/SeriesStep] += times
	}
	if slot.intended < l.Duration {
		recordTimes(n.latency, at-slot.intended, times)
	}
}

// answer is how one transfer ended.
type answer struct {
	err      error
	code     string // instead of err, in a batch
	id       journal.ID
	status   string
	position journal.Position
}

// judge holds an answer to a transfer against what was asked; true when it is as it should be. i is its place in its message.
func (n *lane) judge(o op, slot *slot, i int, a *answer) bool {
	code := a.code
	if a.err != nil {
		if code = client.Code(a.err); code == "" || code == "outcome_unknown" {
			n.failed(a.err)
			return false
		}
	}
	if code != "" {
		n.refused[code]++
		return code == "insufficient_funds" && o.kind.mayLack()
	}
	number, amount := n.composer.terms(o, slot, i)
	payer := n.load.script.handle(o.from)
	switch {
	case a.status != "confirmed":
		n.trouble(fmt.Sprintf("accepted with status %q", a.status))
		return false
	case !bytes.Equal(a.id[:4], payer[:4]):
		n.trouble("reply names a transfer of another payer")
		return false
	case o.kind == kindRepeat:
		if a.id != slot.repeat.id || a.position != slot.repeat.position {
			n.trouble(fmt.Sprintf("a repeat was answered %v at %v, the first time %v at %v", a.id, a.position, slot.repeat.id, slot.repeat.position))
			return false
		}
		return true
	}
	n.load.ledger.move(o.from, o.to, amount)
	if n.load.script.crosses(o) {
		n.cross++
	}
	if o.kind == kindPoor {
		n.trouble("more was paid than there is")
		return false
	}
	if n.load.Workload == Repeats {
		n.mu.Lock()
		n.last = said{o, number, a.id, a.position}
		n.mu.Unlock()
	}
	return true
}

// failed counts what was not acknowledged.
func (n *lane) failed(err error) {
	if code := client.Code(err); code == "outcome_unknown" {
		n.unknown++
		n.note(err.Error())
	} else if code != "" {
		n.refused[code]++
	} else {
		n.trouble(err.Error())
	}
}

func (n *lane) trouble(what string) {
	n.errors++
	n.note(what)
}

// note keeps the first few.
func (n *lane) note(what string) {
	if len(n.first) < 3 {
		n.first = append(n.first, what)
	}
}

// transfers reports whether an operation is one transfer, repeated or refused ones included.
func (k kind) transfers() bool {
	return !slices.Contains([]kind{kindReserve, kindRead, kindLook, kindAmalgamate}, k)
}

// mayLack reports whether insufficient funds are an answer like any other.
func (k kind) mayLack() bool { return k == kindPoor || k >= kindLook }

// follow is under mu: what comes behind an answer to an operation of several messages. ok says that the answer is as it should be.
func (n *lane) follow(o op, slot *slot, end *client.Completion) (command []byte, ok bool) {
	phase := slot.phase
	slot.phase++
	switch o.kind {
	case kindRead:
		return nil, n.read(o.from, end.Reply)
	case kindLook:
		if ok = n.read(o.from+uint32(phase), end.Reply); ok && phase == 0 {
			return n.composer.balance(o.to), true
		}
		return nil, ok
	case kindReserve:
		return n.reserved(o, phase, end.Reply)
	}
	return n.amalgamate(o, phase, slot, end)
}

// amalgamate reads savings, moves what is there, and does the same with checking.
func (n *lane) amalgamate(o op, phase uint8, slot *slot, end *client.Completion) (command []byte, ok bool) {
	from := o.from + 1 - uint32(phase/2)
	if phase%2 == 0 {
		available, found := numberField(end.Reply, `"available":`)
		if !found || !n.read(from, end.Reply) {
			return nil, false
		}
		if slot.amount = available; available > 0 {
			return n.composer.one(slot.number+uint64(phase/2), from, o.to, available), true
		}
		slot.phase++ // there is nothing to move
	} else if !n.judge(op{from, o.to, o.kind}, slot, 0, answerOf(end)) {
		return nil, false
	}
	if phase < 2 {
		return n.composer.balance(o.from), true
	}
	return nil, true
}

func answerOf(end *client.Completion) *answer {
	return &answer{err: end.Err, id: end.Result.ID, status: end.Result.Status, position: end.Result.Position}
}

// reserved follows a Try with its Confirm.
func (n *lane) reserved(o op, phase uint8, reply []byte) (command []byte, ok bool) {
	id := textField(reply, `"id":"`)
	status := string(textField(reply, `"status":"`))
	if want := []string{"tried", "confirmed"}[phase]; len(id) == 0 || status != want {
		n.trouble(fmt.Sprintf("a reservation is %q, want %q: %s", status, want, reply))
		return nil, false
	}
	if phase == 0 {
		n.load.ledger.touch(o.from)
		return n.composer.confirm(id), true
	}
	n.load.ledger.move(o.from, o.to, n.composer.amount)
	if n.load.script.crosses(o) {
		n.cross++
	}
	return nil, true
}

// read checks that a balance is that of the account.
func (n *lane) read(account uint32, reply []byte) bool {
	if !bytes.Equal(textField(reply, `"account":"`), n.load.script.name(account)) {
		n.trouble(fmt.Sprintf("read %s: got %s", n.load.script.name(account), reply))
		return false
	}
	return true
}

// textField is what stands behind a key, up to the next quote.
func textField(reply []byte, key string) []byte {
	i := bytes.Index(reply, []byte(key))
	if i < 0 {
		return nil
	}
	rest := reply[i+len(key):]
	return rest[:max(bytes.IndexByte(rest, '"'), 0)]
}

// numberField is the number behind a key.
func numberField(reply []byte, key string) (int64, bool) {
	i := bytes.Index(reply, []byte(key))
	if i < 0 {
		return 0, false
	}
	rest := reply[i+len(key):]
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	v, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	return v, err == nil
}
