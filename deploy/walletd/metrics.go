package walletd

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"walletd/shardrouter/keeper"
)

// figures collects what lanes and keepers count, when it is scraped (surface, "Metrics").
type figures struct{ n *node }

var _ prometheus.Collector = figures{}

var (
	shardLabel   = []string{"shard"}
	channelLabel = []string{"source", "dest"}

	descActs          = desc("batch_acts_total", "Acts carried by trains; by trains_total this is how full they are.", shardLabel...)
	descTrains        = desc("trains_total", "Trains that a shard answered.", shardLabel...)
	descScript        = desc("script_seconds_total", "Time from the sending of trains to their answers.", shardLabel...)
	descFaults        = desc("train_faults_total", "Trains that were not answered, per attempt.", shardLabel...)
	descQueued        = desc("queued_acts", "Acts that wait for a train.", shardLabel...)
	descHeld          = desc("held_outcomes", "Outcomes that wait for the journal to be durable.", shardLabel...)
	descState         = desc("keeper_state", "1 for the state that the keeper is in.", "shard", "state")
	descEpoch         = desc("map_epoch", "Epoch of the partition in the map that this process has seen.", "partition")
	descTakeover      = desc("takeover_duration_seconds", "From the claim to serving, of the present reign.", shardLabel...)
	descReigns        = desc("keeper_reigns_total", "Epochs that this keeper has begun.", shardLabel...)
	descRebuilt       = desc("shards_rebuilt_total", "Times that a shard was emptied and loaded from the journal.", shardLabel...)
	descFailovers     = desc("shard_failovers_total", "Times that another Redis became the shard's primary.", shardLabel...)
	descLinked        = desc("replica_linked", "1: the replica has its primary's data and gets what is new. 0 is an alarm.", "shard", "addr")
	descLease         = desc("lease_renewed_seconds", "When the shard's lease was made longer last, seconds since 1970.", shardLabel...)
	descMovesCompared = desc("partition_moves_compared_total", "Large partitions that went to another shard, and whose state was compared with the journal afterwards; any that differs is an alarm.", "shard", "outcome")
	descMoves         = desc("partition_moves_total", "Partitions that came from another shard (in), went to one (out), or were frozen and stayed (back).", "shard", "direction")
	descMoveTook      = desc("partition_move_duration_seconds", "Of the last partition that came, from its first reading to the map.", shardLabel...)
	descFrozen        = desc("partition_frozen_seconds_max", "Longest time that a moving partition was served by neither shard.", shardLabel...)
	descReserved      = desc("reservations_open", "Open reservations.", shardLabel...)
	descKeys          = desc("key_records", "Key records that the shard remembers.", shardLabel...)
	descSlices        = desc("key_slices", "Time slices in which it does.", shardLabel...)
	descKeysDropped   = desc("key_records_dropped_total", "Key records that went with the key window, in the present reign.", shardLabel...)
	descFilter        = desc("key_filter_fill", "Part of the filter's bits that are set; about its fourth power of new keys are asked about in vain.", shardLabel...)
	descEvicted       = desc("key_evicted_timestamp_seconds", "The cut-off that all partitions of the shard have passed; 0: none.", shardLabel...)
	descInFlight      = desc("keeper_channel_legs", "Legs that are decided and not settled.", channelLabel...)
	descBroken        = desc("keeper_channel_broken", "1: the destination claims more than the log holds. An alarm.", channelLabel...)
	allKeeperStates   = []keeper.State{keeper.Electing, keeper.Claiming, keeper.Waiting, keeper.Comparing, keeper.Rebuilding, keeper.Fencing, keeper.Serving, keeper.Resting, keeper.Damaged, keeper.Ended}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wallet_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (figures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descActs, descTrains, descScript, descFaults, descQueued, descHeld, descState, descEpoch, descTakeover,
		descReigns, descRebuilt, descFailovers, descLinked, descLease, descMoves, descMovesCompared, descMoveTook, descFrozen, descReserved, descKeys, descSlices, descKeysDropped, descFilter, descEvicted,
		descInFlight, descBroken} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (f figures) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	if f.n.lanes != nil {
		for _, s := range f.n.lanes.Stats() {
			if s.Shard == "" {
				continue
			}
			send(descActs, prometheus.CounterValue, float64(s.Acts), s.Shard)
			send(descTrains, prometheus.CounterValue, float64(s.Trains), s.Shard)
			send(descScript, prometheus.CounterValue, s.ScriptTime.Seconds(), s.Shard)
			send(descFaults, prometheus.CounterValue, float64(s.Faults), s.Shard)
			send(descQueued, prometheus.GaugeValue, float64(s.Queued), s.Shard)
			send(descHeld, prometheus.GaugeValue, float64(s.Held), s.Shard)
		}
	}
	if m := f.n.source.Current(); m != nil {
		for p := range m.Partitions {
			send(descEpoch, prometheus.GaugeValue, float64(m.Partitions[p].Epoch), strconv.Itoa(p))
		}
	}
	for _, k := range f.n.keepers {
		f.keeper(k.Stats(), send)
	}
}

func (f figures) keeper(s keeper.Stats, send func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
	one := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, state := range allKeeperStates {
		send(descState, prometheus.GaugeValue, one(s.State == state), s.Shard, string(state))
	}
	send(descTakeover, prometheus.GaugeValue, s.Takeover.Seconds(), s.Shard)
	send(descReigns, prometheus.CounterValue, float64(s.Reigns), s.Shard)
	send(descRebuilt, prometheus.CounterValue, float64(s.Rebuilt), s.Shard)
	send(descFailovers, prometheus.CounterValue, float64(s.Failovers), s.Shard)
	if !s.LeaseRenewed.IsZero() {
		send(descLease, prometheus.GaugeValue, float64(s.LeaseRenewed.UnixMilli())/1e3, s.Shard)
	}
	for _, r := range s.Replicas {
		send(descLinked, prometheus.GaugeValue, one(r.Linked), s.Shard, r.Addr)
	}
	send(descMoves, prometheus.CounterValue, float64(s.MovesIn), s.Shard, "in")
	send(descMoves, prometheus.CounterValue, float64(s.MovesOut), s.Shard, "out")
	send(descMoves, prometheus.CounterValue, float64(s.MovesTaken), s.Shard, "back")
	send(descMovesCompared, prometheus.CounterValue, float64(s.MovesAgree), s.Shard, "agrees")
	send(descMovesCompared, prometheus.CounterValue, float64(s.MovesDiffer), s.Shard, "differs")
	send(descMoveTook, prometheus.GaugeValue, s.MoveTook.Seconds(), s.Shard)
	send(descFrozen, prometheus.GaugeValue, s.FrozenMax.Seconds(), s.Shard)
	send(descReserved, prometheus.GaugeValue, float64(s.Reservations), s.Shard)
	send(descKeys, prometheus.GaugeValue, float64(s.Window.Keys), s.Shard)
	send(descSlices, prometheus.GaugeValue, float64(s.Window.Slices), s.Shard)
	send(descKeysDropped, prometheus.CounterValue, float64(s.Window.Dropped), s.Shard)
	send(descFilter, prometheus.GaugeValue, s.Window.FilterFill, s.Shard)
	send(descEvicted, prometheus.GaugeValue, float64(s.Window.EvictedMS)/1000, s.Shard)
	for _, c := range s.Channels {
		source, dest := strconv.Itoa(c.Source), strconv.Itoa(c.Dest)
		send(descInFlight, prometheus.GaugeValue, float64(c.Legs), source, dest)
		send(descBroken, prometheus.GaugeValue, one(c.Broken), source, dest)
	}
}
