package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"walletd/journal"
)

const okBody = `{"from":"alice","to":"bob","amount":1,"asset":"USD"}`

// Documents that are no JSON, or not the JSON that is taken: malformed, without a field, whatever else is wrong with them.
var badDocuments = []struct{ name, body, says string }{
	{"nothing", ``, "no document"},
	{"white space only", " \t\r\n ", "no document"},
	{"a zero byte", "\x00", "no document"},
	{"a byte order mark", "\ufeff" + okBody, "no value"},
	{"an array", `[]`, "not an object"},
	{"an array of a transfer", `[` + okBody + `]`, "not an object"},
	{"a string", `"x"`, "not an object"},
	{"a number", `7`, "not an object"},
	{"null", `null`, "not an object"},
	{"an open object", `{`, "no field name"},
	{"an object cut in a name", `{"from`, "without end"},
	{"an object cut in a value", `{"from":"al`, "without end"},
	{"an object cut behind an escape", `{"from":"al\`, "without end"},
	{"an object without its end", okBody[:len(okBody)-1], "no , or }"},
	{"two documents", okBody + okBody, "something follows"},
	{"two documents on two lines", okBody + "\n" + okBody, "something follows"},
	{"trailing text", okBody + "x", "something follows"},
	{"a trailing bracket", okBody + "}", "something follows"},
	{"a trailing comma", `{"from":"alice",}`, "no field name"},
	{"a leading comma", `{,"from":"alice"}`, "no field name"},
	{"no colon", `{"from" "alice"}`, "no :"},
	{"no comma", `{"from":"alice" "to":"bob"}`, "no , or }"},
	{"no value", `{"from":}`, "no value"},
	{"a name without quotes", `{from:"alice"}`, "no field name"},
	{"single quotes", `{'from':'alice'}`, "no field name"},
	{"a comment", `{/*x*/"from":"alice"}`, "no field name"},
	{"a form feed between", "{\f\"from\":\"alice\"}", "no field name"},
	{"a no-break space between", "{\u00a0\"from\":\"alice\"}", "no field name"},
	{"a newline in a string", "{\"reference\":\"a\nb\"}", "control character"},
	{"a tab in a name", "{\"fr\tom\":1}", "control character"},
	{"a zero byte in a string", "{\"reference\":\"\x00\"}", "control character"},
	{"an unknown escape", `{"reference":"\x41"}`, "unknown escape"},
	{"an upper-case escape", `{"reference":"\U0041"}`, "unknown escape"},
	{"three hex digits", `{"reference":"\u004"}`, "four hex digits"},
	{"no hex digits", `{"reference":"\u00zz"}`, "four hex digits"},
	{"a lone high surrogate", `{"reference":"\ud83d"}`, "lone surrogate"},
	{"a lone low surrogate", `{"reference":"\ude00"}`, "lone surrogate"},
	{"two high surrogates", `{"reference":"\ud83d\ud83d"}`, "lone surrogate"},
	{"a high surrogate and a letter", `{"reference":"\ud83d\u0041"}`, "lone surrogate"},
	{"a lone surrogate in a name", `{"\ud83d":1}`, "lone surrogate"},
	{"invalid UTF-8", "{\"reference\":\"\xff\"}", "invalid UTF-8"},
	{"UTF-8 cut short", "{\"reference\":\"\xe2\x82\"}", "invalid UTF-8"},
	{"overlong UTF-8", "{\"reference\":\"\xc0\xaf\"}", "invalid UTF-8"},
	{"a surrogate in UTF-8", "{\"reference\":\"\xed\xa0\x80\"}", "invalid UTF-8"},
	{"invalid UTF-8 in a name", "{\"\xff\":1}", "invalid UTF-8"},
	{"a leading zero", `{"amount":01}`, "bad number"},
	{"a plus sign", `{"amount":+1}`, "no value"},
	{"a bare minus", `{"amount":-}`, "bad number"},
	{"a point without digits", `{"amount":1.}`, "bad number"},
	{"a point first", `{"amount":.5}`, "no value"},
	{"an exponent without digits", `{"amount":1e}`, "bad number"},
	{"an exponent of a sign", `{"amount":1e+}`, "bad number"},
	{"hexadecimal", `{"amount":0x10}`, "no , or }"},
	{"an underscore", `{"amount":1_000}`, "no , or }"},
	{"NaN", `{"amount":NaN}`, "no value"},
	{"Infinity", `{"amount":Infinity}`, "no value"},
	{"True", `{"amount":True}`, "no value"},
	{"nul", `{"amount":nul}`, "unknown word"},
	{"mismatched brackets", `{"x":[1}`, "no , or closing"},
	{"mismatched braces", `{"x":{"y":1]}`, "no , or closing"},
	{"an array's trailing comma", `{"x":[1,]}`, "no value"},
	{"a field fault before a syntax fault", `{"amount":0,"bogus":1,"amount":2,"from":}`, "no value"},
	{"a field fault and a second document", `{"amount":0}{}`, "something follows"},
	{"33 levels", `{"x":` + strings.Repeat(`[`, 32) + strings.Repeat(`]`, 32) + `}`, "nested too deeply"},
	{"10,000 arrays", strings.Repeat(`[`, 10_000), "nested too deeply"},
	{"10,000 arrays in a field", `{"from":` + strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000) + `}`, "nested too deeply"},
	{"10,000 objects", strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000), "nested too deeply"},
	{"1 MiB of brackets", strings.Repeat(`[`, BodyMax), "nested too deeply"},
	{"1 MiB of quotes in a string", `{"x":"` + strings.Repeat(`\"`, BodyMax/2-50), "without end"},
}

func TestBadDocuments(t *testing.T) {
	for _, c := range badDocuments {
		parsers := map[string]func() *Fault{
			"transfer": func() *Fault { _, f := ParseTransfer([]byte(c.body), "k", journal.DevAssets); return f },
			"message":  func() *Fault { return ParseMessage([]byte(c.body), NewMessage(journal.DevAssets)) },
			"command": func() *Fault {
				if c.body == "" || c.body[0] != '{' {
					return nil // no object: it would not be the same fault
				}
				m := NewMessage(journal.DevAssets)
				f := ParseMessage([]byte(`{"id":3,"transfer":`+c.body+`}`), m)
				if m.ID != 0 {
					t.Errorf("%s as a command: answered to id %d although the text cannot be parsed", c.name, m.ID)
				}
				return f
			},
		}
		for as, parse := range parsers {
			f := parse()
			if f == nil && as == "command" {
				continue
			}
			if f == nil || f.Code != "malformed" || f.Field != "" {
				t.Errorf("%s as a %s: %+v, want malformed without a field", c.name, as, f)
			} else if as == "transfer" && !strings.Contains(f.Detail, c.says) {
				t.Errorf("%s: %q, want it to say %q", c.name, f.Detail, c.says)
			}
		}
	}
}

// Odd, but JSON: what is odd must not be taken for wrong.
func TestOddButWellFormed(t *testing.T) {
	for name, c := range map[string]struct{ body, reference string }{
		"white space everywhere":   {" {\r\n\t\"from\" : \"alice\" , \"to\":\"bob\",\"amount\" :\n1,\"asset\":\"USD\" } ", ""},
		"escaped names":            {`{"\u0066rom":"alice","t\u006f":"bob","amount":1,"\u0061\u0073\u0073\u0065\u0074":"USD"}`, ""},
		"escaped values":           {`{"from":"\u0061lice","to":"bo\u0062","amount":1,"asset":"U\u0053D"}`, ""},
		"every escape":             {`{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"}`, "\"\\/\b\f\n\r\té😀"},
		"UTF-8":                    {`{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":"日本 é 😀 �"}`, "日本 é 😀 \ufffd"},
		"UTF-8 around an escape":   {`{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":"é\né"}`, "é\né"},
		"a zero as an escape":      {`{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":"\u0000"}`, "\x00"},
		"a DEL":                    {"{\"from\":\"alice\",\"to\":\"bob\",\"amount\":1,\"asset\":\"USD\",\"reference\":\"\x7f\"}", "\x7f"},
		"an empty reference":       {`{"from":"alice","to":"bob","amount":1,"asset":"USD","reference":""}`, ""},
		"another order":            {`{"reference":"r","asset":"USD","amount":1,"to":"bob","from":"alice"}`, "r"},
		"as long as it may be":     {okBody + strings.Repeat(" ", BodyMax-len(okBody)), ""},
		"the two texts in scratch": {`{"reference":"\u0041\u0042","from":"\u0061lice","to":"\u0062ob","amount":1,"asset":"USD"}`, "AB"},
	} {
		got, f := ParseTransfer([]byte(c.body), "k", journal.DevAssets)
		if f != nil {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		if string(got.From) != "alice" || string(got.To) != "bob" || got.Amount != 1 || string(got.Reference) != c.reference {
			t.Errorf("%s: got %q to %q, %d, reference %q", name, got.From, got.To, got.Amount, got.Reference)
		}
	}
}

func TestDepth32IsNotTooDeep(t *testing.T) {
	body := `{"x":` + strings.Repeat(`[`, DepthMax-1) + strings.Repeat(`]`, DepthMax-1) + `}`
	_, f := ParseTransfer([]byte(body), "k", journal.DevAssets)
	if f == nil || f.Code != "unknown_field" || f.Field != "x" {
		t.Errorf("32 levels: %+v, want unknown_field x", f)
	}
}

func TestTooLargeIsNotRead(t *testing.T) {
	for name, body := range map[string][]byte{
		"1 MiB and a byte": append([]byte(okBody), bytes.Repeat([]byte(" "), BodyMax-len(okBody)+1)...),
		"10 MB":            bytes.Repeat([]byte("["), 10_000_000),
	} {
		_, f := ParseTransfer(body, "k", journal.DevAssets)
		if f == nil || f.Code != "payload_too_large" {
			t.Errorf("%s: %+v, want payload_too_large", name, f)
		}
		m := NewMessage(journal.DevAssets)
		m.ID = 9
		if f := ParseMessage(body, m); f == nil || f.Code != "payload_too_large" || m.ID != 0 {
			t.Errorf("%s as a message: %+v, id %d", name, f, m.ID)
		}
	}
}

// An unknown name is said back, but not a megabyte of it.
func TestUnknownNamesAreSaidBackShort(t *testing.T) {
	for name, want := range map[string]string{
		"memo":                   "memo",
		"Amount":                 "Amount",
		strings.Repeat("é", 32):  strings.Repeat("é", 32),
		strings.Repeat("é", 33):  strings.Repeat("é", 32) + "…",
		strings.Repeat("日", 400): strings.Repeat("日", 21) + "…",
	} {
		quoted, _ := json.Marshal(name)
		_, f := ParseTransfer([]byte(`{`+string(quoted)+`:1}`), "k", journal.DevAssets)
		if f == nil || f.Code != "unknown_field" || f.Field != want {
			t.Errorf("%s: %+v, want unknown_field %s", name, f, want)
		}
	}
}

// Whatever is passed over is checked: a value of an unknown field is as well-formed as any.
func TestSkipTakesWhatEncodingJSONTakes(t *testing.T) {
	for _, value := range []string{
		`0`, `-0`, `-1`, `1.5`, `1e9`, `1E-9`, `12e+3`, `true`, `false`, `null`, `""`, `"é\n"`, `[]`, `{}`, `[[]]`, `[{}]`,
		`{"a":[]}`, `{"a":{"b":[1,2,{"c":null}]},"d":"e"}`, `[1,[2,[3]],{"x":[]}]`, ` [ 1 , 2 ] `, ` { "a" : 1 , "b" : 2 } `,
		`[`, `]`, `{`, `}`, `[1`, `[1,`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `[}`, `{]`, `tru`, `-`, `1.`,
		`.1`, `01`, `1e`, `"`, `"\q"`, `'a'`, `{"a":1 "b":2}`, `[[1]`, `{"a":{"b":1}`,
	} {
		body := `{"x":` + value + `}`
		_, f := ParseTransfer([]byte(body), "k", journal.DevAssets)
		if wellFormed := f != nil && f.Code == "unknown_field"; wellFormed != json.Valid([]byte(body)) {
			t.Errorf("%s: %+v, encoding/json says valid %v", body, f, json.Valid([]byte(body)))
		}
	}
}
