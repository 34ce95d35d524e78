package systemtest

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/anishathalye/porcupine"
)

// between is how many operations of all clients lie between two faults.
const between = 1500

// P8: every account is linearizable, reads included, by WebSocket and REST, while a shard's Redis and walletd itself are killed.
func TestAccountsAreLinearizable(t *testing.T) {
	d := startDev(t, 8)
	calm := startHistory(t, d.wallet, "calm", false)
	calm.advance(between)
	staleReadIsRejected(t, calm, calm.check())
	for round := range rounds(t, 1) {
		h := startHistory(t, d.wallet, fmt.Sprintf("own%d", round), true)
		h.advance(between)
		d.signalRedis(0, syscall.SIGKILL)
		h.advance(between)
		d.kill()
		d.start()
		h.advance(between)
		d.signalRedis(1, syscall.SIGKILL)
		h.advance(between)
		h.check()
	}
}

// P8: the same over a cluster: a gateway is killed and started again, and the keeper that owns the shards hangs until another
// has taken over, and goes on as a zombie.
func TestAccountsOfAClusterAreLinearizable(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	for round := range rounds(t, 1) {
		h := startHistory(t, c.wallet, fmt.Sprintf("own%d", round), true)
		h.advance(between)
		c.gateways[0].kill()
		h.advance(between / 2)
		c.gateways[0].restart()
		h.advance(between / 2)
		leader, _ := c.leading(c.leader(0))
		leader.freeze()
		h.advance(between)
		leader.thaw()
		h.advance(between / 2)
		h.check()
	}
}

// staleReadIsRejected makes the last read of an account answer what an earlier one did: no order explains that. (Of a history
// with much that is unknown nobody could tell in time: then the checker would not decide, which is a failure, too.)
func staleReadIsRejected(t *testing.T, h *historian, all map[string][]porcupine.Operation) {
	t.Helper()
	for _, a := range h.accounts {
		history := slices.Clone(all[a])
		last, first := -1, -1
		for i, op := range history {
			if op.Input.(step).verb != reads {
				continue
			}
			if first < 0 {
				first = i
			}
			if last < 0 || op.Call > history[last].Call {
				last = i
			}
		}
		if last < 0 || history[first].Output.(said).version == history[last].Output.(said).version {
			t.Errorf("account %s: its reads tell nothing", a)
			continue
		}
		history[last].Output = history[first].Output
		if err := linearizable(h.start[a], history); err == nil || !strings.Contains(err.Error(), "not linearizable") {
			t.Errorf("account %s: a stale read passes: %v", a, err)
		}
	}
}

