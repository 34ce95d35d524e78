package bench

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"

	"walletd/gateway/client"
	"walletd/journal"
)

// pairsCount is how many transfers are drawn; a run walks through them in a circle.
const pairsCount = 1 << pairBits

const pairBits = 18

// pair is one transfer: indices of accounts.
type pair struct{ from, to uint32 }

// workload is who pays whom: drawn before the run, so that the run itself only puts texts together.
type workload struct {
	accounts []account // grouped by partition
	first    []int     // per partition, the index of its first account; one more at the end
	pairs    []pair
	names    []byte // all ids one behind the other, nameLen bytes each
	nameLen  int
	tail     []byte // from the amount to the end of the command
	issuance string
}

type account struct {
	id        string
	handle    journal.Handle
	partition int
}

// newRun makes a name for a run.
func newRun() string {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the kernel's source does not fail
	}
	return hex.EncodeToString(b[:])
}

func newWorkload(cfg *Config) (*workload, error) {
	w := &workload{issuance: "bench-" + cfg.Run + "-issuance"}
	w.openAccounts(cfg)
	if err := w.possible(cfg); err != nil {
		return nil, err
	}
	w.draw(cfg)
	whole := client.AppendTransfer(nil, &client.Transfer{Amount: cfg.Amount, Asset: cfg.Asset})
	head := client.AppendTransfer(nil, &client.Transfer{})
	// Both begin the same up to `"to":""`; what follows its quotes is the tail.
	w.tail = whole[len(head)-len(`,"amount":0,"asset":""}`):]
	return w, nil
}

// openAccounts names the accounts and groups them by partition.
func (w *workload) openAccounts(cfg *Config) {
	byPartition := make([][]account, cfg.Partitions)
	for i := range cfg.Accounts {
		id := fmt.Sprintf("bench-%s-%06d", cfg.Run, i)
		h := journal.HandleOf(id)
		p := h.Partition(cfg.Partitions)
		byPartition[p] = append(byPartition[p], account{id, h, p})
		w.nameLen = len(id)
	}
	for _, group := range byPartition {
		w.first = append(w.first, len(w.accounts))
		w.accounts = append(w.accounts, group...)
	}
	w.first = append(w.first, len(w.accounts))
	for i := range w.accounts {
		w.names = append(w.names, w.accounts[i].id...)
	}
}

// possible reports whether the accounts allow the wanted share.
func (w *workload) possible(cfg *Config) error {
	inhabited, pairable := 0, false
	for p := range cfg.Partitions {
		switch n := w.first[p+1] - w.first[p]; {
		case n > 1:
			pairable = true
			fallthrough
		case n == 1:
			inhabited++
		}
	}
	if cfg.Cross > 0 && inhabited < 2 {
		return errors.New("all accounts are in one partition: no cross-partition transfers; open more accounts")
	}
	if cfg.Cross < 1 && !pairable {
		return errors.New("no two accounts are in the same partition: no same-partition transfers; open more accounts")
	}
	return nil
}

// draw makes the pairs. The cross share is exact: among the first n pairs, n × share, rounded down or up.
func (w *workload) draw(cfg *Config) {
	d := &drawer{w: w, r: mathrand.New(mathrand.NewPCG(cfg.Seed, 0x77616c6c6574))}
	switch cfg.Distribution {
	case Uniform:
		d.pick = d.uniform
	case Zipf:
		d.zipf = mathrand.NewZipf(d.r, 1.1, 1, uint64(len(w.accounts)-1))
		d.rank = d.r.Perm(len(w.accounts))
		d.pick = d.byRank
	case Hot:
		d.hot = w.hotAccount(cfg)
	}
	w.pairs = make([]pair, pairsCount)
	for i := range w.pairs {
		cross := int(float64(i+1)*cfg.Cross) > int(float64(i)*cfg.Cross)
		if cfg.Distribution == Hot {
			w.pairs[i] = d.hotPair(cross)
		} else {
			w.pairs[i] = d.pair(cross)
		}
	}
}

// hotAccount is one that has partners of both kinds, as far as they are needed.
func (w *workload) hotAccount(cfg *Config) int {
	if cfg.Cross == 1 {
		return 0
	}
	return slices.IndexFunc(w.accounts, func(a account) bool { return w.first[a.partition+1]-w.first[a.partition] > 1 })
}

// drawer draws pairs.
type drawer struct {
	w    *workload
	r    *mathrand.Rand
	zipf *mathrand.Zipf
	rank []int // account of a rank
	hot  int
	pick func() int
}

func (d *drawer) uniform() int { return d.r.IntN(len(d.w.accounts)) }
func (d *drawer) byRank() int  { return d.rank[d.zipf.Uint64()] }

func (d *drawer) pair(cross bool) pair {
	for {
		if from := d.pick(); d.partners(from, cross) > 0 {
			return pair{uint32(from), uint32(d.payee(from, cross))}
		}
	}
}

// hotPair draws the other side, and which of the two pays.
func (d *drawer) hotPair(cross bool) pair {
	other := d.partner(d.hot, cross)
	if d.r.IntN(2) == 0 {
		return pair{uint32(d.hot), uint32(other)}
	}
	return pair{uint32(other), uint32(d.hot)}
}

// payee draws a payee by the distribution, among those that the share allows.
func (d *drawer) payee(from int, cross bool) int {
	for range 64 {
		to := d.pick()
		if to != from && (d.w.accounts[to].partition != d.w.accounts[from].partition) == cross {
			return to
		}
	}
	return d.partner(from, cross)
}

// partners is how many accounts can be the other side.
func (d *drawer) partners(of int, cross bool) int {
	p := d.w.accounts[of].partition
	if n := d.w.first[p+1] - d.w.first[p]; !cross {
		return n - 1
	} else {
		return len(d.w.accounts) - n
	}
}

// partner draws one of them, all alike.
func (d *drawer) partner(of int, cross bool) int {
	p := d.w.accounts[of].partition
	lo, hi := d.w.first[p], d.w.first[p+1]
	i := d.r.IntN(d.partners(of, cross))
	if cross {
		if i >= lo {
			i += hi - lo
		}
		return i
	}
	if i += lo; i >= of {
		i++
	}
	return i
}

func (w *workload) isCross(p pair) bool {
	return w.accounts[p.from].partition != w.accounts[p.to].partition
}

func (w *workload) name(i uint32) []byte {
	at := int(i) * w.nameLen
	return w.names[at : at+w.nameLen]
}

// poster puts commands together. One goroutine uses it at a time.
type poster struct {
	w    *workload
	buf  []byte
	head int // length of what every command begins with
	n    uint64
	at   int // next pair
}

// newPoster makes a poster whose keys begin with prefix and whose walk begins at pair at.
func newPoster(w *workload, prefix string, at int) *poster {
	p := &poster{w: w, at: at % pairsCount, buf: make([]byte, 0, 512)}
	p.buf = append(append(p.buf, `"transfer":{"key":"`...), prefix...)
	p.buf = append(p.buf, '-')
	p.head = len(p.buf)
	return p
}

// next is the next command, valid until the one after it, and the pair it is of.
func (p *poster) next() (command []byte, which int) {
	which = p.at
	if p.at++; p.at == pairsCount {
		p.at = 0
	}
	p.n++
	t := p.w.pairs[which]
	b := strconv.AppendUint(p.buf[:p.head], p.n, 10)
	b = append(append(b, `","from":"`...), p.w.name(t.from)...)
	b = append(append(b, `","to":"`...), p.w.name(t.to)...)
	b = append(append(b, '"'), p.w.tail...)
	p.buf = b
	return b, which
}
