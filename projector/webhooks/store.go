package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"walletd/projector/events"
)

// store is what is remembered of an endpoint, on disk.
type store struct {
	dir, name string

	mu    sync.Mutex // guards what follows
	state state
}

type state struct {
	Places []events.Place `json:"places"` // by partition
	Gone   bool           `json:"gone"`   // it answered 410: nothing more is sent
}

// Dead is an event that was given up.
type Dead struct {
	ID     string          `json:"id"` // of the message
	At     time.Time       `json:"at"`
	Reason string          `json:"reason"`
	Body   json.RawMessage `json:"body"` // as it was sent
}

// openStore reads what there is; an endpoint that is new begins at the places of start.
func openStore(dir, name string, partitions int, start func(partition int) (events.Place, error)) (*store, error) {
	s := &store{dir: dir, name: name}
	b, err := os.ReadFile(s.path(".json"))
	switch {
	case err == nil:
		if err = json.Unmarshal(b, &s.state); err == nil && len(s.state.Places) != partitions {
			err = fmt.Errorf("%d partitions, the wallet has %d", len(s.state.Places), partitions)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove it, and the endpoint begins with what happens from then on", s.path(".json"), err)
		}
		return s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for p := range partitions {
		at, err := start(p)
		if err != nil {
			return nil, err
		}
		s.state.Places = append(s.state.Places, at)
	}
	return s, errors.Join(os.MkdirAll(dir, 0o750), s.write())
}

func (s *store) path(kind string) string { return filepath.Join(s.dir, s.name+kind) }

// write replaces the file.
func (s *store) write() error {
	b, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "."+s.name+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(".json"))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (s *store) place(partition int) (events.Place, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Places[partition], s.state.Gone
}

// reached remembers a place.
func (s *store) reached(partition int, at events.Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Places[partition] = at
	return s.write()
}

func (s *store) gone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Gone = true
	return s.write()
}

// bury keeps an event that is given up, before its place is passed.
func (s *store) bury(d Dead) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path(deadFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
