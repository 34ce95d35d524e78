// Package events tells the public what happened: it makes public events of what is folded, and publishes them in the topic wallet.events as
// CloudEvents (decision 29, docs/events.md).
//
//	view ── Source.Read, from any place ──> Item ── Publisher, one goroutine a partition ──> Topic
//	                                                     ^ place = the id of the topic's last record ┘
//
// The source has no state of its own: the projection keeps every event in the journal's order and every account as each event left it,
// so any number of readers go through them from any place, at any time again, and get the same bytes. Nobody is told what is not durable,
// because the journal has been folded.
//
// Guarantees of the topic: partition n has the events of the wallet's partition n, in the journal's order, so an account's are in order of
// its versions; every event at least once, with an id and bytes that never change. Repeats come behind a crash, a lost reply, or while two
// processes publish.
//
// What it refuses to do: hold up the projection, keep a cursor elsewhere than where the output is, talk to Kafka (kafkatopic/ does).
package events
