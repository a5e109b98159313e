package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// receiveMost is how many messages a consumer takes at once: the most that ReceiveMessage gives.
const receiveMost = 10

// message is what a producer sends. Its body begins with when it was sent, its group and its number in it.
type message struct {
	body  string
	group string
	id    string // what makes it another one than all others, for FIFO queues
}

// delivery is what a consumer was given.
type delivery struct {
	sent   time.Time
	group  string
	number int
	handle string // by which it is removed, where messages have handles
	tag    uint64 // the same, where they have tags
}

// producer sends messages over a connection of its own.
type producer interface {
	// send hands messages over, and says so when they are acknowledged, then or at a later call: at most a window of
	// messages is left open.
	send(messages []message, acknowledged func(count int, began time.Time)) error
	// finish waits for what is still open.
	finish(acknowledged func(count int, began time.Time)) error
	close()
}

// consumer is given messages over a connection of its own.
type consumer interface {
	// receive returns up to receiveMost messages, none where none came in time.
	receive() ([]delivery, error)
	// remove says that they are dealt with.
	remove(deliveries []delivery) error
	close()
}

// broker has a queue, which is made for one measurement.
type broker interface {
	createQueue(name string) error
	deleteQueue() error
	// newProducer returns a connected producer; window is how many messages may be open.
	newProducer(window int) (producer, error)
	// newConsumer returns a connected consumer; wait is how long a receive waits for its first message, by request.
	newConsumer(wait time.Duration) (consumer, error)
}

// queueLoad is what is done to a queue.
type queueLoad struct {
	workload    string
	connections int
	batch       int // messages in a request, or open at once
	bytes       int // of a body
	isFIFO      bool
	groups      int
	backlog     int
	plan        plan
}

// queueWorkloads are the kinds of load, by name.
var queueWorkloads = map[string]func(broker, queueLoad) (row, error){
	"send": measureSends, "drain": measureDrain, "deliver": measureDeliveries,
}

// loadQueue measures one workload on a queue of its own, which it makes and deletes.
func loadQueue(arguments []string) error {
	b, load, asJSON, err := parseQueue(arguments)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("load-%d", time.Now().UnixNano())
	if load.isFIFO {
		name += ".fifo"
	}
	if err := b.createQueue(name); err != nil {
		return err
	}
	result, err := queueWorkloads[load.workload](b, load)
	if gone := b.deleteQueue(); err == nil {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("%s: %w", load.workload, err)
	}
	if !asJSON {
		fmt.Println(rowHead)
	}
	return print(asJSON, result, result)
}

func parseQueue(arguments []string) (b broker, load queueLoad, asJSON bool, err error) {
	flags := flag.NewFlagSet("queue", flag.ContinueOnError)
	endpoint := flags.String("endpoint", "http://127.0.0.1:8000", "http://HOST:PORT of an SQS service, amqp://HOST:PORT of a broker")
	region := flags.String("region", "us-east-1", "region of the signatures")
	flags.StringVar(&load.workload, "workload", "send", "send, drain or deliver")
	flags.IntVar(&load.connections, "connections", 16, "how many; half of them send in deliver")
	flags.IntVar(&load.batch, "batch", 1, "send: messages in a request, 1 to 10; of a broker, how many may be unconfirmed")
	flags.IntVar(&load.bytes, "bytes", 256, "bytes of a body, 64 or more")
	flags.BoolVar(&load.isFIFO, "fifo", false, "a FIFO queue")
	flags.IntVar(&load.groups, "groups", 100, "message groups of a FIFO queue")
	flags.IntVar(&load.backlog, "backlog", 20_000, "drain: messages to put in first, again and again")
	rate := flags.Float64("rate", 100, "deliver: messages sent per second")
	seconds := flags.Float64("seconds", 5, "how long")
	warmUp := flags.Float64("warm-up", 1, "seconds of load before the clock starts")
	pids := flags.String("pid", "", "the server's process, for CPU and memory of it and its descendants")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	if err = flags.Parse(arguments); err != nil {
		return nil, load, false, err
	}
	load.plan = plan{warmUp: duration(*warmUp), length: duration(*seconds)}
	if load.workload == "deliver" {
		load.plan.rate = *rate
	}
	if load.plan.pids, err = integersOrNone(*pids); err != nil {
		return nil, load, false, fmt.Errorf("-pid: %w", err)
	}
	if err = load.check(); err != nil {
		return nil, load, false, err
	}
	b, err = newBroker(*endpoint, *region, load.isFIFO)
	return b, load, asJSON, err
}

