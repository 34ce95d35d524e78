package walletd

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever a walletd.yaml holds, it is a configuration or an error, and unknown keys are never passed over.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("cluster: main\npartitions: 8\nshards:\n  - {id: s1, addr: \"127.0.0.1:6379\"}\nassets:\n  - {code: USD, exponent: 2}\n"))
	f.Add([]byte("snapshots:\n  dir: /x\n  s3: {endpoint: e, bucket: b}\n"))
	f.Add([]byte("kafka: a,b\nzookeeper: [a, b]\ndev: yes\n"))
	f.Add([]byte("a: &a [*a]\n"))
	path := filepath.Join(f.TempDir(), "walletd.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, from, err := loadConfig(path, nil)
		if err != nil {
			return
		}
		for key := range from {
			known := false
			for _, k := range configKeys {
				known = known || k == key
			}
			if !known {
				t.Fatalf("%q was taken from %q", key, text)
			}
		}
		_ = c
	})
}
