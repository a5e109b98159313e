// Crates by the hundred with the batch manager of the AWS SDK for Java, version 2: one by one here, in batches on the wire.
//
// Argument: the name of its queue. It prints "ok" at the end, and fails where an answer is not what it wants.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.*;
import software.amazon.awssdk.core.interceptor.*;
import software.amazon.awssdk.services.sqs.SqsAsyncClient;
import software.amazon.awssdk.services.sqs.batchmanager.SqsAsyncBatchManager;
import software.amazon.awssdk.services.sqs.model.*;

public class Crates {
  private static final int CRATES = 95, HEAVY = 6, KILOBYTES = 200, RETURNED = 20;

  /** How often each kind of request went to the server. */
  private static final Map<String, AtomicInteger> ASKED = new ConcurrentHashMap<>();

  private static final ExecutionInterceptor COUNT =
      new ExecutionInterceptor() {
        @Override
        public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes attributes) {
          ASKED.computeIfAbsent(context.request().getClass().getSimpleName(), any -> new AtomicInteger()).incrementAndGet();
        }
      };

  private final SqsAsyncBatchManager manager;
  private final String url;

  Crates(SqsAsyncBatchManager manager, String url) {
    this.manager = manager;
    this.url = url;
  }

  public static void main(String[] arguments) throws Exception {
    ScheduledExecutorService clock = Executors.newScheduledThreadPool(1);
    try (SqsAsyncClient client =
            SqsAsyncClient.builder().overrideConfiguration(settings -> settings.addExecutionInterceptor(COUNT)).build();
        SqsAsyncBatchManager manager =
            SqsAsyncBatchManager.builder()
                .client(client)
                .scheduledExecutor(clock)
                .overrideConfiguration(
                    settings ->
                        settings
                            .sendRequestFrequency(Duration.ofMillis(100))
                            .receiveMessageMinWaitDuration(Duration.ofSeconds(1))
                            .receiveMessageVisibilityTimeout(Duration.ofSeconds(60))
                            .receiveMessageAttributeNames(List.of("All"))
                            .receiveMessageSystemAttributeNames(List.of(MessageSystemAttributeName.ALL)))
                .build()) {
      String url = client.createQueue(request -> request.queueName(arguments[0])).get().queueUrl();
      Crates crates = new Crates(manager, url);
      Map<String, String> sent = crates.send();
      crates.deleteOfNothing();
      Map<String, Message> seen = crates.receive(sent.keySet(), "1");
      for (Message message : seen.values()) {
        same(message.body(), sent.get(message.messageId()));
        same(message.messageAttributes().get("hall").stringValue(), "north");
      }

      // Some are put back at once, and come again.
      Set<String> returned = seen.keySet().stream().limit(RETURNED).collect(Collectors.toSet());
      crates.each(
          returned,
          id -> manager.changeMessageVisibility(r -> r.queueUrl(url).receiptHandle(seen.get(id).receiptHandle()).visibilityTimeout(0)));
      seen.putAll(crates.receive(returned, "2"));
      crates.each(seen.keySet(), id -> manager.deleteMessage(r -> r.queueUrl(url).receiptHandle(seen.get(id).receiptHandle())));

      Map<QueueAttributeName, String> left =
          client.getQueueAttributes(r -> r.queueUrl(url).attributeNames(QueueAttributeName.ALL)).get().attributes();
      same(left.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES), "0");
      same(left.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE), "0");
      client.deleteQueue(request -> request.queueUrl(url)).get();
    } finally {
      clock.shutdownNow();
    }
    // Nothing went alone, and batches had company in them.
    for (String operation : List.of("SendMessage", "ChangeMessageVisibility", "DeleteMessage"))
      same(ASKED.containsKey(operation + "Request"), false);
    between(asked("SendMessageBatch"), CRATES / 10 + 1, CRATES / 2);
    between(asked("ChangeMessageVisibilityBatch"), RETURNED / 10, RETURNED / 2);
    between(asked("DeleteMessageBatch"), CRATES / 10 + 1, CRATES / 2);
    System.out.println("ok");
  }

  /** Sends all crates, and one in between that is refused; returns bodies by the identifiers of messages. */
  private Map<String, String> send() throws Exception {
    Map<String, CompletableFuture<SendMessageResponse>> answers = new LinkedHashMap<>();
    CompletableFuture<SendMessageResponse> refused = null;
    for (int number = 0; number < CRATES; number++) {
      if (number == CRATES / 2)
        refused = manager.sendMessage(r -> r.queueUrl(url).messageBody("a crate for next week").delaySeconds(901));
      String weight = number % (CRATES / HEAVY) == 0 ? "#".repeat(KILOBYTES << 10) : "", body = "crate <" + number + "> & Söhne" + weight;
      MessageAttributeValue hall = MessageAttributeValue.builder().dataType("String").stringValue("north").build();
      answers.put(body, manager.sendMessage(r -> r.queueUrl(url).messageBody(body).messageAttributes(Map.of("hall", hall))));
    }
    same(code(refused), "InvalidParameterValue");
    Map<String, String> bodies = new LinkedHashMap<>();
    for (var answer : answers.entrySet()) bodies.put(answer.getValue().get(60, TimeUnit.SECONDS).messageId(), answer.getKey());
    same(bodies.size(), CRATES);
    return bodies;
  }

  /** Deletes by a receipt handle that nobody was given. */
  private void deleteOfNothing() throws Exception {
    same(code(manager.deleteMessage(r -> r.queueUrl(url).receiptHandle("no handle"))), "ReceiptHandleIsInvalid");
  }

  /** Receives until every one of these messages was there, each for the n-th time; returns them by identifier. */
  private Map<String, Message> receive(Set<String> wanted, String count) throws Exception {
    Map<String, Message> seen = new LinkedHashMap<>();
    for (int rounds = 0; rounds < 200 && seen.size() < wanted.size(); rounds++)
      for (Message message : manager.receiveMessage(r -> r.queueUrl(url)).get(60, TimeUnit.SECONDS).messages()) {
        same(message.attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT), count);
        same(seen.put(message.messageId(), message), null);
      }
    same(seen.keySet(), new HashSet<>(wanted));
    return seen;
  }

  /** Asks for something for each of these messages, all at once, and waits for the answers. */
  private void each(Set<String> ids, java.util.function.Function<String, CompletableFuture<?>> ask) throws Exception {
    List<CompletableFuture<?>> answers = new ArrayList<>();
    for (String id : ids) answers.add(ask.apply(id));
    for (CompletableFuture<?> answer : answers) answer.get(60, TimeUnit.SECONDS);
  }

  /** Returns the code of the error that an answer has to be. */
  private static String code(CompletableFuture<?> answer) throws Exception {
    try {
      throw new AssertionError(answer.get(60, TimeUnit.SECONDS) + " instead of an error");
    } catch (ExecutionException expected) {
      return ((SqsException) expected.getCause()).awsErrorDetails().errorCode();
    }
  }

  private static int asked(String operation) {
    return ASKED.getOrDefault(operation + "Request", new AtomicInteger()).get();
  }

  private static void between(int found, int least, int most) {
    if (found < least || found > most) throw new AssertionError(found + " is not from " + least + " to " + most);
  }

  private static void same(Object found, Object wanted) {
    if (!Objects.equals(found, wanted)) throw new AssertionError(found + " instead of " + wanted);
  }
}