// TestTheSequentialAccountHasTeeth: what must not be is found.
func TestTheSequentialAccountHasTeeth(t *testing.T) {
	begin := ownAccount{available: 100, version: 2}
	at := func(call, back int64, s step, out said) porcupine.Operation {
		return porcupine.Operation{Input: s, Output: out, Call: call, Return: back}
	}
	read := func(call, back, available, reserved int64, version uint64) porcupine.Operation {
		return at(call, back, step{verb: reads}, said{available: available, reserved: reserved, version: version})
	}
	debit := func(call, back, amount int64) porcupine.Operation {
		return at(call, back, step{verb: debits, amount: amount}, said{})
	}
	credit := func(call, back, amount int64, place int) porcupine.Operation {
		return at(call, back, step{verb: credits, amount: amount, place: place}, said{})
	}
	maybe := func(call, amount int64) porcupine.Operation {
		return at(call, forever, step{verb: debits, amount: amount}, said{maybe: true})
	}
	try := at(1, 2, step{verb: reserves, amount: 40}, said{})
	capture := func(call, back int64, code string) porcupine.Operation {
		return at(call, back, step{verb: confirms, amount: 10}, said{code: code})
	}
	cancel := func(call, back int64, byKey bool, code string) porcupine.Operation {
		return at(call, back, step{verb: cancels, byKey: byKey}, said{code: code})
	}
	for name, c := range map[string]struct {
		right   bool
		history []porcupine.Operation
	}{
		"a debit and a read of it":                {true, []porcupine.Operation{debit(1, 2, 30), read(3, 4, 70, 0, 3)}},
		"a stale read":                            {false, []porcupine.Operation{debit(1, 2, 30), read(3, 4, 100, 0, 2)}},
		"a read that runs ahead":                  {false, []porcupine.Operation{read(1, 2, 70, 0, 3), debit(3, 4, 30)}},
		"a read beside it":                        {true, []porcupine.Operation{debit(1, 5, 30), read(2, 3, 70, 0, 3)}},
		"two reads that disagree on the order":    {false, []porcupine.Operation{debit(1, 9, 30), read(2, 3, 70, 0, 3), read(4, 5, 100, 0, 2)}},
		"a debit twice":                           {false, []porcupine.Operation{debit(1, 2, 30), read(3, 4, 40, 0, 4)}},
		"unknown, and it happened later":          {true, []porcupine.Operation{maybe(1, 30), read(2, 3, 100, 0, 2), read(4, 5, 70, 0, 3)}},
		"unknown, and it never happened":          {true, []porcupine.Operation{maybe(1, 30), read(2, 3, 100, 0, 2)}},
		"unknown, and it happened twice":          {false, []porcupine.Operation{maybe(1, 30), read(2, 3, 40, 0, 4)}},
		"unknown, happened and taken back":        {false, []porcupine.Operation{maybe(1, 30), read(2, 3, 70, 0, 3), read(4, 5, 100, 0, 2)}},
		"more than there is":                      {false, []porcupine.Operation{debit(1, 2, 130)}},
		"a refusal that names another amount":     {false, []porcupine.Operation{at(1, 2, step{verb: debits, amount: 130}, said{code: "insufficient_funds", needed: 29})}},
		"a refusal":                               {true, []porcupine.Operation{at(1, 2, step{verb: debits, amount: 130}, said{code: "insufficient_funds", needed: 30})}},
		"a credit that comes late":                {true, []porcupine.Operation{credit(1, 9, 5, 0), read(2, 3, 100, 0, 2), read(10, 11, 105, 0, 3)}},
		"a credit that never comes":               {false, []porcupine.Operation{credit(1, 4, 5, 0), read(5, 6, 100, 0, 2)}},
		"credits of one channel, in their order":  {true, []porcupine.Operation{credit(1, 9, 5, 0), credit(2, 9, 7, 1), read(3, 4, 105, 0, 3)}},
		"credits of one channel, in another":      {false, []porcupine.Operation{credit(1, 9, 5, 0), credit(2, 9, 7, 1), read(3, 4, 107, 0, 3)}},
		"a confirm that gives the rest back":      {true, []porcupine.Operation{try, read(3, 4, 60, 40, 3), capture(5, 6, ""), read(7, 8, 90, 0, 4)}},
		"a confirm and a cancel, both done":       {false, []porcupine.Operation{try, capture(3, 9, ""), cancel(4, 8, false, "")}},
		"a confirm and a cancel, one of them":     {true, []porcupine.Operation{try, capture(3, 9, "already_cancelled"), cancel(4, 8, false, "")}},
		"a confirm of what nobody reserved":       {false, []porcupine.Operation{capture(3, 9, "")}},
		"a Try behind its tombstone":              {true, []porcupine.Operation{cancel(1, 2, true, ""), at(3, 4, step{verb: reserves, amount: 40}, said{code: "cancelled_before_try"})}},
		"a Try that its tombstone does not stop":  {false, []porcupine.Operation{cancel(1, 2, true, ""), at(3, 4, step{verb: reserves, amount: 40}, said{})}},
		"a version that does not rise with money": {false, []porcupine.Operation{debit(1, 2, 30), read(3, 4, 70, 0, 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			err := linearizable(begin, c.history)
			if (err == nil) != c.right || err != nil && !strings.Contains(err.Error(), "not linearizable") {
				t.Errorf("right: %t, found: %v", c.right, err)
			}
		})
	}
}
