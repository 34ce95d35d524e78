package projector

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestReachesNoShard: the projector knows the journal and its own store, nothing else of the house (design section 3).
func TestReachesNoShard(t *testing.T) {
	allowed := func(path string, test bool) bool {
		switch {
		case path == "walletd/journal", path == "walletd/journal/public", path == "walletd/journal/planted", strings.HasPrefix(path, "walletd/projector"):
			return true
		case path == "walletd/journal/filelog", path == "walletd/deploy/local", path == "walletd/deploy/trial", path == "go.uber.org/goleak", path == "pgregory.net/rapid":
			return test
		case path == "github.com/segmentio/kafka-go": // events/kafkatopic
			return true
		case path == "golang.org/x/sync/errgroup":
			return true
		case path == "modernc.org/sqlite", strings.HasPrefix(path, "github.com/jackc/pgx/v5"): // export
			return true
		case strings.HasPrefix(path, "github.com/minio/minio-go/v7"), path == "github.com/klauspost/compress/zstd": // snapshots
			return true
		case strings.HasPrefix(path, "github.com/cockroachdb/pebble/v2"), strings.HasPrefix(path, "github.com/prometheus/client_golang"):
			return true
		}
		return !strings.Contains(path, ".") && !strings.HasPrefix(path, "walletd/") // the standard library
	}
	seen := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, i := range f.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if !allowed(path, strings.HasSuffix(name, "_test.go")) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Fatalf("%d files read: %v", seen, err)
	}
}
