// Package faultproxy is a TCP proxy for tests that breaks connections on purpose, at the
// moment a test chooses, between a real client and a real server.
//
//	client ──> Proxy.Addr() ──requests──> target
//	                        <──replies───
//
//	DropNextReply   the request is executed, its reply is dropped, the connection cut
//	Cut             all connections end now
//	Refuse          new connections are refused, as by a server that is down
//	Delay           every piece takes longer, each way
//	BlackHole       connections open and stay open, nothing passes (half-open)
//
// Faults are switched while traffic runs, and Heal switches all of them off. Counts says
// what the proxy did, so that a test can tell that its fault happened at all.
//
// It passes plain bytes and knows no protocol but one: in a connection that speaks RESP (it
// begins with a '*') a request is one whole command, of any size, pipelined or not, and
// DropNextReply cuts only when the server has executed it. In any other connection (HTTP,
// WebSocket, Kafka) a request is what the client has sent since the server last spoke, and
// the connection is cut at the first byte that the server then sends: a server that also
// speaks unasked (pushes) may be cut off before it has read the request. WebSocket clients
// mask their frames, so that their text cannot be matched.
//
// What it refuses to do: change bytes, reorder or duplicate them. What it did not deliver
// stays undelivered.
package faultproxy
