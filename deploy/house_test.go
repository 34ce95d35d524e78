// Package deploy holds the test of the house: which package may import which, what stands at the top level, and that
// every act in Lua has its contract header (design section 3).
package deploy

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// arrows says, per package, which of our packages it may import; a trailing /... allows everything below. Tests may
// import what they need, so they are not looked at.
var arrows = map[string][]string{
	"walletd":                       {"walletd/deploy/walletd"},
	"walletd/journal":               {},
	"walletd/journal/rows":          {"walletd/journal"},
	"walletd/journal/public":        {"walletd/journal"},
	"walletd/journal/filelog":       {"walletd/journal"},
	"walletd/journal/kafkalog":      {"walletd/journal"},
	"walletd/journal/relay":         {"walletd/journal", "walletd/journal/planted"},
	"walletd/journal/planted":       {},
	"walletd/luascripts":            {"walletd/journal", "walletd/journal/planted", "walletd/journal/rows", "walletd/journal/relay"},
	"walletd/luascripts/rerun":      {"walletd/journal", "walletd/journal/rows", "walletd/luascripts"},
	"walletd/shardrouter":           {"walletd/journal"},
	"walletd/shardrouter/lane":      {"walletd/journal", "walletd/journal/planted", "walletd/journal/rows", "walletd/luascripts", "walletd/shardrouter"},
	"walletd/shardrouter/keeper":    {"walletd/journal/...", "walletd/luascripts", "walletd/shardrouter"},
	"walletd/gateway/wire":          {"walletd/journal"},
	"walletd/gateway/tcc":           {"walletd/journal", "walletd/journal/planted", "walletd/journal/rows"},
	"walletd/gateway":               {"walletd/journal", "walletd/journal/planted", "walletd/journal/rows", "walletd/gateway/wire", "walletd/gateway/tcc", "walletd/gateway/push"},
	"walletd/gateway/push":          {"walletd/journal", "walletd/journal/public", "walletd/gateway/wire"},
	"walletd/gateway/client":        {"walletd/journal", "walletd/gateway/wire"},
	"walletd/projector":             {"walletd/journal", "walletd/projector/view"},
	"walletd/projector/view":        {"walletd/journal", "walletd/journal/planted"},
	"walletd/projector/snapshot":    {"walletd/journal", "walletd/journal/planted", "walletd/projector/view"},
	"walletd/projector/watch":       {"walletd/journal", "walletd/journal/public", "walletd/projector/view"},
	"walletd/projector/reconcile":   {"walletd/journal", "walletd/projector/view"},
	"walletd/projector/events":      {"walletd/journal", "walletd/journal/public", "walletd/projector/reconcile", "walletd/projector/view"},
	"walletd/projector/sweep":       {"walletd/journal", "walletd/projector/view", "walletd/projector/reconcile"},
	"walletd/projector/webhooks":    {"walletd/journal/public", "walletd/projector/events"},
	"walletd/projector/export":      {"walletd/journal", "walletd/projector/reconcile"},
	"walletd/projector/settle":      {"walletd/journal", "walletd/projector/export", "walletd/projector/reconcile"},
	"walletd/bench":                 {"walletd/journal", "walletd/gateway/wire", "walletd/gateway/client"},
	"walletd/bench/floor":           {"walletd/journal", "walletd/bench/rounds"},
	"walletd/bench/goals":           {"walletd/bench", "walletd/bench/floor", "walletd/bench/rounds"},
	"walletd/bench/rival":           {"walletd/journal", "walletd/journal/rows", "walletd/bench", "walletd/bench/rounds"},
	"walletd/bench/rounds":          {},
	"walletd/bench/crowd":           {"walletd/journal"},
	"walletd/bench/chart":           {"walletd/bench", "walletd/bench/goals", "walletd/bench/rounds"},
	"walletd/bench/rival/protocol":  {"walletd/journal", "walletd/bench/rounds"},
	"walletd/deploy/local":          {},
	"walletd/deploy/faultproxy":     {},
	"walletd/deploy/walletd":        {"walletd/..."},
	"walletd/deploy/systemtest":     {"walletd/..."},
	"walletd/deploy/systemtest/sim": {"walletd/..."},
	"walletd/deploy/trial":          {"walletd/journal/planted"},

	"walletd/deploy/systemtest/models": {}, // spin models and their test

	"walletd/projector/events/kafkatopic": {"walletd/projector/events"},

	"walletd/projector/internal/history": {"walletd/journal"}, // journals for tests
}

