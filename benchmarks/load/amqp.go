package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// What is used of AMQP 0-9-1 and of RabbitMQ's publisher confirms (https://www.rabbitmq.com/amqp-0-9-1-reference.html):
// methods, as class and number.
const (
	connectionStart   = 10<<16 | 10
	connectionStartOK = 10<<16 | 11
	connectionTune    = 10<<16 | 30
	connectionTuneOK  = 10<<16 | 31
	connectionOpen    = 10<<16 | 40
	connectionOpenOK  = 10<<16 | 41
	channelOpen       = 20<<16 | 10
	channelOpenOK     = 20<<16 | 11
	queueDeclare      = 50<<16 | 10
	queueDeclareOK    = 50<<16 | 11
	queueDelete       = 50<<16 | 40
	queueDeleteOK     = 50<<16 | 41
	basicQos          = 60<<16 | 10
	basicQosOK        = 60<<16 | 11
	basicConsume      = 60<<16 | 20
	basicConsumeOK    = 60<<16 | 21
	basicPublish      = 60<<16 | 40
	basicDeliver      = 60<<16 | 60
	basicAck          = 60<<16 | 80
	confirmSelect     = 85<<16 | 10
	confirmSelectOK   = 85<<16 | 11
)

const (
	frameMethod, frameHeader, frameBody = 1, 2, 3
	frameEnd                            = 0xCE
	frameBytesMax                       = 128 << 10

	durable          = 2      // of queueDeclare
	persistent       = 2      // delivery mode
	hasDeliveryMode  = 0x1000 // of a content header
	acknowledgeUpTo  = 1      // of basicAck: the tag and all before it
	prefetch         = 100    // messages on their way to a consumer
	amqpReceiveWait  = 200 * time.Millisecond
	amqpUser         = "\x00guest\x00guest"
	amqpProtocol     = "AMQP\x00\x00\x09\x01"
	publishingClass  = 60
	openChannel      = 1
	channelsMax      = 1
	wholeConnection  = 0
	fillWindow       = 100
	singleFrameBytes = frameBytesMax - 8
)

// amqpBroker is a broker that speaks AMQP 0-9-1; its queue is durable, as all messages are.
type amqpBroker struct {
	address string
	queue   string
}

func (b *amqpBroker) createQueue(name string) error {
	b.queue = name
	declaration := new(amqpWriter).short(0).text(name).octet(durable).table()
	return b.once(queueDeclare, declaration, queueDeclareOK)
}

func (b *amqpBroker) deleteQueue() error {
	return b.once(queueDelete, new(amqpWriter).short(0).text(b.queue).octet(0), queueDeleteOK)
}

func (b *amqpBroker) once(method uint32, arguments *amqpWriter, answer uint32) error {
	c, err := b.connect()
	if err != nil {
		return err
	}
	defer c.close()
	return c.ask(method, arguments, answer)
}

func (b *amqpBroker) newProducer(window int) (producer, error) {
	c, err := b.connect()
	if err == nil {
		c.window = window
		err = c.ask(confirmSelect, new(amqpWriter).octet(0), confirmSelectOK)
	}
	return c, err
}

func (b *amqpBroker) newConsumer(time.Duration) (consumer, error) {
	c, err := b.connect()
	if err == nil {
		err = c.ask(basicQos, new(amqpWriter).long(0).short(prefetch).octet(0), basicQosOK)
	}
	return c, err
}

// connect returns a connection with a channel.
func (b *amqpBroker) connect() (*amqpConnection, error) {
	socket, err := net.Dial("tcp", b.address)
	if err != nil {
		return nil, err
	}
	c := &amqpConnection{
		broker: b, socket: socket, reader: bufio.NewReaderSize(socket, 64<<10), writer: bufio.NewWriterSize(socket, 64<<10),
	}
	if err := c.greet(); err != nil {
		socket.Close()
		return nil, err
	}
	return c, nil
}

// amqpConnection is a connection with one channel; it is a producer or a consumer.
type amqpConnection struct {
	broker     *amqpBroker
	socket     net.Conn
	reader     *bufio.Reader
	writer     *bufio.Writer
	payload    []byte
	window     int
	published  uint64      // the tag of the last message
	confirmed  uint64      // all up to this tag are
	open       []time.Time // when those behind it were published
	early      map[uint64]bool
	isConsumer bool
}

