package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fillBatch is how many messages a request of a filling producer has.
	fillBatch = 10
	// idleMax is how long a consumer of a queue that should hold something waits for it.
	idleMax = 3 * time.Second
	// failuresMax is how many errors in a row a connection bears.
	failuresMax = 20
)

// measureSends has every connection send, the next messages when the last are acknowledged.
func measureSends(b broker, l queueLoad) (row, error) {
	producers, err := connectAll(l.connections, func() (producer, error) { return b.newProducer(l.batch) })
	if err != nil {
		return row{}, err
	}
	defer closeAll(producers)
	tallies := newTallies(l.connections)
	s := l.plan.schedule(time.Now())
	var workers sync.WaitGroup
	for n, p := range producers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			keepSending(p, newWriter(l, n, l.connections), s, tallies[n])
		}()
	}
	time.Sleep(time.Until(s.from))
	before := l.plan.read()
	time.Sleep(time.Until(s.end))
	after := l.plan.read()
	workers.Wait()
	return summariseQueue(l, tallies, l.plan.length, before, after), nil
}

// keepSending sends until the schedule ends.
func keepSending(p producer, w *writer, s *schedule, t *queueTally) {
	acknowledged := func(count int, began time.Time) {
		now := time.Now()
		t.acknowledged += count
		if s.counts(began, now) {
			t.operations += count
			t.latencies = append(t.latencies, now.Sub(began))
		}
	}
	failures := 0
	for now := time.Now(); now.Before(s.end) && failures < failuresMax; now = time.Now() {
		if err := p.send(w.next(w.load.batch, now), acknowledged); err != nil {
			t.errors[err.Error()]++
			failures++
		} else {
			failures = 0
		}
	}
	if err := p.finish(acknowledged); err != nil {
		t.errors[err.Error()]++
	}
}

// ---- drain -----------------------------------------------------------------------------------------------------------

// drain is one measurement of receiving and removing: the queue is filled and emptied again and again, and only the
// time of emptying counts, without the end of it, when some connections find nothing any more.
type drain struct {
	load    queueLoad
	broker  broker
	tallies []*queueTally
	order   *order
	writers []*writer
	elapsed time.Duration
	sum     [2]reading // before and after, each the sum over all rounds
}

func measureDrain(b broker, l queueLoad) (row, error) {
	d := &drain{load: l, broker: b, tallies: newTallies(l.connections), order: newOrder(l.groups)}
	d.sum[0].server, d.sum[1].server = &usage{}, &usage{}
	for n := range l.connections {
		d.writers = append(d.writers, newWriter(l, n, l.connections))
	}
	for d.elapsed < l.plan.length {
		if err := d.round(); err != nil {
			return row{}, err
		}
	}
	if len(l.plan.pids) == 0 || d.sum[1].server.residentBytes == 0 {
		d.sum[0].server = nil
	}
	return summariseQueue(l, d.tallies, d.elapsed, d.sum[0], d.sum[1]), nil
}

// round fills the queue and empties it, or as much of it as there is time for.
func (d *drain) round() error {
	l := d.load
	consumers, err := connectAll(l.connections, func() (consumer, error) { return d.broker.newConsumer(0) })
	if err != nil {
		return err
	}
	defer closeAll(consumers)
	if err := fillQueue(d.broker, l.backlog, d.writers); err != nil {
		return err
	}
	e := &emptying{drain: d, measured: measuredOf(l), before: l.plan.read(), over: make(chan struct{})}
	timer := time.AfterFunc(l.plan.length-d.elapsed, e.end)
	defer timer.Stop()
	var workers sync.WaitGroup
	for n, c := range consumers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			e.work(c, d.tallies[n])
		}()
	}
	workers.Wait()
	e.end()
	<-e.over
	d.elapsed += e.after.moment.Sub(e.before.moment)
	d.sum[0].add(e.before)
	d.sum[1].add(e.after)
	if removed := int(e.removed.Load()); removed == 0 || removed < l.backlog && !e.isCut.Load() {
		return fmt.Errorf("%d messages of %d came back: %v", removed, l.backlog, d.tallies[0].errors)
	}
	return nil
}

// measuredOf returns how many messages of a backlog have been removed when its end begins.
func measuredOf(l queueLoad) int { return max(l.backlog/2, l.backlog-2*receiveMost*l.connections) }

func (r *reading) add(other reading) {
	r.own += other.own
	if r.server != nil && other.server != nil {
		r.server.cpu += other.server.cpu
		r.server.residentBytes = other.server.residentBytes
	}
}

// emptying is one round of a drain.
type emptying struct {
	drain    *drain
	measured int // messages, after which the clock stops
	before   reading
	after    reading
	removed  atomic.Int64
	isCut    atomic.Bool // by the time
	isOver   atomic.Bool
	once     sync.Once
	over     chan struct{}
}

// end stops the clock.
func (e *emptying) end() {
	e.once.Do(func() {
		e.isOver.Store(true)
		if int(e.removed.Load()) < e.measured {
			e.isCut.Store(true)
		}
		e.after = e.drain.load.plan.read()
		close(e.over)
	})
}

// work receives and removes until nothing is left or the time is up.
func (e *emptying) work(c consumer, t *queueTally) {
	failures, last := 0, time.Now()
	for !e.isCut.Load() && int(e.removed.Load()) < e.drain.load.backlog && failures < failuresMax {
		began := time.Now()
		deliveries, err := c.receive()
		received := time.Now()
		if err == nil && len(deliveries) == 0 {
			if received.Sub(last) > idleMax {
				return
			}
			continue
		}
		if err == nil {
			last = received
			if e.drain.load.isFIFO {
				if faults := e.drain.order.faults(deliveries); faults > 0 {
					t.errors["out of order"] += faults
				}
			}
			err = c.remove(deliveries)
		}
		if err != nil {
			t.errors[err.Error()]++
			failures++
			continue
		}
		failures = 0
		if !e.isOver.Load() {
			t.operations += len(deliveries)
			t.latencies = append(t.latencies, received.Sub(began))
		}
		t.acknowledged += len(deliveries)
		if int(e.removed.Add(int64(len(deliveries)))) >= e.measured {
			e.end()
		}
	}
}

