package relay

import (
	"net"
	"strconv"
	"testing"
	"time"

	"walletd/deploy/faultproxy"
	"walletd/deploy/local"
)

// isProduce tells a Kafka request to append from others: behind its length stands the key 0.
func isProduce(request []byte) bool {
	return len(request) >= 6 && request[4] == 0 && request[5] == 0
}

// The wires to a real broker go wrong under load, at every moment of a request: nothing is lost, nothing is there twice,
// nothing is acknowledged that is not in the log, and the relay goes on by itself.
func TestWiresToKafkaAreBad(t *testing.T) {
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	wire := faultproxy.ForTest(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	broker, err := local.StartKafka(t.Context(), local.KafkaConfig{Dir: t.TempDir(), Port: port, Known: wire.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Kill)
	broker.Addr = wire.Addr()
	for _, c := range []struct {
		fault string
		on    func(k *keeper)
		away  bool // long enough to be told of
	}{
		{"the acknowledgement is lost, just behind the append", func(k *keeper) {
			for range 3 {
				<-wire.DropNextReply(isProduce)
				k.awaitMore(5)
			}
		}, false},
		{"the connection is cut, whatever was half sent", func(k *keeper) {
			for range 20 {
				wire.Cut()
				k.awaitMore(1)
			}
		}, false},
		{"every piece is late", func(k *keeper) { wire.Delay(20 * time.Millisecond); k.awaitMore(5) }, false},
		{"so late that an append is given up, and lands later", func(k *keeper) { wire.Delay(300 * time.Millisecond); k.awaitJournal(false) }, true},
		{"nobody listens", func(k *keeper) { wire.Refuse(true); wire.Cut(); k.awaitJournal(false) }, true},
		{"nothing passes, and nobody says so", func(k *keeper) { wire.BlackHole(true); k.awaitJournal(false) }, true},
	} {
		t.Run(c.fault, func(t *testing.T) {
			l := kafkaLog(t, broker, 3)
			k := mustKeeper(t, l, 1, 'a')
			k.run()
			stop := flow(k, 3)
			k.awaitMore(10)
			c.on(k)
			wire.Heal()
			k.awaitMore(10)
			if c.away {
				k.await("it is told that the journal is back", func() bool { return !k.away[0] && !k.away[1] && !k.away[2] })
			}
			stop()
			k.awaitAll()
			k.mustStop()
			k.checkAcked(l)
			for p, next := range k.next {
				if got := len(history(t, l, p)); uint64(got) != next-1 {
					t.Errorf("partition %d has %d events, want %d", p, got, next-1)
				}
			}
		})
	}
}