func (c *amqpConnection) greet() error {
	c.socket.SetDeadline(time.Now().Add(patience))
	c.writer.WriteString(amqpProtocol)
	start := new(amqpWriter).table().text("PLAIN").longText(amqpUser).text("en_US")
	tune := new(amqpWriter).short(channelsMax).long(frameBytesMax).short(0)
	host := new(amqpWriter).text("/").text("").octet(0)
	if err := c.expect(connectionStart); err != nil {
		return err
	}
	c.method(wholeConnection, connectionStartOK, start)
	if err := c.expect(connectionTune); err != nil {
		return err
	}
	c.method(wholeConnection, connectionTuneOK, tune)
	c.method(wholeConnection, connectionOpen, host)
	if err := c.expect(connectionOpenOK); err != nil {
		return err
	}
	return c.ask(channelOpen, new(amqpWriter).text(""), channelOpenOK)
}

func (c *amqpConnection) ask(method uint32, arguments *amqpWriter, answer uint32) error {
	c.socket.SetDeadline(time.Now().Add(patience))
	c.method(openChannel, method, arguments)
	return c.expect(answer)
}

// expect sends what is to be sent, and reads an answer.
func (c *amqpConnection) expect(answer uint32) error {
	if err := c.writer.Flush(); err != nil {
		return err
	}
	method, _, err := c.readMethod()
	if err == nil && method != answer {
		err = fmt.Errorf("method %d.%d instead of %d.%d", method>>16, method&0xFFFF, answer>>16, answer&0xFFFF)
	}
	return err
}

func (c *amqpConnection) frame(kind byte, channel uint16, payload []byte) {
	var head [7]byte
	head[0] = kind
	binary.BigEndian.PutUint16(head[1:], channel)
	binary.BigEndian.PutUint32(head[3:], uint32(len(payload)))
	c.writer.Write(head[:])
	c.writer.Write(payload)
	c.writer.WriteByte(frameEnd) // an error stays with the writer until it is flushed
}

func (c *amqpConnection) method(channel uint16, method uint32, arguments *amqpWriter) {
	c.frame(frameMethod, channel, append(new(amqpWriter).long(method).bytes, arguments.bytes...))
}

// readFrame returns a frame; its payload is good until the next one.
func (c *amqpConnection) readFrame() (kind byte, payload []byte, err error) {
	var head [7]byte
	if _, err := io.ReadFull(c.reader, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(head[3:])) + 1
	if size > frameBytesMax {
		return 0, nil, errors.New("a frame that is too long, or no AMQP")
	}
	if cap(c.payload) < size {
		c.payload = make([]byte, size)
	}
	c.payload = c.payload[:size]
	if _, err := io.ReadFull(c.reader, c.payload); err != nil {
		return 0, nil, err
	}
	if c.payload[size-1] != frameEnd {
		return 0, nil, errors.New("a frame without its end")
	}
	return head[0], c.payload[:size-1], nil
}

func (c *amqpConnection) readMethod() (uint32, []byte, error) {
	kind, payload, err := c.readFrame()
	if err != nil {
		return 0, nil, err
	}
	if kind != frameMethod || len(payload) < 4 {
		return 0, nil, fmt.Errorf("a frame of kind %d instead of a method", kind)
	}
	return binary.BigEndian.Uint32(payload), payload[4:], nil
}

func (c *amqpConnection) close() { c.socket.Close() }

// ---- sending ---------------------------------------------------------------------------------------------------------

func (c *amqpConnection) send(messages []message, acknowledged func(int, time.Time)) error {
	for _, m := range messages {
		for len(c.open) >= c.window {
			if err := c.readConfirm(acknowledged); err != nil {
				return err
			}
		}
		if len(m.body) > singleFrameBytes {
			return errors.New("a body that does not fit into a frame")
		}
		c.method(openChannel, basicPublish, new(amqpWriter).short(0).text("").text(c.broker.queue).octet(0))
		header := new(amqpWriter).short(publishingClass).short(0).longLong(uint64(len(m.body))).short(hasDeliveryMode)
		c.frame(frameHeader, openChannel, header.octet(persistent).bytes)
		c.frame(frameBody, openChannel, []byte(m.body))
		c.published++
		c.open = append(c.open, time.Now())
	}
	if c.window == 1 {
		return c.finish(acknowledged)
	}
	return nil
}

func (c *amqpConnection) finish(acknowledged func(int, time.Time)) error {
	for len(c.open) > 0 {
		if err := c.readConfirm(acknowledged); err != nil {
			return err
		}
	}
	return nil
}

