package local

import (
	"net/http"
	"testing"
)

// TestS3Serves: it answers, keeps its port over a restart, and lets nobody in without a signature.
func TestS3Serves(t *testing.T) {
	s := S3(t, "key", "secret", "bucket")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + s.Addr + "/bucket/x")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("answered %s", answer.Status)
	}
}
