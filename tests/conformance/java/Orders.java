// Orders through queues with the AWS SDK for Java, version 1, whose requests are forms and whose answers are XML.

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.sqs.AmazonSQS;
import com.amazonaws.services.sqs.AmazonSQSClientBuilder;
import com.amazonaws.services.sqs.model.*;
import java.nio.ByteBuffer;
import java.util.*;

public class Orders {
  public static void main(String[] arguments) {
    Map<String, String> given = System.getenv();
    BasicAWSCredentials credentials =
        new BasicAWSCredentials(given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY"));
    AmazonSQS client =
        AmazonSQSClientBuilder.standard()
            .withEndpointConfiguration(
                new EndpointConfiguration(given.get("AWS_ENDPOINT_URL"), given.get("AWS_DEFAULT_REGION")))
            .withCredentials(new AWSStaticCredentialsProvider(credentials))
            .build();
    String name = arguments[0];
    String url = client.createQueue(new CreateQueueRequest(name).addAttributesEntry("VisibilityTimeout", "30")).getQueueUrl();
    same(client.getQueueUrl(name).getQueueUrl(), url);
    same(client.listQueues(name).getQueueUrls(), List.of(url));

    // The client checks the digests of bodies and attributes by itself.
    String body = "<order id=\"7\">\r\n\tcafé & 😀</order>";
    Map<String, MessageAttributeValue> attributes =
        Map.of(
            "customer", new MessageAttributeValue().withDataType("String").withStringValue("Ada"),
            "amount", new MessageAttributeValue().withDataType("Number.int").withStringValue("42"),
            "seal", new MessageAttributeValue().withDataType("Binary").withBinaryValue(ByteBuffer.wrap(new byte[] {0, -1})));
    String id = client.sendMessage(new SendMessageRequest(url, body).withMessageAttributes(attributes)).getMessageId();
    ReceiveMessageRequest receive =
        new ReceiveMessageRequest(url).withWaitTimeSeconds(5).withMessageAttributeNames("All").withAttributeNames("All");
    Message message = client.receiveMessage(receive).getMessages().get(0);
    same(message.getMessageId(), id);
    same(message.getBody(), body);
    same(message.getMessageAttributes().keySet(), attributes.keySet());
    same(message.getMessageAttributes().get("seal").getBinaryValue().get(1), (byte) -1);
    same(message.getAttributes().get("ApproximateReceiveCount"), "1");
    client.changeMessageVisibility(url, message.getReceiptHandle(), 0);
    client.deleteMessage(url, client.receiveMessage(receive).getMessages().get(0).getReceiptHandle());

    List<SendMessageBatchRequestEntry> entries = new ArrayList<>();
    for (int number = 0; number < 10; number++) entries.add(new SendMessageBatchRequestEntry("e" + number, "order " + number));
    same(client.sendMessageBatch(url, entries).getSuccessful().size(), 10);
    List<DeleteMessageBatchRequestEntry> deletes = new ArrayList<>();
    while (deletes.size() < 10)
      for (Message one : client.receiveMessage(new ReceiveMessageRequest(url).withMaxNumberOfMessages(10)).getMessages())
        deletes.add(new DeleteMessageBatchRequestEntry("d" + deletes.size(), one.getReceiptHandle()));
    same(client.deleteMessageBatch(url, deletes).getFailed().size(), 0);

    client.tagQueue(url, Map.of("team", "orders"));
    same(client.listQueueTags(url).getTags(), Map.of("team", "orders"));
    client.deleteQueue(url);
    try {
      client.sendMessage(url, "too late");
      throw new AssertionError("a queue that was deleted took a message");
    } catch (QueueDoesNotExistException expected) {
      same(expected.getErrorCode(), "AWS.SimpleQueueService.NonExistentQueue");
      same(expected.getStatusCode(), 400);
    }
    System.out.println("ok");
  }

  private static void same(Object found, Object wanted) {
    if (!Objects.equals(found, wanted)) throw new AssertionError(found + " instead of " + wanted);
  }
}
