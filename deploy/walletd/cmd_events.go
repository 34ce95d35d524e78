package walletd

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"walletd/journal"
	"walletd/journal/public"
	"walletd/projector/events"
	"walletd/projector/events/kafkatopic"
)

func (a *app) eventsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "what the public hears of: one event for every version of an account (docs/events.md)"}
	cmd.AddCommand(a.eventsCatCmd(), a.eventsTailCmd(), a.eventsRebuildCmd())
	return cmd
}

// eventsChoice says which events to show.
type eventsChoice struct {
	accounts []string
	types    []string
}

func (c *eventsChoice) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&c.accounts, "account", nil, "only those of these accounts")
	cmd.Flags().StringSliceVar(&c.types, "type", nil, "only those of these types: "+typeWords())
}

func typeWords() string {
	words := make([]string, len(public.Types))
	for i, t := range public.Types {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}

func (c *eventsChoice) check() error {
	for _, t := range c.types {
		if !slices.Contains(public.Types, public.Type(t)) {
			return exit(exitUsage, "--type %s: want some of %s", t, typeWords())
		}
	}
	return nil
}

func (c *eventsChoice) takes(account, kind string) bool {
	return (len(c.accounts) == 0 || slices.Contains(c.accounts, account)) && (len(c.types) == 0 || slices.Contains(c.types, kind))
}

func (a *app) eventsCatCmd() *cobra.Command {
	var data, path string
	var partitions []int
	var follow bool
	var choice eventsChoice
	cmd := &cobra.Command{
		Use: "cat --data DIR | -c walletd.yaml", Short: "make the public events of a journal and print them, partition by partition, in order", Args: args(0, 0),
		Long: `cat makes the events from the journal alone, also beside a running wallet: the same ids and bytes as in the topic. With -o json a line is
a CloudEvent in structured mode.`,
		Example: `  walletd events cat --data ~/.local/share/walletd/dev
  walletd events cat --data DIR --account alice --type transfer.received --follow -o json | jq .data`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := choice.check(); err != nil {
				return err
			}
			j, err := a.openJournal(cmd.Context(), data, path)
			if err != nil {
				return err
			}
			defer j.close()
			if err := knownPartitions(partitions, j.log.Partitions()); err != nil {
				return err
			}
			to := a.eventsOut(follow)
			err = events.FromJournal(cmd.Context(), events.JournalConfig{Log: j.log, Assets: j.assets, Partitions: partitions, Follow: follow}, func(i *events.Item) error {
				if !choice.takes(i.Account, string(i.Type)) {
					return nil
				}
				return to.write(i, events.SourceOf(j.wallet))
			})
			if follow && errors.Is(err, context.Canceled) {
				err = nil
			}
			return damaged(errors.Join(err, to.flush()))
		},
	}
	journalFlags(cmd, &data, &path, &partitions)
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what is appended, until Ctrl-C")
	choice.flags(cmd)
	return cmd
}

func knownPartitions(asked []int, there int) error {
	for _, p := range asked {
		if p < 0 || p >= there {
			return exit(exitUsage, "--partition: there is no partition %d: there are %d, from 0 on", p, there)
		}
	}
	return nil
}

// eventsOut prints events in the format that is asked for.
type eventsOut struct {
	mu     sync.Mutex
	to     *bufio.Writer
	format string
	each   bool // somebody looks on: every event is written at once
	buf    []byte
}

var eventColumns = []string{"id", "time", "type", "account", "version", "asset", "amount", "available", "reserved", "counterparty"}

func (a *app) eventsOut(each bool) *eventsOut {
	o := &eventsOut{to: bufio.NewWriterSize(a.out, 64<<10), format: a.output, each: each}
	switch a.output {
	case "csv":
		_, _ = o.to.WriteString(strings.Join(eventColumns, ",") + "\n") // flush tells
	case "table":
		_, _ = o.to.WriteString(eventLine(strings.Split(strings.ToUpper(strings.Join(eventColumns, " ")), " ")))
	}
	return o
}

func (o *eventsOut) flush() error { return o.to.Flush() }

