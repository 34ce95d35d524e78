package events

import (
	"walletd/journal/public"
)

// Header is a record's.
type Header struct{ Name, Value string }

// Record is an event as it stands in the topic: CloudEvents 1.0, Kafka binding, binary mode.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
}

// The attributes' headers.
const (
	HeaderID     = "ce_id"
	specVersion  = "1.0"
	contentType  = "application/json"
	sourcePrefix = "/walletd/"
)

// SourceOf is the attribute source of a wallet's events. With the id it names an event in the world.
func SourceOf(wallet string) string { return sourcePrefix + wallet }

// Record makes the topic's record of an event.
func (i *Item) Record(source string) Record {
	return Record{Key: []byte(i.Account), Value: i.Body, Headers: []Header{
		{"ce_specversion", specVersion}, {HeaderID, i.ID.String()}, {"ce_source", source}, {"ce_type", string(i.Type)}, {"ce_subject", i.Account},
		{"ce_time", string(public.AppendTime(nil, i.TimeMS))}, {"content-type", contentType},
	}}
}

// AppendStructured appends the event in structured mode: one JSON object with the attributes, and the body as its data.
func (i *Item) AppendStructured(dst []byte, source string) []byte {
	dst = i.ID.AppendText(append(dst, `{"specversion":"`+specVersion+`","id":"`...))
	dst = public.AppendString(append(dst, `","source":`...), source)
	dst = append(append(dst, `,"type":"`...), i.Type...)
	dst = public.AppendString(append(dst, `","subject":`...), i.Account)
	dst = public.AppendTime(append(dst, `,"time":"`...), i.TimeMS)
	dst = append(append(dst, `","datacontenttype":"`+contentType+`","data":`...), i.Body...)
	return append(dst, '}')
}

// Header is the value of a record's header, "" where it has none of the name.
func (r *Record) Header(name string) string {
	for _, h := range r.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}
