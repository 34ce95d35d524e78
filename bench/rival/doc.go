// Package rival holds what the wallet is compared with (decision 17, part 6): honest alternatives behind the wallet's own
// front. A rival is a rows.Shards, so the same gateway, wire, client and workload drive it; docs/rivals.md says what each
// promises and what it does not.
//
//	gateway.Server ──Submit──> Batching ──one batch at a time──> Postgres    micro-batching: a transaction a batch
//	                          OneByOne ──many calls at a time─> Function    a PostgreSQL function, a transaction a transfer
//	                                                          > Redis       a script a transfer, no journal
//
// batching.go and onebyone.go are the two ways to a store; postgres*.go and schema.sql are PostgreSQL, redis.go and
// transfer.lua Redis; compare.go measures a rival and the wallet in turns.
//
// What rivals serve is what the bench needs: open an account, read it, transfer. Every other act is refused as malformed.
// Rivals take no part in any wallet: nothing outside of the bench imports this package.
package rival
