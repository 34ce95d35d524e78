// Package push tells subscribers what happens to accounts: every version, in order, at least once, never before it is durable (design
// section 9, semantics P14, decision 28).
//
//	projection ── Feed ──> Hub.Told ──> topic (one an account) ── encoded once ──> Outlet.Push   (a session's unsent bytes)
//	      ^                                │ something is missing: the version is not the next one
//	      └──────── Since ──── worker <────┘
//
// A subscription is the version that comes next. News with that version is pushed, older news is passed over, anything else makes a worker
// ask the feed for all versions from there on; so nothing relies on a message that arrives. A subscription is opening (its balance is being
// read, what it missed is being looked up), live, or filling.
//
// Guarantees: Told never blocks and Outlets never wait; a reply to subscribe comes before the first push; behind Close there is no push. A
// version that is owed and cannot be had ends the session (Outlet.Cut), so that the client, which knows where it is, asks again.
//
// What it refuses to do: know sessions, shards or the projection's store; keep events.
//
//	hub.go open.go fill.go   subscriptions        link*.go   a feed from another process
package push
