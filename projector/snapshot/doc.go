// Package snapshot keeps the state of a wallet's partitions at a cut of their logs, so that a rebuild reads a file and the
// tail of the log instead of everything that ever happened (design sections 8 and 9).
//
//	view.Cut, or Books folded from a log ── Source ──> Writer ──> one file a partition ──┐
//	                                                                                     v
//	keeper, commands <── Loaded (Book, cursor, legs) <── Reader <── Store: directory or S3 <── manifest, last
//
// Guarantees: a snapshot is there whole or not at all, because its manifest is written last, after every file has been read
// back; a file is believed only when every checksum, count and sum in it agrees with what was read, and it is of this
// wallet and partition; a damaged one is told, counted and passed over for an older one; the newest whole one is never
// deleted. It is taken from one state of the projection: folding goes on, and no shard notices.
//
// Whether a snapshot is of the log that it is used with is for whoever has the log to find out: Header.Last and the cursor's
// chain say so (keeper.Beginning).
//
// What it refuses to do: read a shard; believe a directory listing; convert files of another version.
//
//	format.go write.go read.go load.go   the file, which docs/snapshots.md describes byte by byte
//	store.go dir.go s3.go manifest.go    where files are kept
//	source.go fold.go take.go            what is written, and when
//	shelf.go keep.go                     what there is, which is believed, which is kept
package snapshot