func (l queueLoad) check() error {
	switch {
	case queueWorkloads[l.workload] == nil:
		return fmt.Errorf("unknown workload %q: it is send, drain or deliver", l.workload)
	case l.connections < 1 || l.workload == "deliver" && l.connections < 2:
		return errors.New("-connections is 1 or more, and 2 for deliver")
	case l.batch < 1 || l.batch > receiveMost:
		return fmt.Errorf("-batch is 1 to %d", receiveMost)
	case l.bytes < 64 || l.groups < 1 || l.backlog < 1:
		return errors.New("-bytes is 64 or more, -groups and -backlog 1 or more")
	case l.plan.length <= 0 || l.plan.warmUp < 0 || l.plan.rate < 0:
		return errors.New("-seconds is above 0, -warm-up and -rate are not below it")
	}
	return nil
}

// newBroker returns what an endpoint's scheme asks for.
func newBroker(endpoint, region string, isFIFO bool) (broker, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "amqp" && u.Port() != "" {
		if isFIFO {
			return nil, errors.New("a broker has no FIFO queues")
		}
		return &amqpBroker{address: u.Host}, nil
	}
	s, err := newServer(endpoint, region)
	if err != nil {
		return nil, err
	}
	return &sqsBroker{server: s, isFIFO: isFIFO}, nil
}

// writer makes up the messages of one producer, in groups that no other producer has.
type writer struct {
	load   queueLoad
	place  int // of the producer
	of     int // how many producers there are
	number int // of the last message
	run    string
	pad    string
}

func newWriter(load queueLoad, place, of int) *writer {
	run := strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(os.Getpid())
	return &writer{load: load, place: place, of: of, run: run, pad: strings.Repeat("A long text. ", load.bytes/13+1)}
}

// next returns so many messages; moment is when they count as sent.
func (w *writer) next(count int, moment time.Time) []message {
	messages := make([]message, count)
	own := (w.load.groups - w.place + w.of - 1) / w.of // of the groups
	for n := range messages {
		w.number++
		group := w.place
		if own > 0 {
			group += w.number % own * w.of
		}
		head := fmt.Sprintf("%d %d %d ", moment.UnixNano(), group, w.number)
		messages[n] = message{
			body:  head + w.pad[:w.load.bytes-len(head)],
			group: strconv.Itoa(group),
			id:    w.run + "-" + strconv.Itoa(w.place) + "-" + strconv.Itoa(w.number),
		}
	}
	return messages
}

// readBody returns what a body says of its message.
func readBody(body string) (delivery, error) {
	parts := strings.SplitN(body, " ", 4)
	if len(parts) < 4 {
		return delivery{}, errors.New("a body that nobody has sent")
	}
	moment, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return delivery{}, errors.New("a body that nobody has sent")
	}
	number, err := strconv.Atoi(parts[2])
	return delivery{sent: time.Unix(0, moment), group: parts[1], number: number}, err
}

// summariseQueue adds up what connections saw, over the time that was measured.
func summariseQueue(l queueLoad, tallies []*queueTally, elapsed time.Duration, before, after reading) row {
	r := row{
		Workload: l.workload, Connections: l.connections, RatePerSecond: l.plan.rate, Seconds: elapsed.Seconds(),
		ErrorKinds: map[string]int{}, OfConnectionMin: tallies[0].operations,
	}
	var all []time.Duration
	for _, t := range tallies {
		all = append(all, t.latencies...)
		r.Operations += t.operations
		r.Acknowledged += t.acknowledged
		r.OfConnectionMin = min(r.OfConnectionMin, t.operations)
		r.OfConnectionMax = max(r.OfConnectionMax, t.operations)
		for kind, count := range t.errors {
			r.ErrorKinds[kind] += count
			r.Errors += count
		}
	}
	slices.Sort(all)
	r.PerSecond = float64(r.Operations) / elapsed.Seconds()
	r.P50, r.P99, r.Max = quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1)
	r.GeneratorCPU = perOperation(after.own-before.own, r.Operations)
	if before.server != nil && after.server != nil && r.Operations > 0 {
		cpu := after.server.cpu - before.server.cpu
		perMessage, cores := perOperation(cpu, r.Operations), cpu.Seconds()/elapsed.Seconds()
		memory := float64(after.server.residentBytes) / (1 << 20)
		r.ServerCPU, r.ServerCores, r.ServerMemory = &perMessage, &cores, &memory
	}
	return r
}

// queueTally is what one connection saw.
type queueTally struct {
	latencies    []time.Duration
	operations   int // messages within the measured time
	acknowledged int // messages at any time
	errors       map[string]int
}

func newTallies(count int) []*queueTally {
	tallies := make([]*queueTally, count)
	for n := range tallies {
		tallies[n] = &queueTally{errors: map[string]int{}}
	}
	return tallies
}

// reading is what clocks and counters show at a moment.
type reading struct {
	moment time.Time
	server *usage
	own    time.Duration
}

func (p plan) read() reading { return reading{time.Now(), usageOf(p.pids), ownCPU()} }
