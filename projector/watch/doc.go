// Package watch tells who watches an account every version of it as soon as it is folded: where pushes come from (decision 28).
//
//	view.Fold ── Changed ──> part: of watched accounts only ── Committed ──> Sink.Told   (a gateway's hub, or the link to one)
//	view ── Versions ──> Since: what a subscriber has missed
//
// What is folded is in the journal, durable and past fencing, so nobody is told what a takeover could take back. A watcher is told the
// account's version when it begins, and from then on every version in order; what it may have missed in between (an open batch, a lost link)
// it sees by the version, and asks Since.
//
// A wallet in which nobody watches pays one look at a counter for every change.
package watch
