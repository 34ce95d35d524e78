package walletd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"walletd/gateway/tcc"
	"walletd/journal"
	"walletd/projector/view"
)

// How a gateway asks about keys that shards have evicted: the view of its own process, or a projector's over HTTP.

// viewPast answers from this process's view.
type viewPast struct{ view *view.View }

var _ tcc.Past = viewPast{}

// Past implements tcc.Past.
func (p viewPast) Past(ctx context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	answers := make([]tcc.Known, len(questions))
	for i, q := range questions {
		if err := p.view.WaitFor(ctx, q.At); err != nil {
			answers[i].Behind = true
			continue
		}
		k, err := p.view.Past(q.ID)
		if err != nil {
			return nil, fmt.Errorf("look up %x: %w", q.ID, err)
		}
		answers[i] = tcc.Known{EvictedMS: k.EvictedMS, Seen: k.Seen, Key: k.Key, Reserved: k.Reserved, Reservation: k.Reservation}
	}
	return answers, nil
}

// pastPath is the projector's route for gateways of the same wallet; no gateway serves it.
const pastPath = "/internal/past"

// pastQuestion and pastAnswer are tcc's in JSON; records are packed as they are in a shard, and absent where there is none.
type pastQuestion struct {
	At string     `json:"at"`
	ID journal.ID `json:"id"`
}

type pastAnswer struct {
	Behind      bool   `json:"behind,omitempty"`
	EvictedMS   int64  `json:"evicted_ms,omitempty"`
	Key         []byte `json:"key,omitempty"`
	Reservation []byte `json:"reservation,omitempty"`
}

// pastWallet names, in the header of a question, the wallet that is asked about: another one has never heard of any key.
const pastWallet = "Wallet-Name"

// pastName is the wallet as gateways and projectors name it to each other.
func (n *node) pastName() string { return fmt.Sprintf("%s/%d", n.cfg.wallet, n.cfg.partitions) }

// pastBytesMax bounds a request, and an answer.
const pastBytesMax = 1 << 20

// pastWithin is how long a projector waits for partitions to come, less than a gateway waits for it: what it knows of the others
// is answered.
const pastWithin = time.Second

// servePast answers other processes' gateways, those of the same wallet.
func servePast(p tcc.Past, wallet string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if asked := r.Header.Get(pastWallet); asked != wallet {
			problem(w, "permission_denied", fmt.Sprintf("this projector is of wallet %q, the gateway's is %q: see its projector_url", wallet, asked))
			return
		}
		var asked []pastQuestion
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, pastBytesMax)).Decode(&asked); err != nil {
			problem(w, "malformed", err.Error())
			return
		}
		questions := make([]tcc.Question, len(asked))
		for i, a := range asked {
			at, err := journal.ParsePosition(a.At)
			if err != nil {
				problem(w, "malformed", err.Error())
				return
			}
			questions[i] = tcc.Question{At: at, ID: a.ID}
		}
		ctx, cancel := context.WithTimeout(r.Context(), pastWithin)
		defer cancel()
		known, err := p.Past(ctx, questions)
		if err != nil {
			problem(w, "projection_behind", err.Error())
			return
		}
		answers := make([]pastAnswer, len(known))
		for i := range known {
			k := &known[i]
			answers[i] = pastAnswer{Behind: k.Behind, EvictedMS: k.EvictedMS}
			if k.Seen {
				answers[i].Key = k.Key.Append(nil)
			}
			if k.Reserved {
				answers[i].Reservation = k.Reservation.Append(nil)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answers)
	}
}

// remotePast asks a projector in another process.
type remotePast struct {
	url, token string
	wallet     string // node.pastName
	client     *http.Client
}

var _ tcc.Past = (*remotePast)(nil)

// Past implements tcc.Past.
func (p *remotePast) Past(ctx context.Context, questions []tcc.Question) ([]tcc.Known, error) {
	ask := make([]pastQuestion, len(questions))
	for i, q := range questions {
		ask[i] = pastQuestion{q.At.String(), q.ID}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("ask the projector: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the projector: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(pastWallet, p.wallet)
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	reply, err := p.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the projector: %w", err)
	}
	defer reply.Body.Close()
	var answers []pastAnswer
	text, err := io.ReadAll(io.LimitReader(reply.Body, pastBytesMax))
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", reply.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &answers)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the projector: %w", err)
	}
	return parsePast(answers)
}

func parsePast(answers []pastAnswer) ([]tcc.Known, error) {
	known := make([]tcc.Known, len(answers))
	for i, a := range answers {
		k := &known[i]
		k.Behind, k.EvictedMS, k.Seen, k.Reserved = a.Behind, a.EvictedMS, len(a.Key) > 0, len(a.Reservation) > 0
		var err error
		if k.Seen {
			k.Key, err = journal.ParseKeyRecord(a.Key)
		}
		if k.Reserved && err == nil {
			k.Reservation, err = journal.ParseReservation(a.Reservation)
		}
		if err != nil {
			return nil, fmt.Errorf("the projector's answer: %w", err)
		}
	}
	return known, nil
}
