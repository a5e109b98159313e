package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// tinyService is as much of SQS as the generator asks of it: one queue in memory.
type tinyService struct {
	lock     sync.Mutex
	bodies   []string
	reversed bool
	deleted  int
}

func (s *tinyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var asked struct {
		MessageBody         string
		Entries             []struct{ Id, MessageBody string }
		MaxNumberOfMessages int
		WaitTimeSeconds     int
	}
	json.Unmarshal(body, &asked)
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), sqsTarget)
	if !strings.Contains(r.Header.Get("Authorization"), "/sqs/aws4_request") {
		http.Error(w, "{}", 403)
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	answer := map[string]any{"QueueUrl": "http://x/1/q"}
	switch operation {
	case "SendMessage":
		s.bodies = append(s.bodies, asked.MessageBody)
	case "SendMessageBatch":
		for _, entry := range asked.Entries {
			s.bodies = append(s.bodies, entry.MessageBody)
		}
		answer["Successful"] = asked.Entries
	case "DeleteMessage":
		s.deleted++
	case "DeleteMessageBatch":
		s.deleted += len(asked.Entries)
		answer["Successful"] = asked.Entries
	case "ReceiveMessage":
		answer["Messages"] = s.receive(asked.MaxNumberOfMessages, time.Duration(asked.WaitTimeSeconds)*time.Second)
	}
	json.NewEncoder(w).Encode(answer)
}

func (s *tinyService) receive(most int, wait time.Duration) []map[string]string {
	for until := time.Now().Add(wait); len(s.bodies) == 0 && time.Now().Before(until); {
		s.lock.Unlock()
		time.Sleep(time.Millisecond)
		s.lock.Lock()
	}
	var given []map[string]string
	for ; len(s.bodies) > 0 && len(given) < most; s.bodies = s.bodies[1:] {
		given = append(given, map[string]string{"Body": s.bodies[0], "ReceiptHandle": fmt.Sprint("h", len(given))})
	}
	if s.reversed {
		for i, j := 0, len(given)-1; i < j; i, j = i+1, j-1 {
			given[i], given[j] = given[j], given[i]
		}
	}
	return given
}

func loadOn(t *testing.T, service *tinyService, l queueLoad) row {
	listening := httptest.NewServer(service)
	t.Cleanup(listening.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b, err := newBroker(listening.URL, "us-east-1", l.isFIFO)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.createQueue("q"); err != nil {
		t.Fatal(err)
	}
	r, err := queueWorkloads[l.workload](b, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plain(workload string) queueLoad {
	l := queueLoad{workload: workload, connections: 4, batch: 1, bytes: 256, groups: 10, backlog: 400}
	l.plan = plan{length: 200 * time.Millisecond}
	return l
}

func TestSendsAreCountedByMessage(t *testing.T) {
	l := plain("send")
	l.batch = 10
	service := &tinyService{}
	r := loadOn(t, service, l)
	if r.Errors > 0 || r.Operations == 0 || r.Acknowledged != len(service.bodies) {
		t.Fatalf("%+v, and %d came", r, len(service.bodies))
	}
	for _, body := range service.bodies {
		if len(body) != l.bytes {
			t.Fatalf("a body of %d bytes", len(body))
		}
	}
}

func TestDrainsRemoveWhatTheyPutIn(t *testing.T) {
	service := &tinyService{}
	r := loadOn(t, service, plain("drain"))
	if r.Errors > 0 || r.Operations == 0 || r.Operations > r.Acknowledged || service.deleted != r.Acknowledged {
		t.Fatalf("%+v, and %d were deleted", r, service.deleted)
	}
}

func TestMessagesOutOfOrderAreErrors(t *testing.T) {
	l := plain("drain")
	l.isFIFO, l.connections, l.groups = true, 1, 1
	if r := loadOn(t, &tinyService{}, l); r.Errors > 0 {
		t.Fatalf("%+v", r)
	}
	if r := loadOn(t, &tinyService{reversed: true}, l); r.ErrorKinds["out of order"] == 0 {
		t.Fatalf("%+v", r)
	}
}

func TestDeliveriesAreTimedFromTheirSends(t *testing.T) {
	l := plain("deliver")
	l.plan.rate = 200
	l.plan.length = 500 * time.Millisecond
	r := loadOn(t, &tinyService{}, l)
	if r.Errors > 0 || r.Operations < 50 || r.Operations > 110 || r.P50 <= 0 || r.P50 > 100 {
		t.Fatalf("%+v", r)
	}
}

func TestGroupsBelongToOneProducer(t *testing.T) {
	l := plain("send")
	owner := map[string]int{}
	for place := range l.connections {
		w := newWriter(l, place, l.connections)
		for _, m := range w.next(50, time.Now()) {
			if other, known := owner[m.group]; known && other != place {
				t.Fatalf("group %s of %d and %d", m.group, other, place)
			}
			owner[m.group] = place
			if d, err := readBody(m.body); err != nil || d.group != m.group {
				t.Fatalf("%q: %v", m.body, err)
			}
		}
	}
	if len(owner) != l.groups {
		t.Fatalf("%d groups", len(owner))
	}
}

func TestQueueLoadsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for arguments, want := range map[string]string{
		"-workload dance":                    "unknown workload",
		"-connections 0":                     "-connections",
		"-workload deliver -connections 1":   "-connections",
		"-batch 11":                          "-batch",
		"-bytes 10":                          "-bytes",
		"-seconds 0":                         "-seconds",
		"-pid x":                             "-pid",
		"-endpoint amqp://127.0.0.1:1 -fifo": "no FIFO queues",
		"-endpoint ftp://127.0.0.1:1":        "http://HOST:PORT",
	} {
		_, _, _, err := parseQueue(strings.Fields(arguments))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", arguments, err, want)
		}
	}
}
