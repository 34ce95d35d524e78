// Package public says what the journal's events mean for the public: pushes, the topic wallet.events and webhooks all have their names,
// ids and bodies from here, so that they are the same everywhere (docs/events.md).
//
//	journal event + what it did to one account (journal.Change) ── Of ──> Event ── AppendJSON ──> body
//
// A public event is one version of one account: an account's events have its versions 1, 2, 3, … without a gap, and who has seen
// version n knows that every later event is n+1. A journal event that touches two accounts (a transfer within a partition, a delivery of
// many legs) gives one for each, in its own order; what moves nothing (refusals, tombstones, evictions) gives none.
//
// An event says what its own journal event says and nothing that would have to be looked up, but for the names of accounts. So the
// client's key and reference stand in the payer's events alone; the payee's has the id under which the transfer is found.
//
// What it refuses to do: it reads no clock, opens nothing, keeps no state. The same journal gives the same bytes.
package public