func (o *eventsOut) write(i *events.Item, source string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.format == "json" {
		o.buf = append(i.AppendStructured(o.buf[:0], source), '\n')
		_, _ = o.to.Write(o.buf) // flush tells
	} else if err := o.columns(i); err != nil {
		return err
	}
	if o.each {
		return o.to.Flush()
	}
	return nil
}

func (o *eventsOut) columns(i *events.Item) error {
	var b struct {
		Asset, Counterparty         string
		Amount, Available, Reserved json.Number
	}
	if err := json.Unmarshal(i.Body, &b); err != nil {
		return fmt.Errorf("event %v: %w", i.ID, err)
	}
	values := []string{i.ID.String(), string(public.AppendTime(nil, i.TimeMS)), string(i.Type), i.Account, strconv.FormatUint(i.Version, 10), b.Asset,
		string(b.Amount), string(b.Available), string(b.Reserved), b.Counterparty}
	if o.format == "csv" {
		w := csv.NewWriter(o.to)
		_ = w.Write(values) // Error tells
		w.Flush()
		return w.Error()
	}
	_, err := io.WriteString(o.to, eventLine(values))
	return err
}

// eventLine is a line of the table: it is printed as it comes, so that columns have a fixed width.
func eventLine(v []string) string {
	line := fmt.Sprintf("%-16s %-24s %-21s %-16s %8s %-5s %16s %16s %16s %s", v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9])
	return strings.TrimRight(line, " ") + "\n"
}

// topicPlace says which topic.
type topicPlace struct {
	path, topic string
	brokers     []string
}

func (p *topicPlace) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&p.brokers, "kafka", nil, "brokers of the topic, host:port (as in walletd.yaml)")
	f.StringVar(&p.topic, "topic", "", "the topic (events.topic of walletd.yaml, or "+eventsTopicName+")")
}

// open finds the topic; a wallet's partitions are those of its topic unless they are given.
func (p *topicPlace) open(ctx context.Context, partitions int) (*kafkatopic.Topic, int, error) {
	t := eventsTopic{brokers: p.brokers, name: eventsTopicName, replicas: 1}
	if p.path != "" {
		c, _, err := loadConfig(p.path, nil)
		if err != nil {
			return nil, 0, exit(exitUsage, "%w", err)
		}
		c.Events.Publish = true
		t = c.eventsTopic()
		if len(p.brokers) > 0 {
			t.brokers = p.brokers
		}
	}
	if p.topic != "" {
		t.name = p.topic
	}
	if len(t.brokers) == 0 {
		return nil, 0, exit(exitUsage, "name the topic's Kafka: --kafka host:port, or -c walletd.yaml with kafka: [host:port]")
	}
	to := t.open(partitions)
	if partitions == 0 {
		n, err := to.Partitions(ctx)
		if err != nil {
			to.Close()
			return nil, 0, exit(exitFailed, "%w (is something published there? events: {publish: true} in walletd.yaml)", err)
		}
		partitions = n
	}
	return to, partitions, nil
}

func (a *app) eventsTailCmd() *cobra.Command {
	var p topicPlace
	var partitions []int
	var whole bool
	var choice eventsChoice
	cmd := &cobra.Command{
		Use: "tail -c walletd.yaml | --kafka host:port", Short: "print what arrives in the topic, until Ctrl-C", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := choice.check(); err != nil {
				return err
			}
			to, n, err := p.open(cmd.Context(), 0)
			if err != nil {
				return err
			}
			defer to.Close()
			if err := knownPartitions(partitions, n); err != nil {
				return err
			}
			if len(partitions) == 0 {
				for i := range n {
					partitions = append(partitions, i)
				}
			}
			out := a.eventsOut(true)
			group, ctx := errgroup.WithContext(cmd.Context())
			for _, partition := range partitions {
				group.Go(func() error { return tailPartition(ctx, to, partition, whole, &choice, out) })
			}
			return errors.Join(quiet(cmd.Context(), group.Wait()), out.flush())
		},
	}
	cmd.Flags().StringVarP(&p.path, "config", "c", "", "walletd.yaml of a cluster")
	p.flags(cmd)
	cmd.Flags().IntSliceVar(&partitions, "partition", nil, "only these partitions")
	cmd.Flags().BoolVar(&whole, "from-beginning", false, "with all that is there already")
	choice.flags(cmd)
	return cmd
}

