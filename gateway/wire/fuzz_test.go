package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"walletd/journal"
)

// stricter are the faults of syntax that encoding/json lets pass: the only ones that valid JSON may be refused for.
var stricter = []string{"invalid UTF-8", "lone surrogate", "nested too deeply", "the document is not an object"}

// checkSyntax holds a fault against encoding/json: what that refuses as syntax is refused as syntax, and the reverse.
func checkSyntax(t *testing.T, body []byte, f *Fault) {
	t.Helper()
	syntax := f != nil && f.Code == "malformed" && f.Field == "" && f.Detail != "no command" && f.Detail != "must be an object"
	if !json.Valid(body) {
		if !syntax {
			t.Fatalf("%q is no JSON, but is answered by %+v", body, f)
		}
		return
	}
	if !syntax {
		return
	}
	for _, why := range stricter {
		if strings.HasPrefix(f.Detail, why) {
			return
		}
	}
	t.Fatalf("%q is JSON, but is refused: %+v", body, f)
}

// object reads an accepted object with encoding/json: texts as strings, numbers word for word.
func object(t *testing.T, body []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%q was accepted, encoding/json says %v", body, err)
	}
	return m
}

// checkTransfer holds an accepted transfer against what encoding/json read: nothing missing, nothing more.
func checkTransfer(t *testing.T, got *Transfer, header string, m map[string]any) {
	t.Helper()
	want := map[string]any{"from": string(got.From), "to": string(got.To), "amount": json.Number(fmt.Sprint(got.Amount)), "asset": journal.DevAssets.Code(got.Asset)}
	if _, ok := m["key"]; ok || header == "" {
		want["key"] = string(got.Key)
	}
	if _, ok := m["reference"]; ok {
		want["reference"] = string(got.Reference)
	}
	if fmt.Sprint(m) != fmt.Sprint(want) {
		t.Fatalf("read %v, encoding/json %v", want, m)
	}
	if !ValidKey(got.Key) || !ValidAccount(got.From) || !ValidAccount(got.To) || !got.Amount.Valid() || len(got.Reference) > ReferenceMax {
		t.Fatalf("accepted %+v", got)
	}
}

func FuzzParseTransfer(f *testing.F) {
	for _, c := range badDocuments {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body), "k")
		}
	}
	for _, c := range requests {
		if c.door == "transfer" {
			f.Add([]byte(c.body), c.header)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		before := bytes.Clone(body)
		got, fault := ParseTransfer(body, header, journal.DevAssets)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was written to")
		}
		checkSyntax(t, body, fault)
		if fault == nil {
			checkTransfer(t, &got, header, object(t, body))
		} else if _, in := byCode[fault.Code]; !in {
			t.Fatalf("%+v is not in the table", fault)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	for _, c := range badDocuments {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body))
		}
	}
	for _, c := range messages {
		if len(c.line) < 1000 {
			f.Add([]byte(c.line))
		}
	}
	m := NewMessage(journal.DevAssets)
	f.Fuzz(func(t *testing.T, line []byte) {
		fault := ParseMessage(line, m)
		checkSyntax(t, line, fault)
		if fault != nil {
			return
		}
		all := object(t, line)
		if m.Command == CommandPing {
			if len(all) != 0 || m.ID != 0 {
				t.Fatalf("a ping with content: %q", line)
			}
			return
		}
		if len(all) != 2 || all["id"] != json.Number(fmt.Sprint(m.ID)) {
			t.Fatalf("id %d, encoding/json read %v", m.ID, all)
		}
		body, ok := all[m.Command.String()].(map[string]any)
		if !ok {
			t.Fatalf("%v is not in %v", m.Command, all)
		}
		switch m.Command {
		case CommandTransfer:
			checkTransfer(t, &m.Transfer, "", body)
		case CommandBatch:
			list := body["transfers"].([]any)
			if len(list) != len(m.Batch.Items) {
				t.Fatalf("%d items of %d", len(m.Batch.Items), len(list))
			}
			for i := range m.Batch.Items {
				if item := &m.Batch.Items[i]; item.Fault == nil {
					checkTransfer(t, &item.Transfer, "", list[i].(map[string]any))
				}
			}
		case CommandBalance:
			if body["account"] != string(m.Balance.Account) {
				t.Fatalf("balance of %s, encoding/json read %v", m.Balance.Account, body)
			}
		}
	})
}

