package main

import (
	"bufio"
	"encoding/binary"
	"net"
	"strconv"
	"testing"
	"time"
)

// tinyBroker speaks as much of AMQP as the generator does: one queue, whose messages it keeps in a channel.
func tinyBroker(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	messages := make(chan []byte, 10_000)
	go func() {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			go serveBroker(socket, messages)
		}
	}()
	return listener.Addr().String()
}

var simpleAnswers = map[uint32]uint32{
	connectionStartOK: connectionTune, connectionOpen: connectionOpenOK, channelOpen: channelOpenOK,
	queueDeclare: queueDeclareOK, queueDelete: queueDeleteOK, confirmSelect: confirmSelectOK, basicQos: basicQosOK,
	basicConsume: basicConsumeOK,
}

func serveBroker(socket net.Conn, messages chan []byte) {
	defer socket.Close()
	c := &amqpConnection{socket: socket, reader: bufio.NewReader(socket), writer: bufio.NewWriter(socket)}
	c.reader.Discard(len(amqpProtocol))
	c.method(0, connectionStart, new(amqpWriter))
	c.writer.Flush()
	var published uint64
	for {
		kind, payload, err := c.readFrame()
		if err != nil {
			return
		}
		switch kind {
		case frameBody:
			messages <- append([]byte(nil), payload...)
			published++
			if published%2 == 0 { // one confirm for two messages, where two are open
				c.method(1, basicAck, new(amqpWriter).longLong(published).octet(acknowledgeUpTo))
			} else if c.reader.Buffered() == 0 {
				c.method(1, basicAck, new(amqpWriter).longLong(published).octet(0))
			}
		case frameMethod:
			method := binary.BigEndian.Uint32(payload)
			if answer, known := simpleAnswers[method]; known {
				c.method(1, answer, new(amqpWriter))
			}
			if method == basicConsume {
				deliverAll(c, messages)
			}
		}
		c.writer.Flush()
	}
}

func deliverAll(c *amqpConnection, messages chan []byte) {
	for tag := uint64(1); len(messages) > 0; tag++ {
		body := <-messages
		c.method(1, basicDeliver, new(amqpWriter).text("me").longLong(tag).octet(0).text("").text("q"))
		c.frame(frameHeader, 1, new(amqpWriter).short(60).short(0).longLong(uint64(len(body))).short(0).bytes)
		c.frame(frameBody, 1, body[:len(body)/2])
		c.frame(frameBody, 1, body[len(body)/2:])
	}
}

func TestMessagesAreConfirmedAndDelivered(t *testing.T) {
	b := &amqpBroker{address: tinyBroker(t)}
	if err := b.createQueue("q"); err != nil {
		t.Fatal(err)
	}
	p, err := b.newProducer(4)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	confirmed := 0
	count := func(n int, began time.Time) { confirmed += n }
	w := newWriter(plain("send"), 0, 1)
	for range 3 {
		if err := p.send(w.next(10, time.Now()), count); err != nil {
			t.Fatal(err)
		}
		if open := w.number - confirmed; open > 4 {
			t.Fatalf("%d messages are open", open)
		}
	}
	if err := p.finish(count); err != nil || confirmed != 30 {
		t.Fatalf("%d confirmed, %v", confirmed, err)
	}
	c, err := b.newConsumer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for number := 1; number <= 30; {
		deliveries, err := c.receive()
		if err != nil || len(deliveries) == 0 || len(deliveries) > receiveMost {
			t.Fatalf("%d deliveries, %v", len(deliveries), err)
		}
		for _, d := range deliveries {
			if d.number != number || d.tag != uint64(number) || d.group != strconv.Itoa(number%10) {
				t.Fatalf("%+v instead of %d", d, number)
			}
			number++
		}
		if err := c.remove(deliveries); err != nil {
			t.Fatal(err)
		}
	}
	if deliveries, err := c.receive(); err != nil || len(deliveries) > 0 {
		t.Fatalf("%v, %v", deliveries, err)
	}
}

func TestAConfirmOfAnEarlierMessageMayComeLater(t *testing.T) {
	c := &amqpConnection{open: make([]time.Time, 3), early: map[uint64]bool{}}
	confirmed := 0
	count := func(n int, _ time.Time) { confirmed += n }
	ours, theirs := net.Pipe()
	c.socket, c.reader, c.writer = ours, bufio.NewReader(ours), bufio.NewWriter(ours)
	go func() {
		broker := &amqpConnection{writer: bufio.NewWriter(theirs)}
		for _, tag := range []uint64{2, 1, 3} {
			broker.method(1, basicAck, new(amqpWriter).longLong(tag).octet(0))
		}
		broker.writer.Flush()
	}()
	for _, want := range []int{0, 2, 3} {
		if err := c.readConfirm(count); err != nil || confirmed != want {
			t.Fatalf("%d confirmed instead of %d, %v", confirmed, want, err)
		}
	}
}
