package walletd

import (
	"bytes"
	"strings"
	"testing"

	"walletd/bench"
)

func TestAxesGrow(t *testing.T) {
	o := scaleOptions{partitionsMax: 8, accounts: 10_000, accountsMax: 1_000_000, events: 500, inFlight: 512}
	for axis, want := range map[string]int{"partitions": 4, "accounts": 3, "events": 2, "distribution": 3} {
		all := o.variants(axis)
		if len(all) != want {
			t.Errorf("%s has %d values, want %d", axis, len(all), want)
		}
		for _, g := range all {
			if g.value == "" || g.partitions() < g.shards || g.shards < 1 {
				t.Errorf("%s: %+v on %d partitions", axis, g, g.partitions())
			}
		}
	}
	if all := o.variants("partitions"); all[0].partitions() != 1 || all[3].shards != 8 || all[3].partitions() != 8 {
		t.Errorf("partitions: %+v", all)
	}
	if all := o.variants("accounts"); all[2].accounts != 1_000_000 || !all[0].crowd {
		t.Errorf("accounts: %+v", all)
	}
	if all := o.variants("distribution"); all[0].sameWalletAsTheFirst || !all[2].sameWalletAsTheFirst || all[2].distribution != bench.Hot {
		t.Errorf("distribution: %+v", all)
	}
}

func TestBenchCommandsRefuseWhatTheyCannotDo(t *testing.T) {
	for _, row := range []struct{ command, want string }{
		{"bench scale --axes moons", "moons"},
		{"bench scale --rounds 0", "--rounds 0"},
		{"bench scale --accounts 5000 --accounts-max 100", "--accounts-max 100"},
		{"bench project --tps 0", "tps: 0"},
		{"bench project --cross 2", "cross share: 2"},
		{"bench goals --rounds 0", "rounds: 0"},
		{"bench goals --batch 1", "batch: 1"},
		{"bench transfer --workload golf --server http://127.0.0.1:1", "golf"},
		{"bench transfer --workload reads --batch 5 --server http://127.0.0.1:1", "batch"},
	} {
		var out bytes.Buffer
		code := Main(strings.Fields(row.command), strings.NewReader(""), &out, &out)
		if code != exitUsage || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: code %d, %s", row.command, code, out.String())
		}
	}
}
