import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;

/** Deletes all records of partition 0 of a topic, as retention does: java Trim.java BROKER TOPIC. */
class Trim {
    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.deleteRecords(Map.of(new TopicPartition(args[1], 0), RecordsToDelete.beforeOffset(-1))).all().get();
        }
    }
}
