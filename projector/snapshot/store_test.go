package snapshot

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"walletd/deploy/local"
	"walletd/projector/internal/history"
)

// s3For is a store on a real S3 server, in a bucket that other files lie in, too.
func s3For(t *testing.T) (*S3, *local.Server) {
	t.Helper()
	server := local.S3(t, "access", "secret-key", "wallet")
	s, err := NewS3(S3Config{Endpoint: "http://" + server.Addr, Bucket: "wallet", Prefix: "/some/prefix/", AccessKey: "access", SecretKey: "secret-key"})
	must(t, err)
	_, err = s.client.PutObject(t.Context(), "wallet", "some/prefixed-otherwise", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	must(t, err)
	t.Cleanup(s.Close)
	return s, server
}

func TestStores(t *testing.T) {
	for what, open := range map[string]func(*testing.T) Store{
		"directory": func(t *testing.T) Store { return NewDir(filepath.Join(t.TempDir(), "a", "b")) },
		"s3":        func(t *testing.T) Store { s, _ := s3For(t); return s },
	} {
		t.Run(what, func(t *testing.T) {
			t.Run("files", func(t *testing.T) { files(t, open(t)) })
			t.Run("a wallet's snapshots", func(t *testing.T) { wallet(t, open(t)) })
		})
	}
}

// files: what is put is there, whole or not at all.
func files(t *testing.T, s Store) {
	ctx := t.Context()
	text := func(b string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, b); return err }
	}
	read := func(name string) (string, error) {
		f, err := s.Get(ctx, name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		return string(b), err
	}
	if all, err := s.List(ctx); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	if _, err := read("a/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, s.Put(ctx, "a/x", text("one")))
	must(t, s.Put(ctx, "b/y", text("two")))
	must(t, s.Put(ctx, "a/x", text("three")))
	failed := errors.New("failed")
	for _, name := range []string{"a/x", "c/z"} {
		if err := s.Put(ctx, name, func(w io.Writer) error {
			_, err := w.Write(make([]byte, s3Part+5)) // a part is on its way
			return errors.Join(err, failed)
		}); !errors.Is(err, failed) {
			t.Fatal(err)
		}
	}
	if all, err := s.List(ctx); err != nil || len(all) != 2 || all[0] != (Object{"a/x", 5}) || all[1] != (Object{"b/y", 3}) {
		t.Fatal(all, err)
	}
	if b, err := read("a/x"); b != "three" || err != nil {
		t.Fatal(b, err)
	}
	large := strings.Repeat("0123456789abcdef", 2*s3Part/16+10)
	must(t, s.Put(ctx, "a/large", text(large)))
	if b, err := read("a/large"); b != large || err != nil {
		t.Fatal(len(b), err)
	}
	must(t, s.Delete(ctx, "a/x"))
	must(t, s.Delete(ctx, "a/x"))
	if _, err := read("a/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Put(ended, "a/late", text("x")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// wallet: snapshots are taken, found, read and tidied up.
func wallet(t *testing.T, s Store) {
	h := history.New(shape(1))
	v := viewAt(t, h, []int64{10, 20, 30})
	first := taken(t, s, v, h.Log)
	for p := range h.Partitions {
		advance(t, v, h.Log, p, 40)
	}
	second := taken(t, s, v, h.Log)
	shelf := shelfOf(s, h.Partitions)
	all, err := shelf.List(t.Context())
	must(t, err)
	if len(all) != 2 || all[0].ID != second.ID || all[1].ID != first.ID || all[0].Err != nil || all[1].Err != nil {
		t.Fatalf("%+v", all)
	}
	l, err := shelf.Newest(t.Context(), 2)
	must(t, err)
	if l.Header.Cursor.Offset != 40 || l.ID != second.ID {
		t.Errorf("%+v", l.Header)
	}
	if n, err := shelf.Tidy(t.Context(), Policy{Newest: 1}, time.Now()); n != 1 || err != nil {
		t.Error(n, err)
	}
	if objects, err := s.List(t.Context()); err != nil || len(objects) != h.Partitions+1 {
		t.Error(objects, err)
	}
}

// TestS3Faults: a store that is away, or does not let us in, is an error that names it; it is not an empty one.
func TestS3Faults(t *testing.T) {
	s, server := s3For(t)
	shelf := shelfOf(s, 3)
	wrong, err := NewS3(S3Config{Endpoint: "http://" + server.Addr, Bucket: "wallet", AccessKey: "access", SecretKey: "wrong"})
	must(t, err)
	defer wrong.Close()
	if _, err := wrong.List(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("a wrong key: %v", err)
	}
	elsewhere, err := NewS3(S3Config{Endpoint: "http://" + server.Addr, Bucket: "nobody", AccessKey: "access", SecretKey: "secret-key"})
	must(t, err)
	defer elsewhere.Close()
	if _, err := elsewhere.Get(t.Context(), "x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such bucket: %v", err)
	}
	server.Kill()
	if l, err := shelf.Newest(t.Context(), 0); l != nil || err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("away: %v", err)
	}
	for _, c := range []S3Config{{Bucket: "b"}, {Endpoint: "localhost:80", Bucket: "b"}, {Endpoint: "http://h", Bucket: ""}, {Endpoint: "http://h/path", Bucket: "b"}, {Endpoint: "http://h", Bucket: "b", AccessKey: "x"}} {
		if _, err := NewS3(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// TestASilentS3IsLeft: a store that takes a question and does not answer it, or stops in the middle of a file, ends a reading
// soon: a shard may be waiting for it.
func TestASilentS3IsLeft(t *testing.T) {
	whole, server := s3For(t)
	h := history.New(shape(7))
	m := taken(t, whole, viewAt(t, h, []int64{60, 60, 60}), h.Log)
	for what, c := range map[string]struct {
		replies int // bytes that come
		read    func(*Shelf) error
	}{
		"the list":             {0, func(s *Shelf) error { _, err := s.Newest(t.Context(), 0); return err }},
		"the middle of a list": {50, func(s *Shelf) error { _, err := s.Newest(t.Context(), 0); return err }},
		"a file":               {0, func(s *Shelf) error { _, err := s.Load(t.Context(), m, 0); return err }},
		"the middle of a file": {2000, func(s *Shelf) error { _, err := s.Load(t.Context(), m, 0); return err }},
		"an upload": {0, func(s *Shelf) error {
			return s.Store.Put(t.Context(), "x", func(w io.Writer) error { _, err := w.Write(make([]byte, 100)); return err })
		}},
		"what is to be deleted": {0, func(s *Shelf) error { return s.Store.Delete(t.Context(), "x") }},
	} {
		t.Run(what, func(t *testing.T) {
			s, err := NewS3(S3Config{Endpoint: "http://" + stalling(t, server.Addr, c.replies), Bucket: "wallet", Prefix: "/some/prefix/", AccessKey: "access", SecretKey: "secret-key"})
			must(t, err)
			defer s.Close()
			s.patience = 200 * time.Millisecond
			ended := make(chan error, 1)
			go func() { ended <- c.read(shelfOf(s, h.Partitions)) }()
			select {
			case err := <-ended:
				if !errors.Is(err, errSilent) || errors.Is(err, ErrDamaged) {
					t.Errorf("%v", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("it still waits")
			}
		})
	}
}

// stalling is a way to a server that stops, open, when so many bytes of replies have come.
func stalling(t *testing.T, server string, replies int) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var open sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	t.Cleanup(func() { end(); _ = l.Close(); open.Wait() })
	pass := func(c net.Conn) {
		defer open.Done()
		to, err := net.Dial("tcp", server)
		if err != nil {
			_ = c.Close()
			return
		}
		defer context.AfterFunc(ended, func() { _ = c.Close(); _ = to.Close() })()
		open.Go(func() { _, _ = io.Copy(to, c) })
		_, _ = io.CopyN(c, to, int64(replies))
		<-ended.Done()
		_ = c.Close()
		_ = to.Close()
	}
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go pass(c)
		}
	})
	return l.Addr().String()
}

// TestCredentialsOfTheEnvironment: without keys in the configuration those of the environment are taken.
func TestCredentialsOfTheEnvironment(t *testing.T) {
	_, server := s3For(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
	s, err := NewS3(S3Config{Endpoint: "http://" + server.Addr, Bucket: "wallet"})
	must(t, err)
	defer s.Close()
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
}

// TestUnfinishedFilesAreNone: what a crash left is not listed, and goes with its snapshot.
func TestUnfinishedFilesAreNone(t *testing.T) {
	d := NewDir(t.TempDir())
	must(t, d.Put(t.Context(), "a/x", func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }))
	must(t, os.WriteFile(filepath.Join(d.root, "a", "y"+unfinished), []byte("half"), 0o600))
	if all, err := d.List(t.Context()); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
}