func FuzzParseAccount(f *testing.F) {
	for _, c := range requests {
		if (c.door == "create" || c.door == "patch") && len(c.body) < 2000 {
			f.Add([]byte(c.body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		create, fault := ParseAccountCreate(body, journal.DevAssets)
		checkSyntax(t, body, fault)
		if fault == nil {
			m := object(t, body)
			pairs, _ := m["metadata"].(map[string]any)
			if len(pairs) != len(create.Metadata) || len(pairs) > MetadataMax {
				t.Fatalf("%d pairs of metadata, encoding/json read %d", len(create.Metadata), len(pairs))
			}
			for _, p := range create.Metadata {
				if pairs[string(p.Key)] != string(p.Value) {
					t.Fatalf("metadata %q is %q, encoding/json read %q", p.Key, p.Value, pairs[string(p.Key)])
				}
			}
			details, err := json.Marshal(journal.AccountDetails{ID: string(create.ID), Owner: string(create.Owner), Metadata: create.MetadataMap()})
			if err != nil || len(details) > journal.RowSizeMax-64 {
				t.Fatalf("details of %d bytes, %v", len(details), err)
			}
		}
		patch, fault := ParseAccountPatch(body)
		checkSyntax(t, body, fault)
		if fault == nil {
			patch.Flags(0)
			if m, _ := patch.MergeMetadata(map[string]string{"a": "b"}); len(m) > MetadataMax {
				t.Fatalf("%d pairs of metadata", len(m))
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, s := range nastyStrings {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkString(t, s) })
}

func FuzzDecimal(f *testing.F) {
	f.Add(int64(1250), 2, "12.50")
	f.Add(int64(-5), 0, ".5")
	f.Fuzz(func(t *testing.T, n int64, exponent int, text string) {
		exponent &= 15
		a := journal.Amount(n) % (journal.AmountMax + 1)
		written := FormatDecimal(a, exponent)
		got, err := ParseDecimal(strings.TrimPrefix(written, "-"), exponent)
		if err != nil || (got != a && got != -a) {
			t.Fatalf("%d with %d decimals is %s, read back as %d, %v", a, exponent, written, got, err)
		}
		if got, err := ParseDecimal(text, exponent); err == nil && (got < 0 || got > journal.AmountMax) {
			t.Fatalf("%q is %d", text, got)
		}
	})
}

// FuzzReservationBodies: reserve, confirm, cancel, reverse and batch, against encoding/json.
func FuzzReservationBodies(f *testing.F) {
	for _, c := range badDocuments {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body), "k")
		}
	}
	for _, c := range requests {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body), c.header)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		before := bytes.Clone(body)
		check := func(fault *Fault, accepted func(m map[string]any)) {
			if len(body) > 0 { // an empty body is an empty object
				checkSyntax(t, body, fault)
			}
			if fault != nil {
				if _, in := byCode[fault.Code]; !in {
					t.Fatalf("%+v is not in the table", fault)
				}
				return
			}
			m := map[string]any{}
			if len(body) > 0 {
				m = object(t, body)
			}
			accepted(m)
		}
		same := func(m map[string]any, field string, got any) {
			if v, ok := m[field]; ok && fmt.Sprint(v) != fmt.Sprint(got) {
				t.Fatalf("%s is %v, encoding/json read %v", field, got, v)
			}
		}
		r, fault := ParseReserve(body, header, journal.DevAssets)
		check(fault, func(m map[string]any) {
			same(m, "from", string(r.From))
			same(m, "to", string(r.To))
			same(m, "amount", int64(r.Amount))
			same(m, "reference", string(r.Reference))
			if !ValidKey(r.Key) || !ValidAccount(r.From) || !r.Amount.Valid() {
				t.Fatalf("accepted %+v", r)
			}
		})
		c, fault := ParseConfirm(body, header, journal.ID{1})
		check(fault, func(m map[string]any) {
			same(m, "to", string(c.To))
			same(m, "final", c.Final)
			if _, ok := m["amount"]; ok {
				same(m, "amount", int64(c.Amount))
			}
			if !ValidKey(c.Key) || c.Amount < 0 || c.Amount > journal.AmountMax {
				t.Fatalf("accepted %+v", c)
			}
		})
		_, fault = ParseCancel(body, journal.ID{1})
		check(fault, func(m map[string]any) {})
		k, fault := ParseCancelByKey(body)
		check(fault, func(m map[string]any) {
			same(m, "from", string(k.From))
			same(m, "key", string(k.Key))
		})
		v, fault := ParseReverse(body, header)
		check(fault, func(m map[string]any) {
			if _, ok := m["amount"]; ok {
				same(m, "amount", int64(v.Amount))
			}
		})
		b, fault := ParseBatch(body, journal.DevAssets)
		check(fault, func(m map[string]any) {
			if list, _ := m["transfers"].([]any); len(list) != len(b.Items) {
				t.Fatalf("%d items of %d", len(b.Items), len(list))
			}
		})
		if !bytes.Equal(body, before) {
			t.Fatal("the body was written to")
		}
	})
}

// FuzzReplies: whatever texts a reply carries, it is one line of JSON that says them.
func FuzzReplies(f *testing.F) {
	f.Add(uint64(7), "alice", "order 42", int64(5))
	f.Add(uint64(0), "\n\"\\\u2028\xff", "\x00", int64(-1))
	f.Fuzz(func(t *testing.T, id uint64, a, b string, n int64) {
		for what, line := range map[string][]byte{
			"problem":     AppendErr(nil, id, &Problem{Code: "malformed", Field: a, Detail: b}),
			"balance":     AppendOKBalance(nil, id, &BalanceReply{Account: a, Available: journal.Amount(n)}),
			"connect":     AppendOKConnect(nil, id, a, 1, 2),
			"subscribe":   AppendOKSubscribe(nil, id, a, &BalanceReply{Account: b}),
			"refusal":     AppendRefusal(nil, id, journal.InsufficientFunds, uint64(n)),
			"reservation": AppendOKReservation(nil, id, &ReservationReply{Key: a, To: b}),
			"push":        ClosePush(append(OpenPush(nil, a, id), "{}"...)),
		} {
			line = bytes.TrimSuffix(line, []byte("\n")) // it ends the message
			if !json.Valid(line) || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("%s is no line of JSON: %q", what, line)
			}
		}
	})
}
