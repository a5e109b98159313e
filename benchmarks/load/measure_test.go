package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop is a server that knows counters and one kind of error.
type shop struct {
	mutex    sync.Mutex
	hits     map[string]int
	refuse   bool // every second write
	forget   bool // acknowledge increments without counting them
	delay    time.Duration
	requests int
}

var counterName = regexp.MustCompile(`counter-(\w+)`)

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	counter := string(counterName.Find(body))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetItem") {
		fmt.Fprintf(w, `{"Item":{"hits":{"N":"%d"}}}`, s.hits[counter])
		return
	}
	time.Sleep(s.delay)
	s.requests++
	if s.refuse && s.requests%2 == 0 {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}`)
		return
	}
	if !s.forget {
		s.hits[counter]++
	}
	fmt.Fprint(w, `{}`)
}

func measured(t *testing.T, s *shop, name string, connections int, p plan) row {
	s.hits = map[string]int{}
	listening := httptest.NewServer(s)
	defer listening.Close()
	chosen, err := workloadsNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	target := server{host: strings.TrimPrefix(listening.URL, "http://"), signer: signer{"id", "secret", "us-east-1"}}
	got, err := measure([]server{target}, dataset{table: "load", items: 10_000}, chosen[0], connections, p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestClosedLoopCountsEveryAnswer(t *testing.T) {
	got := measured(t, &shop{}, "own", 4, plan{length: 500 * time.Millisecond, pids: []int{os.Getpid()}, storePids: []int{os.Getpid()}})
	if got.Operations == 0 || got.Errors != 0 || got.LostUpdates != 0 || got.OfConnectionMin == 0 {
		t.Fatalf("%+v", got)
	}
	if got.P50 <= 0 || got.P50 > got.P99 || got.P99 > got.Max || got.Max > 10_000 {
		t.Fatalf("%+v", got)
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil && (*got.ServerMemory < 1 || *got.ServerCPU < 0) {
		t.Fatalf("memory %v MiB, CPU %v µs", *got.ServerMemory, *got.ServerCPU)
	}
}

func TestErrorsAreCountedByTheirNames(t *testing.T) {
	got := measured(t, &shop{refuse: true}, "hot", 3, plan{length: 500 * time.Millisecond})
	if got.Errors == 0 || got.ErrorKinds["400 ThrottlingException"] != got.Errors || got.LostUpdates != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	needy := workload{name: "batch", answerBytesMin: 10}
	for body, want := range map[string]string{
		`{"Item":1}`: "",
		`{}`:         "an answer of 2 bytes, too short to be right",
		`{"UnprocessedItems":{"load":[{"PutRequest":{}}]}}`: "unprocessed items",
	} {
		if got := fault(answer{200, []byte(body)}, nil, needy); got != want {
			t.Errorf("%s: %q, not %q", body, got, want)
		}
	}
	if got := fault(answer{}, io.ErrUnexpectedEOF, needy); got != "unexpected EOF" {
		t.Errorf("%q", got)
	}
	if got := fault(answer{503, []byte("not JSON")}, nil, needy); got != "503 " {
		t.Errorf("%q", got)
	}
}

func TestLostUpdatesAreFound(t *testing.T) {
	got := measured(t, &shop{forget: true}, "hot", 2, plan{length: 500 * time.Millisecond})
	if got.LostUpdates == 0 || got.LostUpdates < got.Operations {
		t.Fatalf("%+v", got)
	}
}

func TestRateIsKeptWhateverTheAnswers(t *testing.T) {
	got := measured(t, &shop{}, "own", 8, plan{length: 500 * time.Millisecond, rate: 400})
	if got.Operations > 200 || got.Operations+got.Unsent < 190 { // a busy machine may leave the last few unsent
		t.Fatalf("%d operations, %d unsent, where 200 were due", got.Operations, got.Unsent)
	}
}

func TestWaitingForAFreeConnectionIsLatency(t *testing.T) {
	slow := &shop{delay: 20 * time.Millisecond}
	got := measured(t, slow, "own", 1, plan{length: 400 * time.Millisecond, rate: 500})
	if got.Max < 200 || got.Unsent == 0 {
		t.Fatalf("max %.0f ms, %d unsent", got.Max, got.Unsent)
	}
}

func TestRequestsCountByTheirAnswerOrByWhenTheyWereDue(t *testing.T) {
	now := time.Now()
	closed := plan{warmUp: time.Second, length: time.Second}.schedule(now)
	open := plan{warmUp: time.Second, length: time.Second, rate: 1}.schedule(now)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct{ due, done, inClosed, inOpen int }{
		{500, 900, 0, 0}, {500, 1500, 1, 0}, {1500, 1900, 1, 1}, {1500, 2500, 0, 1},
	} {
		if closed.counts(at(c.due), at(c.done)) != (c.inClosed == 1) || open.counts(at(c.due), at(c.done)) != (c.inOpen == 1) {
			t.Errorf("%+v", c)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var sorted []time.Duration
	for n := 1; n <= 200; n++ {
		sorted = append(sorted, time.Duration(n)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 100, 0.99: 198, 1: 200} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

func TestProcessesAreReadAndSummed(t *testing.T) {
	line := "71 (a) b (c) S 7 71 71 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000000 256 18446744073709551615 1 1"
	pid, p, ok := parseStat([]byte(line))
	if !ok || pid != 71 || p.parent != 7 || p.usage.cpu != 3*time.Second || p.usage.residentBytes != 256*os.Getpagesize() {
		t.Fatalf("%d %+v %v", pid, p, ok)
	}
	if _, _, ok := parseStat([]byte("nonsense")); ok {
		t.Fatal("nonsense was read")
	}
	tree := map[int]process{1: {parent: 0}, 7: {parent: 1}, 71: {parent: 7}, 8: {parent: 1}}
	if !descends(tree, 71, 7) || !descends(tree, 7, 7) || descends(tree, 8, 7) {
		t.Fatal("the tree is misread")
	}
}

func TestServersTakeConnectionsInTurns(t *testing.T) {
	var servers []server
	shops := []*shop{{}, {}, {}}
	for _, s := range shops {
		s.hits = map[string]int{}
		listening := httptest.NewServer(s)
		defer listening.Close()
		host := strings.TrimPrefix(listening.URL, "http://")
		servers = append(servers, server{host: host, signer: signer{"id", "secret", "us-east-1"}})
	}
	chosen, err := workloadsNamed("put")
	if err != nil {
		t.Fatal(err)
	}
	d, p := dataset{table: "load", items: 1_000}, plan{length: 200 * time.Millisecond}
	got, err := measure(servers, d, chosen[0], 6, p)
	if err != nil || got.Errors != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	sum := 0
	for n, s := range shops {
		if s.requests == 0 {
			t.Errorf("server %d was not asked", n)
		}
		sum += s.requests
	}
	if sum != got.Acknowledged || got.Acknowledged < got.Operations {
		t.Errorf("%d requests, %d acknowledged, %d measured", sum, got.Acknowledged, got.Operations)
	}
}
