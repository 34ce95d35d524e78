package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kafkaVersion is that of kafka/pom.xml, from which install.sh gets the jars.
const kafkaVersion = "4.3.1"

// KafkaJars returns the directory that holds Kafka's jars: $WALLETD_KAFKA_LIBS when set,
// else walletd/kafka-<version> in the user's cache directory ($XDG_CACHE_HOME or ~/.cache).
// Without them the error is an ErrMissing.
func KafkaJars() (dir string, err error) {
	server := "kafka " + kafkaVersion
	if dir = os.Getenv("WALLETD_KAFKA_LIBS"); dir != "" {
		if !hasKafkaJar(dir) {
			return "", ErrMissing{server, "WALLETD_KAFKA_LIBS names " + dir +
				", which has no kafka_*.jar: unset it and run `make deps`"}
		}
		return dir, nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find kafka's jars: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	dir = filepath.Join(cache, "walletd", "kafka-"+kafkaVersion)
	if !hasKafkaJar(dir) {
		return "", ErrMissing{server, "run `make deps`"}
	}
	return dir, nil
}

func hasKafkaJar(dir string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "kafka_*.jar"))
	return err == nil && len(found) > 0
}

// kafkaTools is what runs a broker.
type kafkaTools struct {
	java string
	jars string // directory
}

func findKafka() (kafkaTools, error) {
	java, err := findJava()
	if err != nil {
		return kafkaTools{}, err
	}
	jars, err := KafkaJars()
	return kafkaTools{java, jars}, err
}

func (t kafkaTools) run(heap []string, class string, args ...string) []string {
	all := append(append([]string{}, heap...), jvmFlags...)
	all = append(all, "-Dlog4j2.configurationFile=log4j2.yaml", "-cp", filepath.Join(t.jars, "*"), class)
	return append(all, args...)
}

// prepare writes the settings of a node, formats its directory when it is new, and returns
// the arguments that run it.
func (t kafkaTools) prepare(ctx context.Context, node *kafkaNode, quorum []*kafkaNode) ([]string, error) {
	if err := node.write(quorum); err != nil {
		return nil, err
	}
	if !node.formatted {
		format := []string{"format", "-t", node.cluster, "-c", "server.properties", "--ignore-formatted"}
		if len(quorum) == 1 {
			format = append(format, "--standalone")
		} else {
			format = append(format, "--initial-controllers", voters(quorum))
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		err := runToEnd(ctx, program{
			name: "format " + node.name, path: t.java, dir: node.dir, logTo: node.logTo,
			args: t.run([]string{"-Xmx128m"}, "kafka.tools.StorageTool", format...),
		})
		if err != nil {
			return nil, err
		}
		node.formatted = true
	}
	return t.run([]string{"-Xms256m", "-Xmx384m"}, "kafka.Kafka", "server.properties"), nil
}

// kafkaNode is one broker and its directory:
//
//	server.properties log4j2.yaml   written at every start
//	ports                           broker and controller: the quorum remembers the latter in its data
//	data/                           log.dirs; data/meta.properties appears when it is formatted
type kafkaNode struct {
	name  string
	id    int
	dir   string
	extra []string
	known string // address that it tells its clients; "" = its own
	logTo io.Writer

	cluster                    string // id
	directory                  string // id of data/, for the first list of voters
	brokerPort, controllerPort int
	formatted                  bool
}

// open makes the directory and reads what it says of an earlier run.
func (n *kafkaNode) open() (err error) {
	if n.dir, err = makeDir(n.dir); err != nil {
		return err
	}
	n.cluster, n.directory = kafkaID(), kafkaID()

	meta, err := os.ReadFile(filepath.Join(n.dir, "data", "meta.properties"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(meta)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.id="); ok {
			n.cluster, n.formatted = id, true
		}
	}
	ports, err := os.ReadFile(filepath.Join(n.dir, "ports"))
	if err != nil {
		return fmt.Errorf("its data is there, its ports are not: %w", err)
	}
	if _, err := fmt.Sscan(string(ports), &n.brokerPort, &n.controllerPort); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(n.dir, "ports"), err)
	}
	return nil
}

// drawPorts gives a new node its ports.
func (n *kafkaNode) drawPorts() (err error) {
	if n.brokerPort != 0 {
		return nil
	}
	if n.brokerPort, err = FreePort(); err != nil {
		return err
	}
	n.controllerPort, err = FreePort()
	return err
}

func (n *kafkaNode) write(quorum []*kafkaNode) error {
	files := map[string][]byte{
		"server.properties": propertyLines(n.properties(quorum)),
		"log4j2.yaml":       []byte(kafkaLogging),
		"ports":             fmt.Appendf(nil, "%d %d\n", n.brokerPort, n.controllerPort),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *kafkaNode) advertised() string {
	if n.known != "" {
		return n.known
	}
	return loopback(n.brokerPort)
}

func (n *kafkaNode) properties(quorum []*kafkaNode) []string {
	var controllers []string
	for _, q := range quorum {
		controllers = append(controllers, loopback(q.controllerPort))
	}
	controller := ",CONTROLLER://" + loopback(n.controllerPort)
	listeners := "PLAINTEXT://" + loopback(n.brokerPort) + controller
	replicas, inSync := len(quorum), min(2, (len(quorum)+1)/2)
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		"controller.quorum.bootstrap.servers=" + strings.Join(controllers, ","),
		"listeners=" + listeners,
		"advertised.listeners=PLAINTEXT://" + n.advertised() + controller,
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs=" + filepath.Join(n.dir, "data"),
		"num.network.threads=2",
		"num.io.threads=2",
		"num.recovery.threads.per.data.dir=1",
		"offsets.topic.num.partitions=4",
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.min.isr=%d", inSync),
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", inSync),
		"auto.create.topics.enable=false", // a misspelt topic is an error, not a journal
		// A killed broker is let in again, and its partitions get another leader, only after
		// this time; the default of nine seconds would be most of every test that kills one.
		"broker.session.timeout.ms=3000",
		"broker.heartbeat.interval.ms=500",
		"log.segment.bytes=67108864",
		"log.cleaner.dedupe.buffer.size=16777216", // the default is half of the heap
	}
	return append(lines, n.extra...)
}

// voters is the quorum in the words of the format tool: "1@host:port:directory,…".
func voters(quorum []*kafkaNode) string {
	var all []string
	for _, q := range quorum {
		all = append(all, fmt.Sprintf("%d@%s:%s", q.id, loopback(q.controllerPort), q.directory))
	}
	return strings.Join(all, ",")
}

// kafkaID is a random id as Kafka writes it: 16 bytes in URL-safe base64. One that begins
// with a dash would be taken for an option on a command line.
func kafkaID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		if id := base64.RawURLEncoding.EncodeToString(b[:]); id[0] != '-' {
			return id
		}
	}
}

// kafkaLogging: warnings on the standard output, where the tail of the log is kept.
const kafkaLogging = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "%d{ISO8601} %-5p %c{1}: %m%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: STDOUT
`
