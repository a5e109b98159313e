package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	sqsService = "sqs"
	sqsTarget  = "AmazonSQS."
	// hiddenSeconds is how long a received message is kept from others: longer than any measurement takes.
	hiddenSeconds = 600
)

// sqsBroker is an SQS service, spoken to in its JSON protocol.
type sqsBroker struct {
	server server
	isFIFO bool
	url    string
}

func (b *sqsBroker) createQueue(name string) error {
	attributes := map[string]string{"VisibilityTimeout": strconv.Itoa(hiddenSeconds)}
	if b.isFIFO {
		attributes["FifoQueue"] = "true"
	}
	var made struct{ QueueUrl string }
	if err := b.once("CreateQueue", map[string]any{"QueueName": name, "Attributes": attributes}, &made); err != nil {
		return err
	}
	b.url = made.QueueUrl
	return nil
}

func (b *sqsBroker) deleteQueue() error {
	return b.once("DeleteQueue", map[string]any{"QueueUrl": b.url}, nil)
}

func (b *sqsBroker) once(operation string, members map[string]any, result any) error {
	c := b.connect()
	defer c.close()
	body, err := json.Marshal(members)
	if err != nil {
		return err
	}
	got, err := c.call(operation, string(body))
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(got, result)
}

func (b *sqsBroker) connect() *sqsConnection {
	return &sqsConnection{
		broker: b, connection: connection{address: b.server.host}, begin: fmt.Sprintf(`{"QueueUrl":%q,`, b.url),
	}
}

func (b *sqsBroker) newProducer(int) (producer, error) { return b.connect(), nil }

func (b *sqsBroker) newConsumer(wait time.Duration) (consumer, error) {
	c := b.connect()
	c.receiveBody = fmt.Sprintf(`%s"MaxNumberOfMessages":%d,"WaitTimeSeconds":%d}`, c.begin, receiveMost, int(wait.Seconds()))
	return c, c.open()
}

// sqsConnection is a connection with what signing takes; it is a producer or a consumer.
type sqsConnection struct {
	connection
	broker      *sqsBroker
	begin       string // of every body
	receiveBody string
	day         string
	key         []byte // of that day
}

// call makes one request, and returns its answer where that is 200.
func (c *sqsConnection) call(operation, body string) ([]byte, error) {
	s, stamp := c.broker.server, stampOf(time.Now())
	if stamp[:8] != c.day {
		c.day, c.key = stamp[:8], s.signer.signingKey(stamp[:8], sqsService)
	}
	target := sqsTarget + operation
	authorization := s.signer.authorizationBy(c.key, sqsService, s.host, target, stamp, body)
	got, err := c.exchange(post(s.host, target, stamp, authorization, body))
	if err != nil {
		return nil, err
	}
	if got.status != 200 {
		return nil, errors.New(operation + ": " + fault(got, nil, workload{}))
	}
	return got.body, nil
}

func (c *sqsConnection) send(messages []message, acknowledged func(int, time.Time)) error {
	began := time.Now()
	if len(messages) == 1 {
		if _, err := c.call("SendMessage", c.begin+c.membersOf(messages[0])+"}"); err != nil {
			return err
		}
	} else {
		entries := make([]string, len(messages))
		for n, m := range messages {
			entries[n] = `{"Id":"` + strconv.Itoa(n) + `",` + c.membersOf(m) + "}"
		}
		if err := c.batch("SendMessageBatch", entries); err != nil {
			return err
		}
	}
	acknowledged(len(messages), began)
	return nil
}

func (c *sqsConnection) finish(func(int, time.Time)) error { return nil }

func (c *sqsConnection) membersOf(m message) string {
	text := `"MessageBody":"` + m.body + `"`
	if c.broker.isFIFO {
		text += `,"MessageGroupId":"` + m.group + `","MessageDeduplicationId":"` + m.id + `"`
	}
	return text
}

// batch makes a request about several entries, all of which have to succeed.
func (c *sqsConnection) batch(operation string, entries []string) error {
	got, err := c.call(operation, c.begin+`"Entries":[`+strings.Join(entries, ",")+"]}")
	if err != nil {
		return err
	}
	var told struct {
		Successful []struct{ Id string }
	}
	if err := json.Unmarshal(got, &told); err != nil {
		return err
	}
	if len(told.Successful) != len(entries) {
		return errors.New(operation + ": some entries failed")
	}
	return nil
}

func (c *sqsConnection) receive() ([]delivery, error) {
	got, err := c.call("ReceiveMessage", c.receiveBody)
	if err != nil {
		return nil, err
	}
	var told struct {
		Messages []struct{ Body, ReceiptHandle string }
	}
	if err := json.Unmarshal(got, &told); err != nil {
		return nil, err
	}
	deliveries := make([]delivery, len(told.Messages))
	for n, m := range told.Messages {
		if deliveries[n], err = readBody(m.Body); err != nil {
			return nil, err
		}
		deliveries[n].handle = m.ReceiptHandle
	}
	return deliveries, nil
}

func (c *sqsConnection) remove(deliveries []delivery) error {
	if len(deliveries) == 1 {
		_, err := c.call("DeleteMessage", c.begin+`"ReceiptHandle":"`+deliveries[0].handle+`"}`)
		return err
	}
	entries := make([]string, len(deliveries))
	for n, d := range deliveries {
		entries[n] = `{"Id":"` + strconv.Itoa(n) + `","ReceiptHandle":"` + d.handle + `"}`
	}
	return c.batch("DeleteMessageBatch", entries)
}
