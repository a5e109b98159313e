// Letters in groups: a FIFO queue with receivers side by side, errors by their types, a move of dead letters.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	groups   = 4
	perGroup = 25
)

var (
	ctx    = context.Background()
	client *sqs.Client
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func check(holds bool, format string, values ...any) {
	if !holds {
		log.Fatalf(format, values...)
	}
}

func makeQueue(name string, attributes map[string]string) *string {
	return must(client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})).QueueUrl
}

func attribute(url *string, name types.QueueAttributeName) string {
	asked := &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{name}}
	return must(client.GetQueueAttributes(ctx, asked)).Attributes[string(name)]
}

// Sends all letters, each group by a sender of its own. The client checks digests of bodies and attributes.
func sendAll(url *string) {
	var senders sync.WaitGroup
	for group := range groups {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for number := range perGroup {
				must(client.SendMessage(ctx, &sqs.SendMessageInput{
					QueueUrl:               url,
					MessageBody:            aws.String(fmt.Sprintf("%d/%d ✉", group, number)),
					MessageGroupId:         aws.String(fmt.Sprint("street", group)),
					MessageDeduplicationId: aws.String(fmt.Sprintf("%d-%d", group, number)),
					MessageAttributes: map[string]types.MessageAttributeValue{
						"stamp": {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 255, byte(number)}},
						"cents": {DataType: aws.String("Number"), StringValue: aws.String("85")},
					},
				}))
			}
		}()
	}
	senders.Wait()
}

// Receives with several receivers side by side until all are there, and returns the numbers by group, as they came.
func receiveAll(url *string) [groups][]int {
	var (
		lock      sync.Mutex
		came      [groups][]int
		total     int
		receivers sync.WaitGroup
	)
	until := time.Now().Add(time.Minute)
	for range 3 {
		receivers.Add(1)
		go func() {
			defer receivers.Done()
			for {
				lock.Lock()
				done := total == groups*perGroup
				lock.Unlock()
				if done {
					return
				}
				check(time.Now().Before(until), "%d letters in time", total)
				got := must(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
					QueueUrl:                    url,
					MaxNumberOfMessages:         5,
					WaitTimeSeconds:             1,
					MessageAttributeNames:       []string{"stamp", "cen.*"},
					MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
				})).Messages
				if len(got) == 0 {
					continue
				}
				var entries []types.DeleteMessageBatchRequestEntry
				lock.Lock()
				for index, message := range got {
					var group, number int
					must(fmt.Sscanf(*message.Body, "%d/%d ✉", &group, &number))
					check(len(message.MessageAttributes) == 2, "attributes: %v", message.MessageAttributes)
					check(message.MessageAttributes["stamp"].BinaryValue[2] == byte(number), "another stamp")
					check(message.Attributes["MessageGroupId"] == fmt.Sprint("street", group), "another street")
					came[group] = append(came[group], number)
					total++
					id := aws.String(fmt.Sprint("letter", index))
					entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: id, ReceiptHandle: message.ReceiptHandle})
				}
				lock.Unlock()
				deleted := must(client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: entries}))
				check(len(deleted.Failed) == 0, "not deleted: %v", deleted.Failed)
			}
		}()
	}
	receivers.Wait()
	return came
}

// Receives a message too often, and has its dead letter moved back.
func deadLetters(name string) {
	dead := makeQueue(name+"-dead", nil)
	arn := attribute(dead, types.QueueAttributeNameQueueArn)
	redrive := fmt.Sprintf(`{"deadLetterTargetArn":"%s","maxReceiveCount":"1"}`, arn)
	live := makeQueue(name+"-live", map[string]string{"RedrivePolicy": redrive, "VisibilityTimeout": "0"})
	must(client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: live, MessageBody: aws.String("no such street")}))
	for until := time.Now().Add(30 * time.Second); attribute(dead, "ApproximateNumberOfMessages") != "1"; {
		check(time.Now().Before(until), "no dead letter")
		must(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: live}))
	}
	var sources []string
	pages := sqs.NewListDeadLetterSourceQueuesPaginator(client, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
	for pages.HasMorePages() {
		sources = append(sources, must(pages.NextPage(ctx)).QueueUrls...)
	}
	check(len(sources) == 1 && sources[0] == *live, "sources: %v", sources)
	task := must(client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn}))
	check(*task.TaskHandle != "", "no handle")
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		tasks := must(client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn})).Results
		if *tasks[0].Status == "COMPLETED" {
			check(tasks[0].ApproximateNumberOfMessagesMoved == 1, "moved: %v", tasks[0])
			break
		}
		check(time.Now().Before(until), "the task goes on: %v", *tasks[0].Status)
	}
	got := must(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: live, WaitTimeSeconds: 5})).Messages
	check(len(got) == 1 && *got[0].Body == "no such street", "not moved back: %v", got)
	for _, url := range []*string{dead, live} {
		must(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
	}
}

func refusals(name string, url *string) {
	var missing *types.QueueDoesNotExist
	_, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name + "-none")})
	check(errors.As(err, &missing), "not QueueDoesNotExist: %v", err)
	var exists *types.QueueNameExists
	asked := &sqs.CreateQueueInput{QueueName: aws.String(name + ".fifo"), Attributes: map[string]string{"FifoQueue": "true", "DelaySeconds": "7"}}
	_, err = client.CreateQueue(ctx, asked)
	check(errors.As(err, &exists), "not QueueNameExists: %v", err)
	var empty *types.EmptyBatchRequest
	_, err = client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}})
	check(errors.As(err, &empty), "not EmptyBatchRequest: %v", err)
	var handle *types.ReceiptHandleIsInvalid
	_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("nonsense")})
	check(errors.As(err, &handle), "not ReceiptHandleIsInvalid: %v", err)
	large := strings.Repeat("x", 1<<20)
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String(large + "x"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	})
	check(err != nil && strings.Contains(err.Error(), "1048576"), "too large, and taken: %v", err)
	must(client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: &large, MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	}))
}

func main() {
	client = sqs.NewFromConfig(must(config.LoadDefaultConfig(ctx)))
	name := os.Args[1]
	url := makeQueue(name+".fifo", map[string]string{"FifoQueue": "true", "VisibilityTimeout": "60"})
	sendAll(url)
	for group, numbers := range receiveAll(url) {
		for index, number := range numbers {
			check(index == number, "group %d in another order: %v", group, numbers)
		}
	}
	refusals(name, url)
	deadLetters(name)
	must(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
	fmt.Println("ok")
}