// fillQueue sends so many messages, as fast as it can.
func fillQueue(b broker, count int, writers []*writer) error {
	producers, err := connectAll(len(writers), func() (producer, error) { return b.newProducer(fillWindow) })
	if err != nil {
		return err
	}
	defer closeAll(producers)
	var taken atomic.Int64
	failed := make([]error, len(producers))
	var workers sync.WaitGroup
	for n, p := range producers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			ignore := func(int, time.Time) {}
			for failed[n] == nil {
				left := count - int(taken.Add(fillBatch)) + fillBatch
				if left <= 0 {
					break
				}
				failed[n] = p.send(writers[n].next(min(left, fillBatch), time.Now()), ignore)
			}
			failed[n] = errors.Join(failed[n], p.finish(ignore))
		}()
	}
	workers.Wait()
	return errors.Join(failed...)
}

// order knows the last number of each group of a FIFO queue.
type order struct {
	lock sync.Mutex
	last map[string]int
}

func newOrder(groups int) *order { return &order{last: make(map[string]int, groups)} }

// faults returns how many messages are not behind all that were received of their group before.
func (o *order) faults(deliveries []delivery) int {
	o.lock.Lock()
	defer o.lock.Unlock()
	count := 0
	for _, d := range deliveries {
		if d.number <= o.last[d.group] {
			count++
		}
		o.last[d.group] = max(o.last[d.group], d.number)
	}
	return count
}

// ---- deliver ---------------------------------------------------------------------------------------------------------

// measureDeliveries has half of the connections send at a rate while the others wait for messages; the latency is from
// the moment at which a message was sent until a consumer had it.
func measureDeliveries(b broker, l queueLoad) (row, error) {
	producers, err := connectAll(l.connections/2, func() (producer, error) { return b.newProducer(1) })
	if err != nil {
		return row{}, err
	}
	defer closeAll(producers)
	consumers, err := connectAll(l.connections-len(producers), func() (consumer, error) { return b.newConsumer(waitMax) })
	if err != nil {
		return row{}, err
	}
	defer closeAll(consumers)
	tallies := newTallies(l.connections)
	s := l.plan.schedule(time.Now().Add(waitersReady))
	var sending, receiving sync.WaitGroup
	var isOver atomic.Bool
	for n, c := range consumers {
		receiving.Add(1)
		go func() {
			defer receiving.Done()
			keepReceiving(c, s, &isOver, tallies[len(producers)+n])
		}()
	}
	time.Sleep(waitersReady)
	for n, p := range producers {
		sending.Add(1)
		go func() {
			defer sending.Done()
			sendAtRate(p, newWriter(l, n, len(producers)), s, tallies[n])
		}()
	}
	time.Sleep(time.Until(s.from))
	before := l.plan.read()
	time.Sleep(time.Until(s.end))
	after := l.plan.read()
	sending.Wait()
	time.Sleep(waitersReady) // for what is on its way
	isOver.Store(true)
	wakeAll(producers[0], newWriter(l, 0, 1), &receiving)
	r := summariseQueue(l, tallies, l.plan.length, before, after)
	r.Unsent = s.unsent()
	return r, nil
}

const (
	waitMax      = 20 * time.Second
	waitersReady = 300 * time.Millisecond
)

// sendAtRate sends a message whenever one is due. A message counts as sent when it was due where all were busy then.
func sendAtRate(p producer, w *writer, s *schedule, t *queueTally) {
	ignore := func(count int, _ time.Time) { t.acknowledged += count }
	for {
		asked := time.Now()
		due, more := s.next()
		if !more {
			return
		}
		if due.After(asked) {
			due = time.Now() // the sleep was longer than it should have been
		}
		if err := p.send(w.next(1, due), ignore); err != nil {
			t.errors[err.Error()]++
		}
	}
}

// keepReceiving receives and removes until it is over.
func keepReceiving(c consumer, s *schedule, isOver *atomic.Bool, t *queueTally) {
	for failures := 0; !isOver.Load() && failures < failuresMax; {
		deliveries, err := c.receive()
		now := time.Now()
		if isOver.Load() {
			return
		}
		if err == nil && len(deliveries) > 0 {
			for _, d := range deliveries {
				if s.counts(d.sent, now) {
					t.operations++
					t.latencies = append(t.latencies, now.Sub(d.sent))
				}
			}
			err = c.remove(deliveries)
		}
		if err != nil {
			t.errors[err.Error()]++
			failures++
		}
	}
}

// wakeAll sends messages until all who wait for one have ended.
func wakeAll(p producer, w *writer, receiving *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		receiving.Wait()
		close(ended)
	}()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if p.send(w.next(1, time.Now()), func(int, time.Time) {}) != nil {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ---- connections -----------------------------------------------------------------------------------------------------

type closer interface{ close() }

func connectAll[C closer](count int, connect func() (C, error)) ([]C, error) {
	var connected []C
	for range count {
		c, err := connect()
		if err != nil {
			closeAll(connected)
			return nil, err
		}
		connected = append(connected, c)
	}
	return connected, nil
}

func closeAll[C closer](connected []C) {
	for _, c := range connected {
		c.close()
	}
}
