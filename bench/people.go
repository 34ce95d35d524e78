package bench

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"walletd/journal"
)

// people are a run's accounts, grouped by partition, and those that issue their money.
type people struct {
	accounts []account
	first    []int    // per partition, the index of its first account; one more at the end
	names    []byte   // all ids one behind the other, nameLen bytes each
	nameLen  int      // of every account's id
	issuers  []string // the funding account, and one teller a partition where the workload needs them
	handles  []journal.Handle
}

type account struct {
	handle    journal.Handle
	partition int32
}

// newRun makes a name for a run.
func newRun() string {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the kernel's source does not fail
	}
	return hex.EncodeToString(b[:])
}

// newPeople names the accounts.
func newPeople(cfg *Config) *people {
	p := &people{nameLen: len(accountName(cfg, 0))}
	of := make([][]uint32, cfg.Partitions)
	handles := make([]journal.Handle, cfg.Accounts)
	for i := range cfg.Accounts {
		handles[i] = journal.HandleOf(accountName(cfg, i))
		n := handles[i].Partition(cfg.Partitions)
		of[n] = append(of[n], uint32(i))
	}
	p.names = make([]byte, 0, cfg.Accounts*p.nameLen)
	for n, group := range of {
		p.first = append(p.first, len(p.accounts))
		for _, i := range group {
			p.accounts = append(p.accounts, account{handles[i], int32(n)})
			p.names = append(p.names, accountName(cfg, int(i))...)
		}
	}
	p.first = append(p.first, len(p.accounts))
	for _, id := range cfg.Issuers {
		p.issue(id)
	}
	if len(cfg.Issuers) == 0 {
		p.issue("bench-" + cfg.Run + "-issuance")
	}
	return p
}

// AccountName is the id of the i-th of a run's accounts. All are equally long.
func AccountName(run string, accounts, i int) string {
	return fmt.Sprintf("bench-%s-%0*d", run, digitsOf(accounts), i)
}

func accountName(cfg *Config, i int) string { return AccountName(cfg.Run, cfg.Accounts, i) }

func digitsOf(n int) int { return max(6, len(fmt.Sprint(n-1))) }

func (p *people) issue(id string) {
	p.issuers, p.handles = append(p.issuers, id), append(p.handles, journal.HandleOf(id))
}

// hireTellers names an issuance account in every partition: a bank's cash desk, so that paying in and out stays within one.
func (p *people) hireTellers(cfg *Config) {
	for partition := range cfg.Partitions {
		for i := 0; ; i++ {
			if id := fmt.Sprintf("bench-%s-teller-%d-%d", cfg.Run, partition, i); journal.HandleOf(id).Partition(cfg.Partitions) == partition {
				p.issue(id)
				break
			}
		}
	}
}

// Indices above the accounts' are those of issuers.

func (p *people) name(i uint32) []byte {
	if n := int(i) - len(p.accounts); n >= 0 {
		return []byte(p.issuers[n])
	}
	at := int(i) * p.nameLen
	return p.names[at : at+p.nameLen]
}

func (p *people) handle(i uint32) *journal.Handle {
	if n := int(i) - len(p.accounts); n >= 0 {
		return &p.handles[n]
	}
	return &p.accounts[i].handle
}

// teller is the index of a partition's issuance account.
func (p *people) teller(partition int32) uint32 {
	return uint32(len(p.accounts) + 1 + int(partition))
}

// all is the number of accounts, issuers included.
func (p *people) all() int { return len(p.accounts) + len(p.issuers) }

// partition of an account or an issuer.
func (p *people) partition(i uint32) int {
	if n := int(i) - len(p.accounts); n >= 0 {
		return p.handles[n].Partition(len(p.first) - 1)
	}
	return int(p.accounts[i].partition)
}

// possible reports whether the accounts allow a share of transfers across partitions.
func (p *people) possible(cross float64) error {
	inhabited, pairable := 0, false
	for n := range len(p.first) - 1 {
		switch n := p.first[n+1] - p.first[n]; {
		case n > 1:
			pairable = true
			fallthrough
		case n == 1:
			inhabited++
		}
	}
	var wrong []string
	if cross > 0 && inhabited < 2 {
		wrong = append(wrong, "all accounts are in one partition: no cross-partition transfers")
	}
	if cross < 1 && !pairable {
		wrong = append(wrong, "no two accounts are in the same partition: no same-partition transfers")
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; ") + "; open more accounts")
	}
	return nil
}
