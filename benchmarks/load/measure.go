package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// plan says how long and how fast requests are sent.
type plan struct {
	warmUp, length time.Duration
	rate           float64 // offered per second; 0: the next request when the last one is answered
	pids           []int   // the servers' processes, where they are known
	storePids      []int   // those of the store below the servers, likewise
}

// schedule gives out the moments at which requests are due, to whichever connection is free.
type schedule struct {
	start, from, end time.Time
	interval         time.Duration // 0 in a closed loop
	taken            atomic.Int64
}

func (p plan) schedule(now time.Time) *schedule {
	s := &schedule{start: now, from: now.Add(p.warmUp), end: now.Add(p.warmUp + p.length)}
	if p.rate > 0 {
		s.interval = duration(1 / p.rate)
	}
	return s
}

// next waits for the next request's moment and returns it, or false when the time is up. At a rate the moment is the
// planned one even when every connection was busy then, so that waiting counts as part of the latency.
func (s *schedule) next() (time.Time, bool) {
	now := time.Now()
	if s.interval == 0 || now.After(s.end) {
		return now, now.Before(s.end)
	}
	due := s.start.Add(time.Duration(s.taken.Add(1)-1) * s.interval)
	if !due.Before(s.end) {
		return due, false
	}
	time.Sleep(time.Until(due))
	return due, true
}

// unsent is how many requests were due but never sent, because every connection was busy until the end.
func (s *schedule) unsent() int {
	if s.interval == 0 {
		return 0
	}
	return max(0, int(s.end.Sub(s.start)/s.interval)-int(s.taken.Load()))
}

// counts says whether a request belongs to the measured time: at a rate by the moment at which it was due, else by that
// of its answer, so that a server whose answers take longer than the measurement still gets its share.
func (s *schedule) counts(due, done time.Time) bool {
	if s.interval == 0 {
		return !done.Before(s.from) && !done.After(s.end)
	}
	return !due.Before(s.from)
}

// tally is what one connection saw.
type tally struct {
	latencies    []time.Duration // of right answers that count
	errors       map[string]int  // other answers that count
	acknowledged int             // right answers at any time
}

// work sends the ring round and round until the schedule ends.
func work(c *connection, ring [][]byte, w workload, s *schedule) tally {
	t := tally{errors: map[string]int{}}
	for i := 0; ; i++ {
		due, more := s.next()
		if !more {
			return t
		}
		got, err := c.exchange(ring[i%len(ring)])
		done := time.Now()
		problem := fault(got, err, w)
		if problem == "" {
			t.acknowledged++
		}
		switch {
		case !s.counts(due, done):
		case problem == "":
			t.latencies = append(t.latencies, done.Sub(due))
		default:
			t.errors[problem]++
		}
	}
}

// fault names what is wrong with an answer; "" where it is right.
func fault(got answer, err error, w workload) string {
	switch {
	case err != nil:
		return err.Error()
	case got.status != 200:
		var failure struct {
			Type string `json:"__type"`
		}
		json.Unmarshal(got.body, &failure)
		return fmt.Sprint(got.status, " ", failure.Type[1+bytes.LastIndexByte([]byte(failure.Type), '#'):])
	case len(got.body) < w.answerBytesMin:
		return fmt.Sprintf("an answer of %d bytes, too short to be right", len(got.body))
	case w.name == "batch" && bytes.Contains(got.body, []byte(`"PutRequest"`)):
		return "unprocessed items"
	}
	return ""
}

// measure puts one workload on the servers, which take the connections in turns, and returns what was seen.
func measure(servers []server, d dataset, w workload, connections int, p plan) (row, error) {
	rings := make([][][]byte, connections)
	now := time.Now()
	for n := range rings {
		var err error
		if rings[n], err = w.ring(servers[n%len(servers)], d, n, connections, now); err != nil {
			return row{}, err
		}
	}
	before, err := counted(servers[0], d, w, connections)
	if err != nil {
		return row{}, err
	}
	schedule := p.schedule(time.Now())
	tallies := make([]tally, connections)
	var workers sync.WaitGroup
	for n := range connections {
		workers.Add(1)
		go func() {
			defer workers.Done()
			c := &connection{address: servers[n%len(servers)].host}
			defer c.close()
			tallies[n] = work(c, rings[n], w, schedule)
		}()
	}
	time.Sleep(time.Until(schedule.from))
	serverBefore, storeBefore, ownBefore := usageOf(p.pids), usageOf(p.storePids), ownCPU()
	time.Sleep(time.Until(schedule.end))
	serverAfter, storeAfter, ownAfter := usageOf(p.pids), usageOf(p.storePids), ownCPU()
	workers.Wait()
	after, err := counted(servers[0], d, w, connections)
	if err != nil {
		return row{}, err
	}
	r := summarise(tallies, p.length)
	r.Workload, r.Connections, r.RatePerSecond, r.Seconds = w.name, connections, p.rate, p.length.Seconds()
	r.Unsent, r.Acknowledged = schedule.unsent(), acknowledged(tallies)
	r.GeneratorCPU = perOperation(ownAfter-ownBefore, r.Operations)
	if serverBefore != nil && serverAfter != nil {
		cpu := serverAfter.cpu - serverBefore.cpu
		perOp, cores := perOperation(cpu, r.Operations), cpu.Seconds()/p.length.Seconds()
		memory := float64(serverAfter.residentBytes) / (1 << 20)
		r.ServerCPU, r.ServerCores, r.ServerMemory = &perOp, &cores, &memory
	}
	if storeBefore != nil && storeAfter != nil {
		perOp := perOperation(storeAfter.cpu-storeBefore.cpu, r.Operations)
		r.StoreCPU = &perOp
	}
	if w.counter != nil {
		r.LostUpdates = acknowledged(tallies) - (after - before)
	}
	return r, nil
}

