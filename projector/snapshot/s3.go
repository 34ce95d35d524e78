package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config names a place in an S3-compatible store.
type S3Config struct {
	Endpoint  string // http(s)://host[:port]; the scheme decides about TLS
	Bucket    string // must be there
	Prefix    string // before every name; may be ""
	Region    string // "": us-east-1
	AccessKey string // with SecretKey; both "": AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment
	SecretKey string
}

// S3 is a Store in an S3-compatible store.
type S3 struct {
	client    *minio.Client
	transport *http.Transport
	cfg       S3Config
	patience  time.Duration
}

var _ Store = (*S3)(nil)

// s3Part is what an upload holds in memory; 10,000 parts are allowed, so a file may have 160 GB.
const s3Part = 16 << 20

// s3Patience is how long nothing may come from the store while something is read. A rebuild may be waiting, which does without.
const s3Patience = 10 * time.Second

var errSilent = errors.New("the store is silent")

// s3Upload is as many patiences as a part that is sent may take.
const s3Upload = 30

// waiting bounds how long nothing comes.
type waiting struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	patience time.Duration
	timer    *time.Timer
}

func (s *S3) waiting(ctx context.Context, patience time.Duration) *waiting {
	w := &waiting{patience: patience}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(w.patience, func() { w.cancel(fmt.Errorf("%w for %v", errSilent, w.patience)) })
	return w
}

// end ends the waiting. When it was in vain, that is the error.
func (w *waiting) end(err error) error {
	w.timer.Stop()
	if silent := context.Cause(w.ctx); err != nil && errors.Is(silent, errSilent) {
		err = silent
	}
	w.cancel(nil)
	return err
}

// attentive is a file that is being read: whoever reads may take his time.
type attentive struct {
	io.ReadCloser
	*waiting
}

func (a *attentive) Read(b []byte) (int, error) {
	a.timer.Reset(a.patience)
	n, err := a.ReadCloser.Read(b)
	a.timer.Stop()
	if silent := context.Cause(a.ctx); err != nil && errors.Is(silent, errSilent) {
		err = silent
	}
	return n, err
}

// uploading is what is sent: the time that passes between two readings is the store's.
type uploading struct {
	io.Reader
	*waiting
}

func (u *uploading) Read(b []byte) (int, error) {
	u.timer.Stop()
	defer u.timer.Reset(u.patience)
	return u.Reader.Read(b)
}

func (a *attentive) Close() error { return a.end(a.ReadCloser.Close()) }

// NewS3 is a client of the store; it asks nothing yet.
func NewS3(c S3Config) (*S3, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("s3: endpoint %q is no address like https://s3.example.com", c.Endpoint)
	}
	if c.Bucket == "" || (c.AccessKey == "") != (c.SecretKey == "") {
		return nil, errors.New("s3: bucket, and both or neither of access_key and secret_key, must be named")
	}
	creds := credentials.NewEnvAWS()
	if c.AccessKey != "" {
		creds = credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")
	}
	c.Prefix = strings.Trim(c.Prefix, "/")
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Transport:    transport,
		Creds:        creds,
		Secure:       u.Scheme == "https",
		Region:       cmp.Or(c.Region, "us-east-1"), // named, so that nothing is asked for it
		BucketLookup: minio.BucketLookupPath,        // most compatible stores have no name of their own per bucket
		MaxRetries:   5,                             // with a growing pause; whoever waits for a rebuild must not wait for long
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return &S3{client, transport, c, s3Patience}, nil
}

func (s *S3) String() string {
	return strings.TrimSuffix(s.cfg.Endpoint, "/") + "/" + path.Join(s.cfg.Bucket, s.cfg.Prefix)
}

func (s *S3) key(name string) string { return path.Join(s.cfg.Prefix, name) }

// Put streams an upload in parts: the object appears when the last is there, and not when it is aborted.
func (s *S3) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	w := s.waiting(ctx, s3Upload*s.patience)
	from, to := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		to.CloseWithError(write(to))
	}()
	_, err := s.client.PutObject(w.ctx, s.cfg.Bucket, s.key(name), &uploading{from, w}, -1, minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: s3Part, NumThreads: 1})
	err = w.end(err)
	from.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // ends a writer that is still writing
	<-done
	if err != nil {
		return fmt.Errorf("put %s into %s: %w", name, s, err)
	}
	return nil
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	// Core's asks at once, and with a body in the answer: a bucket that is not there is another error than a missing file.
	w := s.waiting(ctx, s.patience)
	o, _, _, err := minio.Core{Client: s.client}.GetObject(w.ctx, s.cfg.Bucket, s.key(name), minio.GetObjectOptions{})
	if err == nil {
		w.timer.Stop()
		return &attentive{o, w}, nil
	}
	err = w.end(err)
	if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusNotFound && r.Code == minio.NoSuchKey {
		err = fmt.Errorf("%w: %w", errNotThere, err)
	}
	return nil, fmt.Errorf("get %s from %s: %w", name, s, err)
}

// List implements Store.
func (s *S3) List(ctx context.Context) ([]Object, error) {
	w := s.waiting(ctx, s.patience)
	defer w.cancel(nil)
	prefix := s.cfg.Prefix
	if prefix != "" {
		prefix += "/"
	}
	var all []Object
	for o := range s.client.ListObjects(w.ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list %s: %w", s, w.end(o.Err))
		}
		w.timer.Reset(w.patience)
		all = append(all, Object{strings.TrimPrefix(o.Key, prefix), o.Size})
	}
	if err := w.end(w.ctx.Err()); err != nil {
		return nil, fmt.Errorf("list %s: %w", s, err)
	}
	slices.SortFunc(all, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, name string) error {
	w := s.waiting(ctx, s.patience)
	if err := w.end(s.client.RemoveObject(w.ctx, s.cfg.Bucket, s.key(name), minio.RemoveObjectOptions{})); err != nil {
		return fmt.Errorf("delete %s from %s: %w", name, s, err)
	}
	return nil
}

// Close lets go of connections.
func (s *S3) Close() { s.transport.CloseIdleConnections() }
