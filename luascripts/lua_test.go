package luascripts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"walletd/deploy/local"
	"walletd/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(local.M{M: m}) }

// Each act has one file of at most 40 lines: a header that says what goes in and what comes out, and the two halves. It writes nothing: Redis is spoken to in train.lua alone.
func TestActFiles(t *testing.T) {
	entries, err := luaFiles.ReadDir("acts")
	must(t, err)
	named := strings.Join(trainFiles, " ")
	acts := map[string]bool{}
	for _, e := range entries {
		raw, err := luaFiles.ReadFile("acts/" + e.Name())
		must(t, err)
		name, text := strings.TrimSuffix(e.Name(), ".lua"), string(raw)
		acts[name] = true
		if lines := strings.Count(text, "\n"); lines > 40 {
			t.Errorf("%s has %d lines", e.Name(), lines)
		}
		word := strings.ToUpper(name)
		for _, want := range []string{
			"^-- " + name + ": ", "\n-- row: ", "\n-- outcome: ", "\nacts\\[" + word + "\\] = function\\(i\\)", "\n  -- Decide\\.\n", "\n  -- Apply.*\\.\n",
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("%s: no %q", e.Name(), want)
			}
		}
		if strings.Contains(text, "call(") {
			t.Errorf("%s speaks to Redis", e.Name())
		}
		if !strings.Contains(named, "acts/"+e.Name()) {
			t.Errorf("%s is in no script", e.Name())
		}
	}
	for _, o := range slices.Concat(ops(journal.OpOpen, journal.OpLook), []journal.Op{journal.OpEvict}) {
		if !acts[o.String()] {
			t.Errorf("%v has no file", o)
		}
	}
}

func ops(from, to journal.Op) (all []journal.Op) {
	for o := from; o <= to; o++ {
		all = append(all, o)
	}
	return all
}

// Redis' struct packs the sizes that records use, right to the last bit at both ends of a double's integers.
func TestStructAtTheEdge(t *testing.T) {
	s := openShard(t, local.Redis(t).Addr)
	const roundTrip = `#!lua
		local out = {}
		for _, v in ipairs({{'>I6', 2^48-1}, {'>I7', 2^53-1}, {'>i8', 2^53-1}, {'>i8', -(2^53-1)}, {'>i8', -1}, {'>i8', 0}, {'>I4', 2^32-1}, {'>H', 65535}}) do
			local packed = struct.pack(v[1], v[2])
			if struct.unpack(v[1], packed) ~= v[2] then return 'no: ' .. v[1] end
			out[#out + 1] = packed
		end
		return table.concat(out)`
	text, err := s.client.Eval(t.Context(), roundTrip, nil).Text()
	must(t, err)
	want := "ffffffffffff" + "1fffffffffffff" + "001fffffffffffff" + "ffe0000000000001" + "ffffffffffffffff" + "0000000000000000" + "ffffffff" + "ffff"
	if got := fmt.Sprintf("%x", text); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A word in capitals that journal does not have is found when the script is put together, not when it runs.
func TestUnknownWord(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "PAYER_CLOSD") {
			t.Errorf("got %v", r)
		}
	}()
	if got := spell("x", "return 'OK HSET', PAYER_CLOSED -- PAYER_CLOSD"); got != "return 'OK HSET', 22" {
		t.Errorf("spelt %q", got)
	}
	spell("x", "return PAYER_CLOSD")
}
