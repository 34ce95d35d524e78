package kafkalog

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"walletd/journal"
)

// ErrSettings says that a topic is not one that the journal can be kept in.
var ErrSettings = errors.New("the topic's settings")

// ErrNoTopic says that there is no such topic.
var ErrNoTopic = errors.New("no such topic")

// errNoTopicFor is ErrNoTopic for longer than a new topic takes to be known everywhere.
var errNoTopicFor = errors.New("nor has there been one for a while")

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the log is closed")

// rejected are the answers that a broker gives to a produce request before it appends anything. Every other one leaves
// the outcome unknown; so do NotLeaderForPartition and UnknownTopicOrPartition, which a delayed produce is answered with
// when the leadership moves after the append, and KafkaStorageError, which may come with half of it on disk.
var rejected = map[kafka.Error]bool{
	kafka.InvalidMessage:              true, // its CRC or form
	kafka.MessageSizeTooLarge:         true,
	kafka.RecordListTooLarge:          true,
	kafka.NotEnoughReplicas:           true, // unlike NotEnoughReplicasAfterAppend
	kafka.InvalidRequiredAcks:         true,
	kafka.InvalidTopic:                true,
	kafka.TopicAuthorizationFailed:    true,
	kafka.ClusterAuthorizationFailed:  true,
	kafka.InvalidTimestamp:            true,
	kafka.UnsupportedForMessageFormat: true,
	kafka.PolicyViolation:             true,
	kafka.UnsupportedCompressionType:  true,
	kafka.InvalidRecord:               true,
	kafka.UnsupportedVersion:          true,
}

// produceError is what a partition's error code says of its record, nil for none.
func produceError(partition int32, code int16, message string) error {
	if code == 0 {
		return nil
	}
	err := fmt.Errorf("partition %d: %w", partition, kafka.Error(code))
	if message != "" {
		err = fmt.Errorf("%w (%s)", err, message)
	}
	if rejected[kafka.Error(code)] {
		return notAppended(err)
	}
	return err
}

func notAppended(err error) error { return fmt.Errorf("%w: %w", journal.ErrNotAppended, err) }

// passes reports whether what failed may succeed a little later: a leader moves, a broker restarts.
func passes(err error) bool {
	for _, final := range []error{journal.ErrDamaged, ErrClosed, errTooOld, ErrSettings, errNoTopicFor} {
		if errors.Is(err, final) {
			return false
		}
	}
	var code kafka.Error
	if !errors.As(err, &code) {
		return true // the network
	}
	switch code {
	case kafka.BrokerNotAvailable, kafka.ReplicaNotAvailable, kafka.NotController, kafka.OffsetNotAvailable:
		return true
	}
	return code.Temporary()
}

func damaged(partition int, offset int64, format string, args ...any) error {
	return fmt.Errorf("%w: partition %d offset %d: %s", journal.ErrDamaged, partition, offset, fmt.Sprintf(format, args...))
}
