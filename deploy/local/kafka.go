package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/segmentio/kafka-go"
)

// KafkaConfig says how to start one Kafka broker that is its own controller (KRaft).
type KafkaConfig struct {
	Dir   string    // holds its settings and data; made when it does not exist, kept over restarts
	Port  int       // 0 = the one it had in this directory before, else any that is free
	Extra []string  // more lines of server.properties, which win: "message.max.bytes=2097152"
	Known string    // host:port under which its clients reach it, when that is another's, such as a proxy's; "" = its own
	LogTo io.Writer // gets its log (warnings), one Write per line; nil = nowhere
}

func (c KafkaConfig) validate() error { return errors.Join(checkDir(c.Dir), checkPort(c.Port)) }

// StartKafka starts a broker and returns when it answers ApiVersions and metadata. Topics
// are made by their users (auto-create is off), with replication factor 1. ctx bounds the
// start only. Errors: ErrMissing, ErrPortInUse, and one with its log when it does not come
// up.
func StartKafka(ctx context.Context, c KafkaConfig) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	tools, err := findKafka()
	if err != nil {
		return nil, err
	}
	node := &kafkaNode{name: "kafka", id: 1, dir: c.Dir, extra: c.Extra, known: c.Known, logTo: c.LogTo}
	if err := node.open(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	port := c.Port
	if port == 0 {
		port = node.brokerPort // 0 in a new directory
	}
	return onPort(port, func(port int) (*Server, error) {
		node.brokerPort = port
		if node.controllerPort == 0 {
			if node.controllerPort, err = FreePort(); err != nil {
				return nil, fmt.Errorf("kafka: %w", err)
			}
		}
		return tools.start(ctx, node, []*kafkaNode{node})
	})
}

// StartKafkaQuorum starts n brokers (1 to 9; a quorum of three survives one), each its own
// controller, in dir/kafka-1 … and returns when each knows all of them. Topics get
// replication factor n and, from three on, need two in-sync replicas unless their maker says
// otherwise. On an error none is left.
func StartKafkaQuorum(ctx context.Context, dir string, n int) ([]*Server, error) {
	if err := errors.Join(checkDir(dir), checkQuorum(n)); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	tools, err := findKafka()
	if err != nil {
		return nil, err
	}
	var nodes []*kafkaNode
	for id := 1; id <= n; id++ {
		name := fmt.Sprintf("kafka-%d", id)
		node := &kafkaNode{name: name, id: id, dir: filepath.Join(dir, name)}
		if err := errors.Join(node.open(), node.drawPorts()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nodes = append(nodes, node)
	}
	for _, node := range nodes[1:] {
		node.cluster = nodes[0].cluster
	}
	servers, err := startAll(ctx, n, func(ctx context.Context, i int) (*Server, error) {
		return tools.start(ctx, nodes[i], nodes)
	})
	if err != nil {
		return nil, err
	}
	if err := awaitMembers(ctx, servers); err != nil {
		killAll(servers)
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return servers, nil
}

// start writes the node's settings, formats its directory when it is new, and runs it. All
// nodes of its quorum have their ports by now.
func (t kafkaTools) start(ctx context.Context, node *kafkaNode, quorum []*kafkaNode) (*Server, error) {
	args, err := t.prepare(ctx, node, quorum)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", node.name, err)
	}
	addr := loopback(node.brokerPort)
	return start(ctx, program{
		name: node.name, path: t.java, dir: node.dir, logTo: node.logTo,
		args:  args,
		addr:  addr,
		ports: []string{addr, loopback(node.controllerPort)},
		ready: func(ctx context.Context, _ int) error {
			return kafkaServes(ctx, addr, node.advertised(), node.cluster, 1)
		},
		poll: 50 * time.Millisecond, upLimit: 2 * time.Minute, stopLimit: 10 * time.Second,
	})
}

// awaitMembers waits until every broker names all brokers in its metadata.
func awaitMembers(ctx context.Context, servers []*Server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for _, s := range servers {
		for {
			err := kafkaServes(ctx, s.Addr, s.Addr, "", len(servers))
			if err == nil {
				break
			}
			select {
			case <-tick.C:
			case <-s.Exited():
				return s.current().withLog(fmt.Errorf("%s exited: %w", s.Name, s.current().exitError()))
			case <-ctx.Done():
				return fmt.Errorf("wait for %d brokers: %w; last answer of %s: %w", len(servers), ctx.Err(), s.Name, err)
			}
		}
	}
	return nil
}

// kafkaServes asks ApiVersions and metadata; the answer must come from our cluster (when
// named: another broker may have taken the port first) and name that many brokers, this one
// among them by the address that it is known by.
func kafkaServes(ctx context.Context, addr, known, cluster string, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	probe, err := dial(ctx, addr) // a client's own failure to connect costs it a back-off
	if err != nil {
		return err
	}
	probe.Close()

	// A transport of its own for every question: one that lives longer answers metadata
	// from its memory.
	transport := &kafka.Transport{
		Dial:        (&net.Dialer{}).DialContext,
		DialTimeout: 2 * time.Second,
		IdleTimeout: 2 * time.Second,
		ClientID:    "walletd-local",
	}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Timeout: 2 * time.Second, Transport: transport}

	versions, err := client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err = errors.Join(err, versionsError(versions)); err != nil {
		return fmt.Errorf("ApiVersions: %w", err)
	}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if cluster != "" && metadata.ClusterID != cluster {
		return fmt.Errorf("metadata: another cluster answers, %q instead of %q", metadata.ClusterID, cluster)
	}
	here := false
	for _, b := range metadata.Brokers {
		here = here || net.JoinHostPort(b.Host, fmt.Sprint(b.Port)) == known
	}
	if !here || len(metadata.Brokers) < brokers {
		return fmt.Errorf("metadata: names %d brokers of %d, itself: %t", len(metadata.Brokers), brokers, here)
	}
	return nil
}

func versionsError(r *kafka.ApiVersionsResponse) error {
	if r == nil {
		return nil // the call's own error says more
	}
	return r.Error
}
