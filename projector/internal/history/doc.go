// Package history writes journals for tests: random but valid histories of a whole wallet, decided and folded by
// journal.Book, with channels that deliver late, keepers that change, zombies that still write and appends that are
// repeated. It also forges: a journal can be written again with other events, its chain unbroken.
//
// Only tests import it. Everything follows from the seed; nothing reads a clock.
package history
