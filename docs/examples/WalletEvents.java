import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/**
 * Follows the public events of a wallet, keeps every account's balance, and prints one line an event:
 *
 *   java -cp "LIBS/*" WalletEvents.java BROKER TOPIC [COUNT]
 *
 * LIBS has kafka-clients and what it needs. With COUNT it ends behind so many events. Events may come more than once, with the same ce_id and the
 * same bytes: an account's versions have no gap, so that one whose version is not higher than the last has been seen already.
 */
class WalletEvents {
    /** What is known of an account. */
    record Account(long version, long available, long reserved) {}

    static final Map<String, Account> accounts = new HashMap<>();

    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        config.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false"); // a real consumer stores the offset with what it has made of the events
        long left = args.length > 2 ? Long.parseLong(args[2]) : Long.MAX_VALUE;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config)) {
            List<TopicPartition> partitions = consumer.partitionsFor(args[1]).stream().map(p -> new TopicPartition(p.topic(), p.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (left > 0) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofSeconds(1))) {
                    if (take(r) && --left == 0) {
                        break;
                    }
                }
            }
        }
        accounts.forEach((id, a) -> System.out.printf("account %s version %d available %d reserved %d%n", id, a.version(), a.available(), a.reserved()));
    }

    /** Takes an event, once. */
    static boolean take(ConsumerRecord<String, String> r) {
        if (!header(r, "ce_specversion").equals("1.0") || !header(r, "content-type").equals("application/json")) {
            throw new IllegalStateException("not a CloudEvent: offset " + r.offset());
        }
        Account before = accounts.getOrDefault(r.key(), new Account(0, 0, 0));
        Account now = new Account(number(r.value(), "version"), number(r.value(), "available"), number(r.value(), "reserved"));
        if (now.version() <= before.version()) {
            return false;
        }
        if (now.version() != before.version() + 1) {
            throw new IllegalStateException(r.key() + ": version " + now.version() + " follows " + before.version());
        }
        accounts.put(r.key(), now);
        System.out.printf("event %s %s %s version %d%n", header(r, "ce_id"), header(r, "ce_type"), header(r, "ce_subject"), now.version());
        return true;
    }

    static String header(ConsumerRecord<String, String> r, String name) {
        Header h = r.headers().lastHeader(name);
        return h == null ? "" : new String(h.value(), StandardCharsets.UTF_8);
    }

    /** A number of the body, without a JSON library. */
    static long number(String body, String field) {
        Matcher m = Pattern.compile("[{,]\"" + field + "\":(-?\\d+)").matcher(body);
        if (!m.find()) {
            throw new IllegalStateException("no " + field + " in " + body);
        }
        return Long.parseLong(m.group(1));
    }
}
