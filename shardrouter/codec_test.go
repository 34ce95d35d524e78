package shardrouter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const mapJSON = `{"version":3,"partitions":[{"shard":"s1","epoch":4},{"shard":"s2","epoch":4294967295}],` +
	`"shards":{"s1":{"id":"s1","primary":"127.0.0.1:7001","replicas":[],"epoch":4,"state":"serving"},` +
	`"s2":{"id":"s2","primary":"","replicas":["redis-2:6379","[::1]:6379"],"epoch":0,"state":"down"}}}`

func TestMapJSON(t *testing.T) {
	m, err := DecodeMap([]byte(mapJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := &Map{
		Version:    3,
		Partitions: []Partition{{"s1", 4}, {"s2", 4294967295}},
		Shards: map[string]Shard{
			"s1": {ID: "s1", Primary: "127.0.0.1:7001", Epoch: 4, State: StateServing},
			"s2": {ID: "s2", Replicas: []string{"redis-2:6379", "[::1]:6379"}, State: StateDown},
		},
	}
	if !m.Equal(want) {
		t.Errorf("got %+v", m)
	}
	data, err := want.Encode()
	if err != nil || string(data) != mapJSON {
		t.Errorf("encoded as %s, %v", data, err)
	}
	if _, err := DecodeMap([]byte(strings.ReplaceAll(mapJSON, `,`, ",\n  "))); err != nil {
		t.Errorf("white space is refused: %v", err)
	}
}

func TestDecodeMapRefuses(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(mapJSON, old) {
			t.Fatalf("the map does not contain %s", old)
		}
		return strings.Replace(mapJSON, old, new, 1)
	}
	s1 := `"s1":{"id":"s1","primary":"127.0.0.1:7001","replicas":[],"epoch":4,"state":"serving"}`
	outOfOrder := strings.TrimSuffix(change(s1+",", ""), "}}") + "," + s1 + "}}"
	for name, data := range map[string]string{
		"nothing":                ``,
		"null":                   `null`,
		"an empty object":        `{}`,
		"a cut end":              mapJSON[:len(mapJSON)-1],
		"something behind":       mapJSON + `{}`,
		"an unknown field":       change(`{"version"`, `{"more":1,"version"`),
		"an unknown field below": change(`{"id":"s1"`, `{"more":1,"id":"s1"`),
		"a field twice":          change(`{"version":3`, `{"version":3,"version":3`),
		"another case":           change(`"version"`, `"Version"`),
		"a missing field":        change(`"version":3,`, ``),
		"a missing field below":  change(`,"state":"serving"`, ``),
		"null replicas":          change(`[]`, `null`),
		"an escaped letter":      change(`"shard":"s1"`, `"shard":"s\u0031"`),
		"version 0":              change(`"version":3`, `"version":0`),
		"a version below zero":   change(`"version":3`, `"version":-3`),
		"a version too large":    change(`"version":3`, `"version":2147483648`),
		"an epoch below zero":    change(`"epoch":4}`, `"epoch":-4}`),
		"an epoch too large":     change(`4294967295`, `4294967296`),
		"a float epoch":          change(`"epoch":4}`, `"epoch":4.0}`),
		"a string epoch":         change(`"epoch":4}`, `"epoch":"4"}`),
		"an unknown shard":       change(`"shard":"s1"`, `"shard":"s9"`),
		"a shard by two names":   change(`"id":"s1"`, `"id":"s9"`),
		"no partitions":          `{"version":1,"partitions":[],"shards":{}}`,
		"an address of one":      change(`127.0.0.1:7001`, `127.0.0.1`),
		"a state of two words":   change(`serving`, `not serving`),
		"shards out of order":    outOfOrder,
		"deep nesting":           strings.Repeat(`[`, 20000),
		"64 KiB":                 strings.Repeat(` `, NodeBytesMax),
	} {
		if m, err := DecodeMap([]byte(data)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestValidateTellsEveryFault(t *testing.T) {
	m := &Map{Version: 0, Partitions: []Partition{{"s9", 0}, {"s9", 0}}, Shards: map[string]Shard{"s1": {ID: "s1", Primary: "x", State: "new"}}}
	err := m.Validate()
	for _, part := range []string{"version 0", `unknown shard "s9"`, `primary "x"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
	if n := strings.Count(err.Error(), "s9"); n != 1 {
		t.Errorf("the missing shard is told %d times", n)
	}
}

func TestTheLargestMapFits(t *testing.T) {
	var shards []Shard
	for i := range 64 {
		shards = append(shards, Shard{ID: fmt.Sprintf("shard-%04d", i), Primary: fmt.Sprintf("redis-%04d.example:6379", i),
			Replicas: []string{fmt.Sprintf("redis-%04d-b.example:6379", i)}, State: StateServing})
	}
	m, err := NewMap(PartitionsMax, shards...)
	if err != nil {
		t.Fatal(err)
	}
	for p := range m.Partitions {
		m.Partitions[p].Epoch = 4294967295
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeMap(data); err != nil || !got.Equal(m) {
		t.Errorf("decoded: %v", err)
	}
	t.Logf("%d bytes", len(data))
}

func TestAMapOf64KiBIsRefused(t *testing.T) {
	m, err := NewMap(PartitionsMax, Shard{ID: strings.Repeat("s", shardIDBytesMax)})
	if err != nil {
		t.Fatal(err)
	}
	for p := range m.Partitions {
		m.Partitions[p].Epoch = 4294967295
	}
	if data, err := m.Encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func FuzzDecodeMap(f *testing.F) {
	f.Add([]byte(mapJSON))
	f.Add([]byte(`{"version":1,"partitions":[{"shard":"a","epoch":0}],"shards":{"a":{"id":"a","primary":"h:1","replicas":[],"epoch":0,"state":"new"}}}`))
	f.Add([]byte(`{"version":1,"partitions":null,"shards":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeMap(data)
		if err != nil {
			if m != nil || !errors.Is(err, ErrInvalid) {
				t.Fatalf("refused with %v, %v", m, err)
			}
			return
		}
		for p := range m.Partitions {
			if m.ShardOf(p).ID == "" {
				t.Fatalf("partition %d has no shard", p)
			}
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeMap(again); err != nil || !back.Equal(m) {
			t.Fatalf("%s comes back as %+v, %v", again, back, err)
		}
	})
}

const configJSON = `{"partitions":4,"hash":"sha256/handle-v1","assets":[{"code":"USD","exponent":2},{"code":"KRW","exponent":0}],"created_at":"2026-01-02T03:04:05Z"}`

func TestConfigJSON(t *testing.T) {
	c := testConfig
	c.CreatedAt = time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	data, err := c.Encode()
	if err != nil || string(data) != configJSON {
		t.Fatalf("encoded as %s, %v", data, err)
	}
	back, err := DecodeConfig(data)
	if err != nil || back.Check(c) != nil || !back.CreatedAt.Equal(c.CreatedAt) {
		t.Errorf("decoded as %+v, %v", back, err)
	}
	if !slices.Equal(back.Assets, c.Assets) {
		t.Errorf("the assets come back in the order %v", back.Assets)
	}
}

func TestDecodeConfigRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"an unknown field":     {`{"partitions"`, `{"more":1,"partitions"`},
		"a field twice":        {`{"partitions":4`, `{"partitions":8,"partitions":4`},
		"no partitions":        {`"partitions":4`, `"partitions":0`},
		"too many partitions":  {`"partitions":4`, `"partitions":1025`},
		"no hash":              {`sha256/handle-v1`, ``},
		"an asset twice":       {`KRW","exponent":0`, `USD","exponent":2`},
		"a small letter":       {`KRW`, `krw`},
		"a code of one letter": {`KRW`, `K`},
		"exponent 19":          {`"exponent":2`, `"exponent":19`},
		"exponent -1":          {`"exponent":2`, `"exponent":-1`},
		"no time":              {`2026-01-02T03:04:05Z`, `0001-01-01T00:00:00Z`},
		"another zone":         {`03:04:05Z`, `04:04:05+01:00`},
	} {
		if !strings.Contains(configJSON, change[0]) {
			t.Fatalf("the config does not contain %s", change[0])
		}
		if c, err := DecodeConfig([]byte(strings.Replace(configJSON, change[0], change[1], 1))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(configJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfig(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeConfig(again); err != nil || back.Check(c) != nil {
			t.Fatalf("%s comes back as %+v, %v", again, back, err)
		}
	})
}
