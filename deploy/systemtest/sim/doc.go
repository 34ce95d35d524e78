// Package sim runs the production code of a whole little wallet under a seed (decision 14): coordinators and lanes of two
// gateways, keepers of all shards in two rival processes with their claims, comparisons, relays, channels, expiries, moves and key
// windows, a projector with its store, snapshots, and the fold. Only what lies beyond their network is simulated: shards, journal,
// ZooKeeper. What takes part, takes turns by seed (turn).
//
//	clients ─> gateways: tcc, lanes ─┐                            ┌─> shards: journal.Book instead of Lua
//	                                 ├─ every call parks here ──> ├─> journal: records in memory
//	      keepers: keeper, relay ────┘    the seed picks ONE      └─> ZooKeeper: map, epochs, elections, sessions
//
// It all lives in a testing/synctest bubble: time is false and moves only when nobody has anything to do. When every
// goroutine of the wallet is blocked, the seed picks one of the parked calls and what becomes of it: done and answered; done and
// the answer lost or late; never done; given up by its caller and done later. Or it lets time go on, crashes a process,
// freezes it, ends its session, restarts a shard empty or with older data. So a seed is a run, and is run again exactly
// (SEED=n, make sim).
//
// What must hold is looked at in every step (audit_test.go) and when all has healed and come to rest (oracle_test.go).
//
// The package is tests only. Files: world_test.go the scheduler; call_test.go what is parked; weather_test.go faults;
// journal_test.go, shard_test.go, data_test.go, scripts_test.go, window_test.go, moving_test.go, acts_test.go, zookeeper_test.go what
// is simulated; process_test.go, projector_test.go, snapshots_test.go the wallet's processes; client_test.go, request_test.go what is asked of it; sim_test.go the campaign.
package sim
