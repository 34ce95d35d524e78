package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"walletd/journal"
)

// ledger is the journal: records in memory, which are never lost.
type ledger struct {
	world   *world
	records [partitions][][]byte
}

// append puts a record at the end and shows it to the auditor.
func (l *ledger) append(r journal.Record) int64 {
	p := r.Partition
	l.records[p] = append(l.records[p], r.Bytes)
	at := int64(len(l.records[p]) - 1)
	l.world.audit.record(p, at, r.Bytes)
	return at
}

// journalOf is the journal as a process reaches it.
type journalOf struct {
	from *process
	*ledger
}

var _ journal.Log = journalOf{}

const journalTimeout = 3 * time.Second

var (
	errJournalUnknown = errors.New("the journal's answer is lost")
	errNotAppended    = fmt.Errorf("the journal refuses: %w", journal.ErrNotAppended)
	errNotRead        = errors.New("the journal does not answer")
)

func (j journalOf) request(label string, append bool) request {
	r := request{from: j.from, label: j.from.name + " journal " + label, faults: &j.world.weather.read, timeout: journalTimeout, lost: errNotRead}
	if append {
		r.faults, r.lost, r.refused = &j.world.weather.append, errJournalUnknown, errNotAppended
	}
	return r
}

// Partitions implements journal.Log, as the methods below do.
func (j journalOf) Partitions() int { return partitions }

func (j journalOf) Append(ctx context.Context, records []journal.Record) ([]int64, error) {
	mine := make([]journal.Record, len(records))
	label := "append"
	for i, r := range records {
		mine[i] = journal.Record{Partition: r.Partition, Bytes: slices.Clone(r.Bytes)}
		label += fmt.Sprintf(" %d", r.Partition)
	}
	return ask(ctx, j.request(label, true), func() ([]int64, error) { return j.appendAll(label, mine) })
}

// appendAll appends all records, or, when the request falls apart, some now, some later or never.
func (j journalOf) appendAll(label string, records []journal.Record) (offsets []int64, err error) {
	w := j.world
	apart := !w.healing && len(records) > 1 && w.rng.IntN(1000) < w.weather.split
	for _, r := range records {
		if apart && w.rng.IntN(2) == 0 {
			offsets, err = append(offsets, -1), errJournalUnknown
			if w.rng.IntN(2) == 0 {
				w.at(w.pause(), j.from.name+" journal late "+label, func() { j.append(r) })
			}
			continue
		}
		offsets = append(offsets, j.append(r))
	}
	return offsets, err
}

func (j journalOf) Read(ctx context.Context, partition int, from int64, fn func(int64, []byte) error) (int64, error) {
	type part struct {
		records [][]byte
		cut     bool
	}
	got, err := ask(ctx, j.request(fmt.Sprintf("read %d", partition), false), func() (part, error) {
		all := j.records[partition]
		if from > int64(len(all)) {
			return part{}, fmt.Errorf("%w: partition %d: read from %d of %d", journal.ErrDamaged, partition, from, len(all))
		}
		all = all[from:len(all):len(all)]
		if w := j.world; !w.healing && len(all) > 0 && w.rng.IntN(1000) < w.weather.read.deaf {
			return part{all[:w.rng.IntN(len(all))], true}, nil
		}
		return part{all, false}, nil
	})
	if err != nil {
		return from, err
	}
	for _, record := range got.records {
		if err := fn(from, record); err != nil {
			return from, err
		}
		from++
	}
	if got.cut {
		return from, errNotRead
	}
	return from, nil
}

func (j journalOf) End(ctx context.Context, partition int) (int64, error) {
	return ask(ctx, j.request(fmt.Sprintf("end %d", partition), false), func() (int64, error) { return int64(len(j.records[partition])), nil })
}

func (j journalOf) Wait(ctx context.Context, partition int, offset int64) error {
	r := j.request(fmt.Sprintf("wait %d", partition), false)
	r.timeout, r.held = 0, func() bool { return int64(len(j.records[partition])) <= offset }
	return tell(ctx, r, func() error { return nil })
}
