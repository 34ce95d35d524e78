package keeper

import (
	"time"

	"walletd/journal/relay"
	"walletd/luascripts"
)

// State is where a keeper is: see the package comment.
type State string

// The states of a keeper.
const (
	Electing   State = "electing"   // another may keep the shard
	Claiming   State = "claiming"   // a new epoch, and the log read from its beginning
	Waiting    State = "waiting"    // the shard does not answer
	Comparing  State = "comparing"  // the shard against the log
	Rebuilding State = "rebuilding" // the shard is emptied and loaded
	Fencing    State = "fencing"    // the shard goes on, in our epoch
	Serving    State = "serving"
	Resting    State = "resting" // between two reigns
	Damaged    State = "damaged" // the journal is damaged: the shard is not served until people have looked
	Ended      State = "ended"
)

// Progress is what a keeper is doing.
type Progress struct {
	State State
	Epoch uint32 // 0 before there is one
	// While claiming: the partition whose log is read, records read, and records that were there at the beginning.
	Partition int
	Records   int64
	Of        int64
	From      string // the snapshot that the partition's fold begins at, told once; Records count from there
	// Resting: why the reign ended. Rebuilding: why the shard is rebuilt.
	Reason string
}

// Stats are a keeper's figures at one moment.
type Stats struct {
	Shard        string
	State        State
	Epoch        uint32
	Reigns       uint64 // begun
	Rebuilt      uint64 // shards rebuilt
	Repaired     uint64 // replicas brought to the log's end
	Failovers    uint64 // to another address
	Adopted      uint64 // shards that went on as they were
	Replicas     []ReplicaStats
	LeaseRenewed time.Time     // when the lease was made longer last; zero: never
	Takeover     time.Duration // of the present reign: from the beginning of its claim to serving
	Window       WindowStats   // as it was seen last

	MovesIn    uint64 // partitions that came from another shard
	MovesOut   uint64 // that went to another one
	MovesTaken uint64 // back: partitions that were frozen, and stayed
	// Partitions that went, and were compared with the journal behind the freeze: as it says, or not, which is an alarm.
	MovesAgree, MovesDiffer uint64

	MoveTook  time.Duration // of the last that came, from its first reading to the map
	FrozenMax time.Duration // longest time that a partition did not serve here and was not another's yet

	// Of the present reign; empty between two.
	Marks        []luascripts.Mark // what is durable
	Relay        relay.Stats
	Counts       ChannelCounts
	Channels     []ChannelStats // with legs on their way, or in trouble
	Reservations int            // open
	Expired      uint64         // by our act
}

// ChannelStats are one channel's figures.
type ChannelStats struct {
	Source, Dest int
	Delivered    uint64 // the source's seq up to which the legs are settled
	Durable      uint64 // the source's
	Legs         int    // decided and not settled, as far as they are in memory
	InFlight     []Money
	Behind       bool // it has fallen behind: more legs are in the log
	Broken       bool // the destination claims more than the log holds. An alarm
}

// Money is an amount of an asset.
type Money struct {
	Asset  int
	Amount int64
}

// stats are the channels that have something to tell.
func (c *channels) stats() (counts ChannelCounts, all []ChannelStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sources {
		for _, ch := range s.dest {
			if ch == nil || (ch.waiting() == 0 && ch.live && !ch.broken) {
				continue
			}
			st := ChannelStats{Source: ch.source, Dest: ch.dest, Delivered: ch.from, Durable: s.durable, Legs: ch.waiting(), Behind: !ch.live, Broken: ch.broken}
			for _, m := range ch.money {
				if m.amount != 0 {
					st.InFlight = append(st.InFlight, Money{int(m.asset), m.amount})
				}
			}
			all = append(all, st)
		}
	}
	return c.counts, all
}
