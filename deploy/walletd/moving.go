package walletd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"walletd/shardrouter"
)

// partitionView is what the operators' listener says of a partition, and what -o json prints.
type partitionView struct {
	Partition int       `json:"partition"`
	Shard     string    `json:"shard"`
	Epoch     uint32    `json:"epoch"`
	State     string    `json:"state"` // of the shard
	Move      *moveView `json:"move,omitempty"`
}

// moveView is how far a move is: copying, freezing, frozen; or failed, with the reason. One that is done is not shown.
type moveView struct {
	To     string `json:"to"`
	State  string `json:"state"`
	Copied uint64 `json:"copied"` // events that the destination has
	Lag    uint64 `json:"lag"`    // events that it lacked then
	Reason string `json:"reason,omitempty"`
}

type partitionList struct {
	Object     string          `json:"object"`
	MapVersion int32           `json:"map_version"`
	Data       []partitionView `json:"data"`
}

// shardView is a shard of the map with the partitions that it owns.
type shardView struct {
	shardrouter.Shard
	Partitions []int `json:"partitions"`
}

type shardList struct {
	Object string      `json:"object"`
	Data   []shardView `json:"data"`
}

// moveRequest is the body of a move.
type moveRequest struct {
	To string `json:"to"`
}

// viewPartitions shows all partitions with their moves. False: it has answered why not.
func (n *node) viewPartitions(w http.ResponseWriter, r *http.Request) (partitionList, bool) {
	moves, err := n.moves.Moves(r.Context()) // before the map: a move that ends in between shows as done
	if err != nil {
		problem(w, "shard_unavailable", err.Error())
		return partitionList{}, false
	}
	m := n.source.Current()
	if m == nil {
		problem(w, "shard_unavailable", "this process has not seen a map yet")
		return partitionList{}, false
	}
	list := partitionList{Object: "list", MapVersion: m.Version, Data: make([]partitionView, len(m.Partitions))}
	for p, owner := range m.Partitions {
		list.Data[p] = partitionView{Partition: p, Shard: owner.Shard, Epoch: owner.Epoch, State: m.Shards[owner.Shard].State}
		if move, under := moves[p]; under && move.To != owner.Shard {
			list.Data[p].Move = &moveView{To: move.To, State: move.State, Copied: move.Copied, Lag: move.Of - min(move.Of, move.Copied), Reason: move.Reason}
		}
	}
	return list, true
}

func (n *node) adminPartitions(w http.ResponseWriter, r *http.Request) {
	if list, ok := n.viewPartitions(w, r); ok {
		answer(w, http.StatusOK, list)
	}
}

func (n *node) adminPartition(w http.ResponseWriter, r *http.Request) {
	if p, ok := n.partitionOf(w, r); ok {
		n.answerPartition(w, r, http.StatusOK, p)
	}
}

func (n *node) answerPartition(w http.ResponseWriter, r *http.Request, status, p int) {
	if list, ok := n.viewPartitions(w, r); ok {
		answer(w, status, list.Data[p])
	}
}

// partitionOf reads the partition of a route. False: it has answered that there is none.
func (n *node) partitionOf(w http.ResponseWriter, r *http.Request) (int, bool) {
	p, err := strconv.Atoi(r.PathValue("partition"))
	if err != nil || p < 0 || p >= n.cfg.partitions {
		problem(w, "not_found", fmt.Sprintf("there is no partition %s: they are 0 to %d", r.PathValue("partition"), n.cfg.partitions-1))
		return 0, false
	}
	return p, true
}

// adminMove asks for a partition to be moved; the keepers do it. GET of the partition shows how far they are.
func (n *node) adminMove(w http.ResponseWriter, r *http.Request) {
	p, ok := n.partitionOf(w, r)
	if !ok {
		return
	}
	var body moveRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil || body.To == "" {
		problem(w, "malformed", `the body is {"to":"<shard>"}`)
		return
	}
	if err := shardrouter.RequestMove(r.Context(), n.moves, p, body.To); err != nil {
		moveProblem(w, err)
		return
	}
	n.answerPartition(w, r, http.StatusOK, p)
}

// adminAbort takes a move back: the partition stays, or is served again, where it is.
func (n *node) adminAbort(w http.ResponseWriter, r *http.Request) {
	p, ok := n.partitionOf(w, r)
	if !ok {
		return
	}
	if err := shardrouter.AbortMove(r.Context(), n.moves, p); err != nil {
		moveProblem(w, err)
		return
	}
	n.answerPartition(w, r, http.StatusOK, p)
}

func moveProblem(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, shardrouter.ErrUnknownShard), errors.Is(err, shardrouter.ErrNoMove):
		problem(w, "not_found", err.Error())
	case errors.Is(err, shardrouter.ErrThere):
		problem(w, "malformed", err.Error())
	case errors.Is(err, shardrouter.ErrMoving):
		problem(w, "partition_moving", err.Error()+"; wait for its end, or take it back")
	default:
		problem(w, "shard_unavailable", err.Error())
	}
}

func (n *node) adminShards(w http.ResponseWriter, _ *http.Request) {
	m := n.source.Current()
	if m == nil {
		problem(w, "shard_unavailable", "this process has not seen a map yet")
		return
	}
	list := shardList{Object: "list"}
	for _, id := range slices.Sorted(maps.Keys(m.Shards)) {
		list.Data = append(list.Data, shardView{m.Shards[id], append([]int{}, m.PartitionsOf(id)...)})
	}
	answer(w, http.StatusOK, list)
}
