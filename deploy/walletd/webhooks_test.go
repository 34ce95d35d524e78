package walletd

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhooksCommands(t *testing.T) {
	status := http.StatusNoContent
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer receiver.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "walletd.yaml")
	const hook = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	write := func(yaml string) {
		if err := os.WriteFile(path, []byte("data: "+dir+"\nwebhooks:\n  - {name: shop, "+yaml+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("url: " + receiver.URL + ", secrets: [" + hook + "], allow_private: true")
	if err := os.MkdirAll(filepath.Join(dir, "webhooks"), 0o700); err != nil {
		t.Fatal(err)
	}
	dead := `{"id":"evt_0-1-2-1","at":"2026-11-24T16:00:00Z","reason":"answered 500","body":{"type":"transfer.sent"}}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "webhooks", "shop.dead.jsonl"), []byte(dead), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"ls", "-o", "json"}, 0, `"known":false,"gone":false,"dead":1`},
		{[]string{"dead", "shop"}, 0, "evt_0-1-2-1  answered 500"},
		{[]string{"test", "shop"}, 0, "took it"},
		{[]string{"retry", "shop", "-o", "json"}, 0, `{"left":0,"sent":1}`},
		{[]string{"retry", "shop"}, 0, "0 sent, 0 left"},
		{[]string{"ls"}, 0, "not begun"},
		{[]string{"test", "shop2"}, exitUsage, "there are: shop"},
	} {
		code, out, errs := runMain(append(append([]string{"webhooks"}, one.args...), "-c", path)...)
		if code != one.code || !strings.Contains(out+errs, one.said) {
			t.Errorf("%v: exit %d: %s%s", one.args, code, out, errs)
		}
	}
	if _, out, _ := runMain("config", "show", "-c", path); !strings.Contains(out, "shop "+receiver.URL) || strings.Contains(out, hook) {
		t.Errorf("config show: %s", out)
	}
	status = http.StatusInternalServerError
	if code, _, errs := runMain("webhooks", "test", "shop", "-c", path); code != exitFailed || !strings.Contains(errs, "500") {
		t.Errorf("a receiver that fails: exit %d: %s", code, errs)
	}
	write("url: " + receiver.URL + ", secrets: [" + hook + "]")
	if code, _, errs := runMain("webhooks", "ls", "-c", path); code != exitUsage || !strings.Contains(errs, "webhooks[0]") || !strings.Contains(errs, "allow_private") {
		t.Errorf("http without allow_private: exit %d: %s", code, errs)
	}
}