// counted returns the sum of the counters that the workload increments.
func counted(s server, d dataset, w workload, connections int) (int, error) {
	if w.counter == nil {
		return 0, nil
	}
	names := map[string]bool{}
	for n := range connections {
		names[w.counter(n)] = true
	}
	c := &connection{address: s.host}
	defer c.close()
	sum := 0
	for name := range names {
		var got struct {
			Item struct {
				Hits struct{ N string } `json:"hits"`
			}
		}
		body := fmt.Sprintf(`{"TableName":%q,"Key":%s,"ConsistentRead":true}`, d.table, counterKey(name))
		if err := call(c, s, "GetItem", body, &got); err != nil {
			return 0, err
		}
		hits, _ := strconv.Atoi(got.Item.Hits.N) // an absent counter is 0
		sum += hits
	}
	return sum, nil
}

func acknowledged(tallies []tally) int {
	sum := 0
	for _, t := range tallies {
		sum += t.acknowledged
	}
	return sum
}

func summarise(tallies []tally, length time.Duration) row {
	r := row{ErrorKinds: map[string]int{}, OfConnectionMin: len(tallies[0].latencies)}
	var all []time.Duration
	for _, t := range tallies {
		all = append(all, t.latencies...)
		r.OfConnectionMin = min(r.OfConnectionMin, len(t.latencies))
		r.OfConnectionMax = max(r.OfConnectionMax, len(t.latencies))
		for kind, count := range t.errors {
			r.ErrorKinds[kind] += count
			r.Errors += count
		}
	}
	slices.Sort(all)
	r.Operations = len(all)
	r.PerSecond = float64(len(all)) / length.Seconds()
	r.P50, r.P99, r.Max = quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1)
	return r
}

// quantile returns milliseconds: the least value that a share q of the sorted latencies does not exceed.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := int(q*float64(len(sorted))+0.999999) - 1
	return float64(sorted[min(max(at, 0), len(sorted)-1)]) / float64(time.Millisecond)
}

// perOperation returns microseconds.
func perOperation(cpu time.Duration, operations int) float64 {
	if operations == 0 {
		return 0
	}
	return float64(cpu.Microseconds()) / float64(operations)
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// row is one measurement, as it is printed.
type row struct {
	Workload        string         `json:"workload"`
	Connections     int            `json:"connections"`
	RatePerSecond   float64        `json:"rate_per_s"` // 0 in a closed loop
	Seconds         float64        `json:"seconds"`
	Operations      int            `json:"operations"`
	Acknowledged    int            `json:"acknowledged"` // at any time
	PerSecond       float64        `json:"operations_per_s"`
	P50             float64        `json:"p50_ms"`
	P99             float64        `json:"p99_ms"`
	Max             float64        `json:"max_ms"`
	Errors          int            `json:"errors"`
	ErrorKinds      map[string]int `json:"error_kinds"`
	Unsent          int            `json:"unsent"`
	LostUpdates     int            `json:"lost_updates"`
	OfConnectionMin int            `json:"operations_of_connection_min"`
	OfConnectionMax int            `json:"operations_of_connection_max"`
	ServerCPU       *float64       `json:"server_cpu_us"` // per operation
	ServerCores     *float64       `json:"server_cores"`
	ServerMemory    *float64       `json:"server_memory_mib"`
	StoreCPU        *float64       `json:"store_cpu_us"` // per operation
	GeneratorCPU    float64        `json:"generator_cpu_us"`
}

const rowHead = "workload     connections      ops/s   p50 ms   p99 ms   max ms  errors  CPU µs/op  memory MiB"

func (r row) String() string {
	text := fmt.Sprintf("%-12s %11d %10.0f %8.2f %8.2f %8.1f %7d %10s %11s", r.Workload, r.Connections, r.PerSecond,
		r.P50, r.P99, r.Max, r.Errors, optional(r.ServerCPU), optional(r.ServerMemory))
	if r.Errors > 0 {
		text += fmt.Sprint("  ", r.ErrorKinds)
	}
	if r.LostUpdates != 0 {
		text += fmt.Sprintf("  %d updates lost", r.LostUpdates)
	}
	return text
}

func optional(figure *float64) string {
	if figure == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", *figure)
}
