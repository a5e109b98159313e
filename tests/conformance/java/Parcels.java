// Parcels in order with the AWS SDK for Java, version 2, which speaks JSON.

import java.net.URI;
import java.util.*;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.*;

public class Parcels {
  public static void main(String[] arguments) {
    try (SqsClient client =
        SqsClient.builder()
            .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL")))
            .region(Region.of(System.getenv("AWS_DEFAULT_REGION")))
            .httpClient(UrlConnectionHttpClient.create())
            .build()) {
      String name = arguments[0] + ".fifo";
      Map<QueueAttributeName, String> attributes =
          Map.of(
              QueueAttributeName.FIFO_QUEUE, "true",
              QueueAttributeName.DEDUPLICATION_SCOPE, "messageGroup",
              QueueAttributeName.FIFO_THROUGHPUT_LIMIT, "perMessageGroupId");
      String url = client.createQueue(request -> request.queueName(name).attributes(attributes)).queueUrl();

      List<String> numbers = new ArrayList<>();
      for (int number = 0; number < 20; number++) {
        String body = "parcel " + number, group = "van-" + number % 2, token = "token-" + number;
        MessageAttributeValue seal =
            MessageAttributeValue.builder().dataType("Binary").binaryValue(SdkBytes.fromByteArray(new byte[] {1, 2})).build();
        SendMessageResponse sent =
            client.sendMessage(
                request ->
                    request
                        .queueUrl(url)
                        .messageBody(body)
                        .messageGroupId(group)
                        .messageDeduplicationId(token)
                        .messageAttributes(Map.of("seal", seal)));
        numbers.add(sent.sequenceNumber());
      }
      same(new ArrayList<>(new TreeSet<>(numbers)), numbers);

      Map<String, List<String>> seen = new TreeMap<>();
      for (int rounds = 0; rounds < 50 && seen.values().stream().mapToInt(List::size).sum() < 20; rounds++) {
        List<Message> messages =
            client
                .receiveMessage(
                    request ->
                        request
                            .queueUrl(url)
                            .maxNumberOfMessages(3)
                            .waitTimeSeconds(1)
                            .messageAttributeNames("All")
                            .messageSystemAttributeNames(MessageSystemAttributeName.ALL))
                .messages();
        for (Message message : messages) {
          String group = message.attributes().get(MessageSystemAttributeName.MESSAGE_GROUP_ID);
          seen.computeIfAbsent(group, any -> new ArrayList<>()).add(message.body());
          same(message.messageAttributes().get("seal").binaryValue().asByteArray().length, 2);
          client.deleteMessage(request -> request.queueUrl(url).receiptHandle(message.receiptHandle()));
        }
      }
      for (int van = 0; van < 2; van++) {
        List<String> wanted = new ArrayList<>();
        for (int number = van; number < 20; number += 2) wanted.add("parcel " + number);
        same(seen.get("van-" + van), wanted);
      }

      same(client.listQueuesPaginator(request -> request.queueNamePrefix(name).maxResults(1)).queueUrls().stream().toList(), List.of(url));
      client.deleteQueue(request -> request.queueUrl(url));
      try {
        client.getQueueUrl(request -> request.queueName(name));
        throw new AssertionError("a queue that was deleted has a URL");
      } catch (QueueDoesNotExistException expected) {
        same(expected.awsErrorDetails().errorCode(), "AWS.SimpleQueueService.NonExistentQueue");
      }
    }
    System.out.println("ok");
  }

  private static void same(Object found, Object wanted) {
    if (!Objects.equals(found, wanted)) throw new AssertionError(found + " instead of " + wanted);
  }
}
