package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/journal/rows"
)

// body reads a JSON body of at most 1 MiB.
func body(w http.ResponseWriter, r *http.Request) ([]byte, *wire.Problem) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || (media != "application/json" && media != "application/merge-patch+json") {
			return nil, &wire.Problem{Code: "unsupported_media_type", Detail: "the body is " + ct + "; send application/json"}
		}
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.BodyMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &wire.Problem{Code: "payload_too_large"}
	case err != nil:
		return nil, &wire.Problem{Code: "request_timeout", Detail: "the body ended early"}
	}
	return b, nil
}

// keyHeader is the Idempotency-Key; said twice it must be said alike.
func keyHeader(r *http.Request) (string, *wire.Problem) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	for _, v := range values {
		if v != values[0] || !wire.ValidKey(v) {
			return "", &wire.Problem{Code: "malformed", Field: "key", Detail: "Idempotency-Key must be one value of 1 to 255 printable ASCII characters"}
		}
	}
	return values[0], nil
}

// bodyAndKey reads what every request that moves money carries.
func bodyAndKey(w http.ResponseWriter, r *http.Request) ([]byte, string, *wire.Problem) {
	b, p := body(w, r)
	if p != nil {
		return nil, "", p
	}
	key, p := keyHeader(r)
	return b, key, p
}

func writeJSON(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone is not our fault
}

func writeProblem(w http.ResponseWriter, p *wire.Problem) {
	info := wire.Lookup(p.Code)
	if info.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(info.RetryAfter))
	}
	if info.HTTP == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="walletd"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(info.HTTP)
	_, _ = w.Write(append(p.AppendJSON(nil), '\n'))
}

// position tells at which place in the partition's history the answer holds.
func position(w http.ResponseWriter, p journal.Position) {
	if p.Epoch != 0 {
		w.Header().Set("Wallet-Position", p.String())
	}
}

// refusal is the problem of an outcome that is not accepted; it sets the headers that go with it.
func refusal(w http.ResponseWriter, o *rows.Outcome) *wire.Problem {
	position(w, o.Position)
	if o.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return problemOf(o.Op, o.Status, o.Detail)
}

// problemOf translates an act's refusal. Where the coordinator refuses a confirm that names no payee, or another than
// the reservation's, the field is at fault.
func problemOf(op journal.Op, s journal.Status, detail uint64) *wire.Problem {
	if op == journal.OpConfirm && s == journal.ConditionFailed {
		return &wire.Problem{Code: "malformed", Field: "to", Detail: "name the payee here if the reservation names none; it cannot be another than the reservation's"}
	}
	p := wire.ProblemOf(s, detail, "")
	switch {
	case op == journal.OpAlter && s == journal.ConditionFailed:
		p.Field, p.Detail = "overdraft_limit", "the account's balance is below that limit already"
	case s == journal.AssetMismatch || s == journal.SameAccount:
		p.Field = map[journal.Status]string{journal.AssetMismatch: "asset", journal.SameAccount: "to"}[s]
	}
	return &p
}

// faulty answers a request that cannot be understood.
func faulty(f *wire.Fault) *wire.Problem {
	p := f.Problem("")
	return &p
}

// versionJSON is what GET /version answers: the build, and what a client must know to compute ids' partitions and to
// read and write amounts.
func versionJSON(partitions int, assets journal.Assets, admin string) []byte {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	b := wire.AppendString([]byte(`{"version":`), version)
	b = wire.AppendString(append(b, `,"revision":`...), revision)
	b = strconv.AppendInt(append(b, `,"partitions":`...), int64(partitions), 10)
	for i, a := range assets {
		sep := `,{"code":`
		if i == 0 {
			sep = `,"assets":[{"code":`
		}
		b = wire.AppendString(append(b, sep...), a.Code)
		b = append(strconv.AppendInt(append(b, `,"exponent":`...), int64(a.Exponent), 10), '}')
	}
	b = append(b, ']')
	if admin != "" {
		b = wire.AppendString(append(b, `,"admin":`...), admin)
	}
	return append(b, '}')
}
