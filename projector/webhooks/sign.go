package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// SecretPrefix begins a secret as it is written.
const SecretPrefix = "whsec_"

// The headers of a delivery.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// ErrBadSecret says that a text is no secret.
var ErrBadSecret = errors.New("a secret is whsec_ and the base64 of 24 to 64 bytes (openssl rand -base64 32)")

// ParseSecret reads a secret: the key of its signatures.
func ParseSecret(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, SecretPrefix)
	key, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, ErrBadSecret
	}
	return key, nil
}

// Sign is the signature header: one signature a key, so that a receiver may know either while secrets change.
func Sign(keys [][]byte, id string, timestamp int64, body []byte) string {
	signatures := make([]string, len(keys))
	for i, key := range keys {
		m := hmac.New(sha256.New, key)
		fmt.Fprint(m, id, ".", strconv.FormatInt(timestamp, 10), ".")
		m.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
	}
	return strings.Join(signatures, " ")
}