func tailPartition(ctx context.Context, to *kafkatopic.Topic, partition int, whole bool, choice *eventsChoice, out *eventsOut) error {
	first, at, err := to.Ends(ctx, partition)
	if whole {
		at = first
	}
	for err == nil && ctx.Err() == nil {
		at, err = to.Read(ctx, partition, at, func(offset int64, r *events.Record) error {
			i, err := r.Item()
			if err != nil {
				return fmt.Errorf("partition %d offset %d: %w", partition, offset, err)
			}
			if !choice.takes(i.Account, string(i.Type)) {
				return nil
			}
			return out.write(i, r.Header("ce_source"))
		})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (a *app) eventsRebuildCmd() *cobra.Command {
	var p topicPlace
	var data, from string
	var partitions []int
	cmd := &cobra.Command{
		Use: "rebuild -c walletd.yaml", Short: "publish the events of the journal again: the same ids and bytes, so that consumers know them", Args: args(0, 0),
		Long: `rebuild makes the events from the journal and appends them to the topic, which is made when it is not there. It may run beside what publishes:
consumers see events again that they have seen, with the same ids. A topic that is to have every event once is a new one: --topic.`,
		Example: `  walletd events rebuild -c walletd.yaml
  walletd events rebuild -c walletd.yaml --topic wallet.events.2
  walletd events rebuild -c walletd.yaml --from-position 3.1.42`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			after, err := rebuildFrom(from, &partitions)
			if err != nil {
				return err
			}
			j, err := a.openJournal(cmd.Context(), data, p.path)
			if err != nil {
				return err
			}
			defer j.close()
			if err := knownPartitions(partitions, j.log.Partitions()); err != nil {
				return err
			}
			to, _, err := p.open(cmd.Context(), j.log.Partitions())
			if err != nil {
				return err
			}
			defer to.Close()
			if err := to.Create(cmd.Context()); err != nil {
				return exit(exitFailed, "%w", err)
			}
			return a.rebuildEvents(cmd.Context(), j, to, partitions, after)
		},
	}
	journalFlags(cmd, &data, &p.path, &partitions)
	cmd.Flags().StringVar(&from, "from-position", "", "from this event on, of its partition alone: partition.epoch.seq")
	p.flags(cmd)
	return cmd
}

// rebuildFrom answers the seq from which events are wanted, of the partition that the position chooses.
func rebuildFrom(from string, partitions *[]int) (seq uint64, err error) {
	if from == "" {
		return 0, nil
	}
	at, err := journal.ParsePosition(from)
	if err != nil {
		return 0, exit(exitUsage, "--from-position: %w", err)
	}
	if len(*partitions) > 1 || len(*partitions) == 1 && (*partitions)[0] != at.Partition {
		return 0, exit(exitUsage, "--from-position %s is of partition %d alone, and --partition names others", from, at.Partition)
	}
	*partitions = []int{at.Partition}
	return at.Seq, nil
}

func (a *app) rebuildEvents(ctx context.Context, j *openedJournal, to *kafkatopic.Topic, partitions []int, seq uint64) error {
	b := a.bar("names")
	batch := events.Batch{To: to, Source: events.SourceOf(j.wallet)}
	err := events.FromJournal(ctx, events.JournalConfig{Log: j.log, Assets: j.assets, Partitions: partitions,
		Progress: func(stage string, done, total int64) { b.stage(stage, float64(done)/float64(max(total, 1))) }},
		func(i *events.Item) error {
			if i.ID.Seq < seq {
				return nil
			}
			return batch.Add(ctx, i)
		})
	err = errors.Join(err, batch.Flush(ctx))
	b.done()
	if err != nil {
		return damaged(fmt.Errorf("%w; %d events are published, again is fine", err, batch.Published))
	}
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(map[string]int{"published": batch.Published})
	}
	fmt.Fprintf(a.out, "%d events published\n", batch.Published)
	return nil
}