// homes says which packages alone may import a library.
var homes = map[string][]string{
	"github.com/segmentio/kafka-go": {"walletd/journal/kafkalog", "walletd/projector/events/kafkatopic", "walletd/deploy/local"},
	"github.com/go-zookeeper/zk":    {"walletd/shardrouter"},
	"github.com/redis/go-redis/v9":  {"walletd/luascripts", "walletd/bench/floor", "walletd/bench/rival", "walletd/bench/rival/protocol"}, // the latter are no shards: yardstick and rivals
	"github.com/gorilla/websocket":  {"walletd/gateway", "walletd/gateway/push", "walletd/gateway/client", "walletd/bench"},
	"github.com/cockroachdb/pebble": {"walletd/projector/view"},
	"gonum.org/v1/plot":             {"walletd/bench/chart"},
	"github.com/minio/minio-go/v7":  {"walletd/projector/snapshot"},
	"modernc.org/sqlite":            {"walletd/projector/export"},
	"github.com/jackc/pgx/v5":       {"walletd/bench/rival", "walletd/projector/export"},
}

func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	eachImport(t, func(pkg, imported, file string) {
		seen[pkg] = true
		allowed, known := arrows[pkg]
		if !known {
			t.Errorf("%s: package %s has no place in the house: add it to arrows, with what it may import", file, pkg)
			return
		}
		if imported == "walletd" || strings.HasPrefix(imported, "walletd/") {
			if !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, imported) }) {
				t.Errorf("%s: %s must not import %s", file, pkg, imported)
			}
		}
		for lib, at := range homes {
			if (imported == lib || strings.HasPrefix(imported, lib+"/")) && !slices.Contains(at, pkg) {
				t.Errorf("%s: %s is imported only by %v", file, lib, at)
			}
		}
	})
	for pkg := range arrows {
		if dir := filepath.Join(root, strings.TrimPrefix(strings.TrimPrefix(pkg, "walletd"), "/")); !seen[pkg] {
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("arrows names %s, which does not exist", pkg)
			}
		}
	}
}

// TestEveryPlantedBugIsPlantedAndCaught: each stands somewhere in the code, and in a test that asks the laboratory for it.
func TestEveryPlantedBugIsPlantedAndCaught(t *testing.T) {
	planted, caught := map[string]bool{}, map[string]bool{}
	name := regexp.MustCompile(`planted\.([A-Z]\w+)`)
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		into := planted
		if strings.HasSuffix(path, "_test.go") {
			if into = caught; !strings.HasPrefix(string(text), "//go:build planted") {
				return err
			}
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			into[m[1]] = true
		}
		return err
	}))
	list, err := os.ReadFile(filepath.Join(root, "journal/planted/doc.go"))
	must(t, err)
	bugs := regexp.MustCompile(`(?m)^\t([A-Z]\w+)\s+Bug = `).FindAllStringSubmatch(string(list), -1)
	if len(bugs) < 12 {
		t.Errorf("%d planted bugs", len(bugs))
	}
	for _, b := range bugs {
		if !planted[b[1]] || !caught[b[1]] {
			t.Errorf("%s: planted %t, asked for by a test with the build tag %t", b[1], planted[b[1]], caught[b[1]])
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func matches(allowed, imported string) bool {
	if base, ok := strings.CutSuffix(allowed, "/..."); ok {
		return imported == base || strings.HasPrefix(imported, base+"/")
	}
	return allowed == imported
}

func eachImport(t *testing.T, fn func(pkg, imported, file string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := "walletd"
		if rel != "." {
			pkg += "/" + filepath.ToSlash(rel)
		}
		fn(pkg, "", path)
		for _, imp := range f.Imports {
			fn(pkg, strings.Trim(imp.Path.Value, `"`), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// topLevel is everything that may stand at the top (design section 3).
var topLevel = []string{
	"go.mod", "gateway", "shardrouter", "luascripts", "journal", "projector", "deploy", "bench",
	"main.go", "go.sum", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", ".golangci.yml", ".ci", "docs", ".git", ".gitignore",
}

func TestTopLevelIsTheHouse(t *testing.T) {
	ignored := []string{"bin", "data", ".cache", "walletd"} // .gitignore
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) && !slices.Contains(ignored, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

// TestActsHaveTheirContract asks every act in Lua for its header and its two halves, and for being small.
func TestActsHaveTheirContract(t *testing.T) {
	acts, err := filepath.Glob(filepath.Join(root, "luascripts", "acts", "*.lua"))
	if err != nil || len(acts) == 0 {
		t.Fatalf("no acts found: %v", err)
	}
	for _, path := range acts {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if !strings.HasPrefix(text, "-- "+strings.TrimSuffix(filepath.Base(path), ".lua")+":") {
			t.Errorf("%s does not begin with its contract: -- <act>: what it does, row, outcome", path)
		}
		if !strings.Contains(text, "-- Decide.") {
			t.Errorf("%s has no half named Decide", path)
		}
		if n := strings.Count(text, "\n"); n > 60 {
			t.Errorf("%s has %d lines", path, n)
		}
		if strings.Contains(text, "redis.call") {
			t.Errorf("%s talks to Redis: only train.lua does", path)
		}
	}
}
