package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"walletd/journal/public"
)

// Batch collects items for a topic, so that an append carries many.
type Batch struct {
	To        Topic
	Source    string
	Bounds    Bounds
	Published int

	partition int
	records   []Record
	bytes     int
}

// Add takes an item. One of another partition, or a full batch, appends what has been collected.
func (b *Batch) Add(ctx context.Context, i *Item) error {
	if i.ID.Partition != b.partition {
		if err := b.Flush(ctx); err != nil {
			return err
		}
		b.partition = i.ID.Partition
	}
	b.records, b.bytes = append(b.records, i.Record(b.Source)), b.bytes+len(i.Body)
	if b.Bounds.full(len(b.records), b.bytes) {
		return b.Flush(ctx)
	}
	return nil
}

// Flush appends what has been collected.
func (b *Batch) Flush(ctx context.Context) error {
	if len(b.records) == 0 {
		return nil
	}
	if _, err := b.To.Append(ctx, b.partition, b.records); err != nil {
		return err
	}
	b.Published += len(b.records)
	b.records, b.bytes = nil, 0
	return nil
}

// Item reads a record of the topic.
func (r *Record) Item() (*Item, error) {
	id, err := public.ParseID(r.Header(HeaderID))
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", HeaderID, r.Header(HeaderID), err)
	}
	at, err := time.Parse(time.RFC3339, r.Header("ce_time"))
	if err != nil {
		return nil, fmt.Errorf("ce_time: %w", err)
	}
	var body struct{ Version uint64 }
	if err := json.Unmarshal(r.Value, &body); err != nil {
		return nil, fmt.Errorf("event %v: %w", id, err)
	}
	return &Item{ID: id, Type: public.Type(r.Header("ce_type")), Account: string(r.Key), Version: body.Version, TimeMS: at.UnixMilli(), Body: r.Value}, nil
}
