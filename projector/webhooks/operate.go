package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"walletd/journal/public"
)

// Standing is how an endpoint stands, as its files have it.
type Standing struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Known  bool   `json:"known"` // it has places: something has run with it
	Gone   bool   `json:"gone"`  // it answered 410: nothing more is sent
	Dead   int    `json:"dead"`  // events given up
	Places int    `json:"partitions"`
}

// Look reads an endpoint's files.
func Look(e *Endpoint, dir string) (Standing, error) {
	s := Standing{Name: e.Name, URL: e.URL}
	st := store{dir: dir, name: e.Name}
	b, err := os.ReadFile(st.path(".json"))
	if err == nil {
		err = json.Unmarshal(b, &st.state)
		s.Known, s.Gone, s.Places = err == nil, st.state.Gone, len(st.state.Places)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("webhook %s: %w", e.Name, err)
	}
	dead, err := DeadLetters(e, dir)
	s.Dead = len(dead)
	return s, err
}

// DeadLetters are the events that were given up, oldest first.
func DeadLetters(e *Endpoint, dir string) ([]Dead, error) {
	s := store{dir: dir, name: e.Name}
	var all []Dead
	for _, kind := range []string{retryingFile, deadFile} {
		some, err := readDead(s.path(kind))
		if err != nil {
			return all, err
		}
		all = append(all, some...)
	}
	return all, nil
}

const (
	deadFile     = ".dead.jsonl"
	retryingFile = ".retrying.jsonl" // those that a retry has taken in hand; one that was cut off goes on with them
)

func readDead(path string) (list []Dead, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	for d := json.NewDecoder(f); ; {
		var one Dead
		switch err := d.Decode(&one); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the last line was being written
			return list, nil
		case err != nil:
			return list, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, one)
	}
}

// Retry sends the events that were given up, once each, also beside what runs. Those that fail again are kept.
func Retry(ctx context.Context, e *Endpoint, dir string) (sent, left int, err error) {
	keys, err := e.keys()
	if err != nil {
		return 0, 0, err
	}
	s := store{dir: dir, name: e.Name}
	if _, err := os.Stat(s.path(retryingFile)); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(s.path(deadFile), s.path(retryingFile)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return 0, 0, nil
			}
			return 0, 0, err
		}
	}
	list, err := readDead(s.path(retryingFile))
	if err != nil {
		return 0, 0, err
	}
	client := e.newClient(answerWithin)
	defer client.CloseIdleConnections()
	for _, d := range list {
		if err := e.post(ctx, client, keys, d.ID, d.Body); err == nil {
			sent++
			continue
		} else if ctx.Err() != nil {
			return sent, len(list) - sent, ctx.Err() // all of them are tried again
		} else {
			d.Reason, d.At = err.Error(), time.Now().UTC()
		}
		if err := s.bury(d); err != nil {
			return sent, len(list) - sent, err
		}
		left++
	}
	return sent, left, os.Remove(s.path(retryingFile))
}

// Test sends a message of the type webhook.test.
func Test(ctx context.Context, e *Endpoint) error {
	keys, err := e.keys()
	if err != nil {
		return err
	}
	client := e.newClient(answerWithin)
	defer client.CloseIdleConnections()
	now := time.Now().UnixMilli()
	body := append(public.AppendTime([]byte(`{"type":"webhook.test","timestamp":"`), now), `","data":{}}`...)
	return e.post(ctx, client, keys, fmt.Sprintf("evt_test-%d", now), body)
}
