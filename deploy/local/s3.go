package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	s3Version = "v1.8.0" // of versitygw; install.sh reads it here
	s3Health  = "/health"
)

// S3Region is the region of every S3 server here.
const S3Region = "us-east-1"

// S3Config says how to start one S3 server: versitygw over a directory.
type S3Config struct {
	Dir       string // holds buckets/ and meta/; made when it does not exist, kept over restarts
	Port      int    // 0 = any that is free
	AccessKey string
	SecretKey string
	Buckets   []string  // that are there when it serves
	LogTo     io.Writer // gets its log, one Write per line; nil = nowhere
}

func (c S3Config) validate() error {
	if c.AccessKey == "" || c.SecretKey == "" {
		return errors.New("access and secret key must be named")
	}
	return errors.Join(checkDir(c.Dir), checkPort(c.Port))
}

// StartS3 starts an S3 server and returns when it answers. ctx bounds the start only. Errors: ErrMissing, ErrPortInUse, and
// one with its log when it does not come up.
func StartS3(ctx context.Context, c S3Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	path, err := s3Binary()
	if err != nil {
		return nil, err
	}
	buckets, err := makeDir(filepath.Join(c.Dir, "buckets"))
	for _, b := range c.Buckets {
		if err == nil {
			_, err = makeDir(filepath.Join(buckets, b))
		}
	}
	meta, err2 := makeDir(filepath.Join(c.Dir, "meta"))
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return onPort(c.Port, func(port int) (*Server, error) {
		addr := loopback(port)
		return start(ctx, program{
			name: "s3", path: path, dir: buckets, logTo: c.LogTo,
			// Metadata beside the buckets: not every filesystem has extended attributes.
			args: []string{"--port", addr, "--access", c.AccessKey, "--secret", c.SecretKey, "--region", S3Region, "--health", s3Health,
				"--quiet", "posix", "--sidecar", meta, buckets},
			addr:  addr,
			ports: []string{addr},
			ready: func(ctx context.Context, _ int) error { return s3Serves(ctx, addr) },
			poll:  10 * time.Millisecond, upLimit: 30 * time.Second, stopLimit: 5 * time.Second,
		})
	})
}

// s3Binary is where install.sh puts it.
func s3Binary() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("s3: %w", err)
	}
	path := filepath.Join(cache, "walletd", "versitygw-"+s3Version, "versitygw")
	if _, err := os.Stat(path); err != nil {
		return "", ErrMissing{"versitygw (an S3 server)", "run `make deps` or `bash deploy/local/install.sh s3`"}
	}
	return path, nil
}

func s3Serves(ctx context.Context, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+s3Health, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("health: answered %s", answer.Status)
	}
	return nil
}
