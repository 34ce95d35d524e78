// Package gateway is the wallet's front door: WebSocket and REST (surface, "REST" and "WebSocket"). It is stateless:
// what it holds is the requests under way, and every answer it gives has obeyed the output-commit rule, because the
// shards it is handed (rows.Shards) settle nothing before the journal is durable up to it.
//
//	            session: one reader, one writer goroutine a connection          rest: one goroutine a request
//	client ──frame──> scan ──> stage ──(before the next blocking read)──┐       body ──> desk ──┐
//	                                                                    ├──> tcc ──> rows.Shards ┤
//	client <──one frame──── reply buffer <──── Settle(run) ─────────────┘                        └─> waits for its outcome
//
// Files: server.go wires the doors; conn.go lets a session hand its stage over just before a read blocks; session*.go
// speak WebSocket; desk.go makes an act a blocking call for REST; rest_*.go are the routes; reads.go serves what comes
// from the projection, here or, behind a reverse proxy, in a projector's process.
//
// It knows no shard, no ZooKeeper and no Kafka: the binary hands it interfaces.
package gateway
