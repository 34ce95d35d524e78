package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// At is a moment that is asked for: a time, with everything that happened at it, or, with a Seq, behind one event.
type At struct {
	MS       int64
	Position journal.Position
}

// settledHeader is between gateway and projection: up to this time, ms since 1970, nothing happens any more in the partitions whose
// last positions go with it as Wallet-Min-Position. The gateway takes away a client's.
const settledHeader = "Wallet-Settled-Until"

// settleSkew is how far a shard's clock must be past a time before nothing of that time can come any more: a partition's time does not
// go back, but who takes it over may have a clock that is behind by so much (`walletd doctor` warns of more).
const settleSkew = time.Second

// readWait bounds how long a read waits for the projection (surface, "REST").
const readWait = 2 * time.Second

// atOf reads a time or a position.
func atOf(text string) (at At, p *wire.Problem) {
	if pos, err := journal.ParsePosition(text); err == nil {
		if pos.Seq == 0 {
			return at, &wire.Problem{Code: "malformed", Field: "at", Detail: "a partition's first event has seq 1"}
		}
		return At{Position: pos}, nil
	}
	if at.MS, p = timeOf(text, "at"); p != nil || at.MS == 0 {
		return at, &wire.Problem{Code: "malformed", Field: "at", Detail: "at is a time like 2026-11-20T00:00:00Z, or a position like 3.1.42"}
	}
	return at, nil
}

// of checks the moment against the partition that it is asked of.
func (a At) of(partition int) *wire.Problem {
	if a.Position.Seq != 0 && a.Position.Partition != partition {
		return &wire.Problem{Code: "malformed", Field: "at", Detail: fmt.Sprintf("%v is of partition %d, the account is in %d", a.Position, a.Position.Partition, partition)}
	}
	return nil
}

func future(field string) *wire.Problem {
	return &wire.Problem{Code: "malformed", Field: field, Detail: field + " is in the future"}
}

// balanceAt asks the account's partition how far it is, and then the projection.
func (s *Server) balanceAt(w http.ResponseWriter, r *http.Request) *wire.Problem {
	h, p := accountHandle(r)
	if p != nil {
		return p
	}
	at, p := atOf(r.URL.Query().Get("at"))
	if p != nil {
		return p
	}
	partition := h.Partition(s.cfg.Partitions)
	switch p := at.of(partition); {
	case p != nil:
		return p
	case at.Position.Seq != 0:
		if last := s.lasts(r.Context(), []int{partition}); last != nil && at.Position.Seq > last[0].Position.Seq {
			return &wire.Problem{Code: "malformed", Field: "at", Detail: fmt.Sprintf("the partition has come to %v only", last[0].Position)}
		}
	case at.MS > time.Now().UnixMilli():
		return future("at")
	default:
		s.settle(r, []int{partition}, at.MS)
	}
	return s.projected(w, r)
}

// statement is a read of entries; one of a period has balances at its ends, of which everything must be known.
func (s *Server) statement(w http.ResponseWriter, r *http.Request) *wire.Problem {
	h, p := accountHandle(r)
	if p != nil {
		return p
	}
	q, p := entriesQuery(r)
	if p != nil {
		return p
	}
	if ms := q.settledBy(time.Now()); ms > 0 {
		s.settle(r, []int{h.Partition(s.cfg.Partitions)}, ms)
	}
	return s.projected(w, r)
}

// settledBy is the time up to which everything must be known for the period's balances: its last bound in the past; 0: none.
func (q *EntriesQuery) settledBy(now time.Time) (ms int64) {
	for _, bound := range [...]int64{q.FromMS, q.ToMS} {
		if bound > 0 && bound-1 <= now.UnixMilli() {
			ms = max(ms, bound-1)
		}
	}
	return ms
}

// settle has the request carry the proof that the projection, once it reflects some positions, has everything of the partitions up to a time: their
// shards say where they are, durably, and that their time is past it. Without the proof, because a shard does not answer or not
// that late, the projection must know by itself.
func (s *Server) settle(r *http.Request, partitions []int, untilMS int64) {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	for {
		lasts := s.lasts(ctx, partitions)
		if lasts == nil {
			return
		}
		earliest := lasts[0].TimeMS
		for i := range lasts {
			earliest = min(earliest, lasts[i].TimeMS)
		}
		if short := untilMS + settleSkew.Milliseconds() + 1 - earliest; short > 0 {
			select {
			case <-time.After(time.Duration(short) * time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		for i := range lasts {
			r.Header.Add("Wallet-Min-Position", lasts[i].Position.String())
		}
		r.Header.Set(settledHeader, strconv.FormatInt(untilMS, 10))
		return
	}
}

// lasts asks partitions for their last durable positions, and their time; nil when one does not answer.
func (s *Server) lasts(ctx context.Context, partitions []int) []rows.Outcome {
	outs := s.desk.all(ctx, len(partitions), func(st *rows.Stage, sink rows.Sink) {
		for i, p := range partitions {
			s.tcc.Read(st, journal.SuspenseHandle(p, 0), false, sink, uint64(i)) // of an account that needs not exist
		}
	})
	for i := range outs {
		if st := outs[i].Status; st != journal.OK && st != journal.AccountNotFound {
			return nil
		}
	}
	return outs
}

// settled makes the read wait until everything of the partition up to a time is folded: the gateway has proved it, or the fold is
// past it.
func (rd *reads) settled(r *http.Request, partition int, untilMS int64) *wire.Problem {
	if ms, err := strconv.ParseInt(r.Header.Get(settledHeader), 10, 64); err == nil && ms >= untilMS {
		return nil
	}
	if untilMS > rd.now().UnixMilli() {
		return future("at")
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	if err := rd.projection.WaitPast(ctx, partition, untilMS); err != nil {
		return &wire.Problem{Code: "projection_behind", Detail: fmt.Sprintf("it is not known yet whether everything until %s is in the projection",
			time.UnixMilli(untilMS).UTC().Format("2006-01-02T15:04:05.000Z"))}
	}
	return nil
}

func (rd *reads) balanceAt(w http.ResponseWriter, r *http.Request) *wire.Problem {
	id := r.PathValue("id")
	if !wire.ValidAccount(id) {
		return &wire.Problem{Code: "malformed", Field: "id"}
	}
	at, p := atOf(r.URL.Query().Get("at"))
	if p != nil {
		return p
	}
	partition := journal.HandleOf(id).Partition(rd.partitions)
	if p := at.of(partition); p != nil {
		return p
	}
	if at.Position.Seq != 0 {
		p = rd.reached(r, at.Position)
	} else {
		p = rd.settled(r, partition, at.MS)
	}
	if p != nil {
		return p
	}
	b, ok, err := rd.projection.BalanceAt(r.Context(), id, at)
	switch {
	case err != nil:
		return readFailed(err)
	case !ok:
		return &wire.Problem{Code: "account_not_found", Field: "id", Detail: "the account did not exist at that time"}
	}
	b.AtMS = at.MS
	rd.reflects(w, b.Position)
	writeJSON(w, http.StatusOK, wire.AppendBalance(nil, &b))
	return nil
}

// reached makes the read wait for a position.
func (rd *reads) reached(r *http.Request, at journal.Position) *wire.Problem {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	if err := rd.projection.Wait(ctx, at); err != nil {
		return &wire.Problem{Code: "projection_behind"}
	}
	return nil
}
