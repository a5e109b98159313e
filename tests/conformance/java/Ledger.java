// A ledger of what changes in a table: a consumer with the Kinesis Client Library 3 over the DynamoDB Streams adapter.
//
// Arguments: name of the application, which that of its lease table is; ARN of the stream; name of this worker; the
// ledger, a file to which every worker appends. SIGTERM makes it give its leases back, and end.

import static software.amazon.kinesis.common.InitialPositionInStream.TRIM_HORIZON;

import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.adapter.DynamoDBStreamsClientRecord;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.regions.providers.DefaultAwsRegionProviderChain;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.OperationType;
import software.amazon.awssdk.services.dynamodb.model.StreamRecord;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.MetricsLevel;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;

public class Ledger {
  /** How many records a worker does before it says how far it is. */
  private static final int RECORDS_PER_CHECKPOINT = 20;

  private final String worker;
  private final FileChannel file;

  Ledger(String worker, FileChannel file) {
    this.worker = worker;
    this.file = file;
  }

  public static void main(String[] arguments) throws Exception {
    String application = arguments[0], stream = arguments[1], worker = arguments[2];
    Path path = Path.of(arguments[3]);
    FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    Scheduler scheduler = scheduler(application, stream, new Ledger(worker, file));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(scheduler)));
    scheduler.run();
  }

  private static void end(Scheduler scheduler) {
    try {
      scheduler.startGracefulShutdown().get(20, TimeUnit.SECONDS);
    } catch (Exception error) {
      error.printStackTrace();
    }
  }

  /** Every client is made as in a program for AWS; times are shorter, so that a worker that died is soon replaced. */
  private static Scheduler scheduler(String application, String stream, Ledger ledger) {
    Region region = DefaultAwsRegionProviderChain.builder().build().getRegion();
    var adapter = new AmazonDynamoDBStreamsAdapterClient(DefaultCredentialsProvider.builder().build(), region);
    var start = InitialPositionInStreamExtended.newInitialPosition(TRIM_HORIZON);
    var configs =
        new ConfigsBuilder(
            StreamsSchedulerFactory.createSingleStreamTracker(stream, start),
            application,
            adapter,
            DynamoDbAsyncClient.create(),
            CloudWatchAsyncClient.create(),
            ledger.worker,
            () -> ledger.new Processor());
    var leases =
        configs
            .leaseManagementConfig()
            .shardSyncIntervalMillis(0)
            .failoverTimeMillis(3_000)
            .leaseAssignmentIntervalMillis(1_000L)
            .dynamoDbLockBasedLeaderLeaseDurationInMillis(3_000)
            .dynamoDbLockBasedLeaderHeartbeatPeriodInMillis(1_000);
    leases.workerUtilizationAwareAssignmentConfig().workerMetricsReporterFreqInMillis(1_000);
    return StreamsSchedulerFactory.createScheduler(
        configs.checkpointConfig(),
        configs.coordinatorConfig().parentShardPollIntervalMillis(500).shardConsumerDispatchPollIntervalMillis(200),
        leases,
        configs.lifecycleConfig(),
        // Metrics are for CloudWatch, which Tenet is not.
        configs.metricsConfig().metricsLevel(MetricsLevel.NONE),
        configs.processorConfig(),
        configs
            .retrievalConfig()
            .retrievalSpecificConfig(new DynamoDBStreamsPollingConfig(adapter).idleTimeBetweenReadsInMillis(200)),
        adapter);
  }

  /** Appends a line in one write, so that lines of several workers stand in the order in which they were written. */
  private void write(Object... fields) {
    StringBuilder line = new StringBuilder();
    for (Object field : fields) line.append(line.isEmpty() ? "" : "\t").append(field);
    try {
      file.write(ByteBuffer.wrap(line.append('\n').toString().getBytes(StandardCharsets.UTF_8)));
    } catch (IOException error) {
      Runtime.getRuntime().halt(3);
    }
  }

  private class Processor implements DynamoDBStreamsShardRecordProcessor {
    private String shard;
    private String last;
    private int unsaved;

    @Override
    public void initialize(InitializationInput input) {
      shard = input.shardId();
      write("begin", worker, shard, input.extendedSequenceNumber().sequenceNumber());
    }

    @Override
    public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
      for (DynamoDBStreamsClientRecord one : input.records()) {
        StreamRecord change = one.getRecord().dynamodb();
        boolean isGone = one.getRecord().eventName() == OperationType.REMOVE;
        int count = Integer.parseInt((isGone ? change.oldImage() : change.newImage()).get("count").n());
        String old = change.hasOldImage() ? change.oldImage().get("count").n() : "-";
        last = change.sequenceNumber();
        String key = change.keys().get("article").s();
        write("record", worker, shard, last, one.getRecord().eventNameAsString(), key, isGone ? count + 1 : count, old);
        if (++unsaved >= RECORDS_PER_CHECKPOINT) save(input.checkpointer(), last);
      }
    }

    private void save(RecordProcessorCheckpointer checkpointer, String sequence) {
      try {
        checkpointer.checkpoint(sequence, 0L);
        write("checkpoint", worker, shard, sequence);
        unsaved = 0;
      } catch (ShutdownException lost) {
        write("refused", worker, shard, sequence);
      } catch (InvalidStateException error) {
        throw new IllegalStateException(error);
      }
    }

    @Override
    public void leaseLost(LeaseLostInput input) {
      write("lost", worker, shard);
    }

    @Override
    public void shardEnded(ShardEndedInput input) {
      try {
        input.checkpointer().checkpoint();
        write("ended", worker, shard);
      } catch (ShutdownException | InvalidStateException error) {
        throw new IllegalStateException(error);
      }
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {
      if (unsaved > 0) save(input.checkpointer(), last);
      write("stopped", worker, shard);
    }
  }
}
