package snapshot

import (
	"context"
	"errors"
	"path"
	"time"
)

// Policy says which snapshots are kept.
type Policy struct {
	Newest int // so many
	Days   int // and the newest of each of so many days (UTC), today among them
}

// superfluous answers what may go: neither among the newest, nor a day's newest. all is newest first; damaged and foreign
// ones are not ours to judge: they stay until somebody has looked at them.
func (p Policy) superfluous(all []Entry, now time.Time) (old []Entry) {
	whole := 0
	days := map[string]bool{}
	first := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-p.Days)
	for _, e := range all {
		if e.Err != nil {
			continue
		}
		at := e.Manifest.CreatedAt.UTC()
		day := at.Format(time.DateOnly)
		ofDay := p.Days > 0 && !at.Before(first) && !days[day]
		days[day] = true
		if whole++; whole > max(p.Newest, 1) && !ofDay {
			old = append(old, e)
		}
	}
	return old
}

// Tidy deletes what the policy does not keep, and the remains of snapshots that were never finished. The newest whole one
// is read again before anything goes: when it is not whole, everything stays.
func (s *Shelf) Tidy(ctx context.Context, p Policy, now time.Time) (deleted int, err error) {
	all, err := s.List(ctx)
	if err != nil {
		return 0, err
	}
	old := p.superfluous(all, now)
	if len(old) > 0 {
		if err := s.newestIsWhole(ctx, all); err != nil {
			return 0, err
		}
	}
	for _, e := range old {
		// The manifest first: what is deleted in part must not look like a snapshot.
		if err := s.Store.Delete(ctx, path.Join(e.ID, manifestName)); err != nil {
			return deleted, err
		}
		deleted++
		for i := range e.Manifest.Files {
			if err := s.Store.Delete(ctx, e.Manifest.path(&e.Manifest.Files[i])); err != nil {
				return deleted, err
			}
		}
		s.log().Info("an old snapshot was deleted", "snapshot", e.ID)
	}
	return deleted, s.sweep(ctx, all, now)
}

func (s *Shelf) newestIsWhole(ctx context.Context, all []Entry) error {
	for _, e := range all {
		if e.Err != nil {
			continue
		}
		for partition := range e.Manifest.Files {
			if err := s.check(ctx, e.Manifest, partition, false); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("there is no whole snapshot")
}

// unfinishedFor is how old the remains of a snapshot without a manifest must be to be swept: another process may be
// taking it.
const unfinishedFor = 24 * time.Hour

func (s *Shelf) sweep(ctx context.Context, all []Entry, now time.Time) error {
	listed := map[string]bool{}
	for _, e := range all {
		listed[e.ID] = true
	}
	objects, err := s.Store.List(ctx)
	if err != nil {
		return err
	}
	for _, o := range objects {
		id := path.Dir(o.Name)
		at, ok := timeOf(id)
		if !ok || listed[id] || now.Sub(at) < unfinishedFor {
			continue
		}
		if err := s.Store.Delete(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}