// readConfirm sends what is to be sent, and takes in one confirm, which may be for several messages.
func (c *amqpConnection) readConfirm(acknowledged func(int, time.Time)) error {
	if c.writer.Buffered() > 0 {
		if err := c.writer.Flush(); err != nil {
			return err
		}
	}
	c.socket.SetReadDeadline(time.Now().Add(patience))
	method, arguments, err := c.readMethod()
	if err != nil {
		return err
	}
	if method != basicAck || len(arguments) < 9 {
		return fmt.Errorf("method %d.%d instead of a confirm", method>>16, method&0xFFFF)
	}
	tag, upTo := binary.BigEndian.Uint64(arguments), arguments[8]&acknowledgeUpTo != 0
	if !upTo && tag != c.confirmed+1 {
		if c.early == nil {
			c.early = map[uint64]bool{}
		}
		c.early[tag] = true
		return nil
	}
	c.confirm(tag, acknowledged)
	for c.early[c.confirmed+1] {
		delete(c.early, c.confirmed+1)
		c.confirm(c.confirmed+1, acknowledged)
	}
	return nil
}

// confirm counts all messages up to a tag as acknowledged.
func (c *amqpConnection) confirm(tag uint64, acknowledged func(int, time.Time)) {
	for c.confirmed < tag && len(c.open) > 0 {
		c.confirmed++
		acknowledged(1, c.open[0])
		c.open = c.open[:copy(c.open, c.open[1:])]
	}
}

// ---- receiving -------------------------------------------------------------------------------------------------------

func (c *amqpConnection) receive() ([]delivery, error) {
	if !c.isConsumer {
		consume := new(amqpWriter).short(0).text(c.broker.queue).text("").octet(0).table()
		c.isConsumer = true
		if err := c.ask(basicConsume, consume, basicConsumeOK); err != nil {
			return nil, err
		}
	}
	if c.writer.Buffered() > 0 {
		if err := c.writer.Flush(); err != nil {
			return nil, err
		}
	}
	var deliveries []delivery
	for len(deliveries) == 0 || len(deliveries) < receiveMost && c.reader.Buffered() > 0 {
		c.socket.SetReadDeadline(time.Now().Add(amqpReceiveWait))
		if _, err := c.reader.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			return deliveries, nil
		}
		c.socket.SetReadDeadline(time.Now().Add(patience))
		d, err := c.readDelivery()
		if err != nil {
			return nil, err
		}
		deliveries = append(deliveries, d)
	}
	return deliveries, nil
}

// readDelivery reads a message: its method, its header and its body.
func (c *amqpConnection) readDelivery() (delivery, error) {
	method, arguments, err := c.readMethod()
	if err != nil {
		return delivery{}, err
	}
	if method != basicDeliver || len(arguments) < 1 || len(arguments) < int(arguments[0])+9 {
		return delivery{}, fmt.Errorf("method %d.%d instead of a message", method>>16, method&0xFFFF)
	}
	tag := binary.BigEndian.Uint64(arguments[1+arguments[0]:])
	kind, header, err := c.readFrame()
	if err != nil {
		return delivery{}, err
	}
	if kind != frameHeader || len(header) < 12 {
		return delivery{}, errors.New("a message without a header")
	}
	size := int(binary.BigEndian.Uint64(header[4:]))
	var body bytes.Buffer
	for body.Len() < size {
		_, part, err := c.readFrame()
		if err != nil {
			return delivery{}, err
		}
		body.Write(part)
	}
	d, err := readBody(body.String())
	d.tag = tag
	return d, err
}

func (c *amqpConnection) remove(deliveries []delivery) error {
	last := deliveries[len(deliveries)-1].tag
	c.method(openChannel, basicAck, new(amqpWriter).longLong(last).octet(acknowledgeUpTo))
	return c.writer.Flush()
}

// ---- arguments -------------------------------------------------------------------------------------------------------

// amqpWriter puts the arguments of a method together.
type amqpWriter struct{ bytes []byte }

func (w *amqpWriter) octet(value byte) *amqpWriter {
	w.bytes = append(w.bytes, value)
	return w
}

func (w *amqpWriter) short(value uint16) *amqpWriter {
	w.bytes = binary.BigEndian.AppendUint16(w.bytes, value)
	return w
}

func (w *amqpWriter) long(value uint32) *amqpWriter {
	w.bytes = binary.BigEndian.AppendUint32(w.bytes, value)
	return w
}

func (w *amqpWriter) longLong(value uint64) *amqpWriter {
	w.bytes = binary.BigEndian.AppendUint64(w.bytes, value)
	return w
}

// text appends a short string, of 255 bytes at the most.
func (w *amqpWriter) text(value string) *amqpWriter {
	w.bytes = append(append(w.bytes, byte(len(value))), value...)
	return w
}

func (w *amqpWriter) longText(value string) *amqpWriter {
	w.long(uint32(len(value)))
	w.bytes = append(w.bytes, value...)
	return w
}

// table appends an empty table.
func (w *amqpWriter) table() *amqpWriter { return w.long(0) }
