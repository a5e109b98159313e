package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"slices"
	"strings"
	"time"
)

const (
	itemsPerPartition = 20
	ringRequestsMax   = 4_000 // of one connection; together they bound the memory of the generator
)

// dataset is a table of hosts: a rack is a partition, a slot in it an item.
type dataset struct {
	table  string
	items  int
	slots  int // items in each partition; 0 for all that there can be
	groups int // the most groups of items that one connection goes through; 0 for as many as memory takes
}

func (d dataset) itemsPerPartition() int {
	if d.slots == 0 {
		return itemsPerPartition
	}
	return d.slots
}

// position returns where the n-th item of the table lies.
func (d dataset) position(n int) int {
	return n/d.itemsPerPartition()*itemsPerPartition + n%d.itemsPerPartition()
}

// indexed are the attributes that the table's indexes have as their partition keys, with their types.
var indexed = [5][2]string{{"holder", "S"}, {"phase", "S"}, {"zone", "S"}, {"flavor", "S"}, {"revision", "N"}}

func rack(i int) string { return fmt.Sprintf("rack-%07d", i/itemsPerPartition) }

func key(i int) string {
	return fmt.Sprintf(`"rack":{"S":%q},"slot":{"S":"slot-%02d"}`, rack(i), i%itemsPerPartition)
}

var notes = strings.Repeat("Replaced both fans; the left rail still sticks a little. ", 15)[:840]

// item returns the item at a position: 12 attributes, 1 KiB as DynamoDB counts it. Two variants of it differ in all of
// its indexed attributes, so that putting them in turn changes every index.
func item(i, variant int) string {
	return fmt.Sprintf(`{%s,"revision":{"N":"%d"},"holder":{"S":"team-%03d"},"phase":{"S":"%s"},"zone":{"S":"zone-%d"},`+
		`"flavor":{"S":"flavor-%02d"},"powered":{"BOOL":true},"labels":{"SS":["edge","gpu","spare"]},`+
		`"disks":{"L":[{"N":"960"},{"N":"3840"},{"S":"nvme"}]},`+
		`"place":{"M":{"building":{"S":"Harbour North"},"floor":{"N":"4"}}},"notes":{"S":"%s"}}`,
		key(i), 1000+i%1000+variant, (i*7+variant)%200, []string{"in service", "draining"}[variant], (i+variant)%9,
		(i+variant)%40, notes)
}

func update(table string, i int) string {
	return fmt.Sprintf(`"TableName":%q,"Key":{%s},"UpdateExpression":"SET #h = :holder ADD revision :one",`+
		`"ConditionExpression":"attribute_exists(rack) AND revision >= :least",`+
		`"ExpressionAttributeNames":{"#h":"holder"},"ExpressionAttributeValues":{":holder":{"S":"team-none"},`+
		`":one":{"N":"1"},":least":{"N":"0"}}`, table, key(i))
}

// increment adds one to a counter; a request of "hot" and "own".
func increment(table, counter string) string {
	return fmt.Sprintf(`{"TableName":%q,"Key":%s,"UpdateExpression":"ADD hits :one",`+
		`"ExpressionAttributeValues":{":one":{"N":"1"}}}`, table, counterKey(counter))
}

func counterKey(counter string) string {
	return fmt.Sprintf(`{"rack":{"S":"counter-%s"},"slot":{"S":"slot-00"}}`, counter)
}

// batch puts 25 items.
func batch(table string, positions []int, variant int) string {
	puts := make([]string, len(positions))
	for n, i := range positions {
		puts[n] = `{"PutRequest":{"Item":` + item(i, variant) + `}}`
	}
	return fmt.Sprintf(`{"RequestItems":{%q:[%s]}}`, table, strings.Join(puts, ","))
}

// transaction puts two items and updates two others under conditions.
func transaction(table string, positions []int, variant int) string {
	actions := make([]string, len(positions))
	for n, i := range positions {
		if n < 2 {
			actions[n] = fmt.Sprintf(`{"Put":{"TableName":%q,"Item":%s}}`, table, item(i, variant))
		} else {
			actions[n] = `{"Update":{` + update(table, i) + `}}`
		}
	}
	return `{"TransactItems":[` + strings.Join(actions, ",") + `]}`
}

// request is what a server is asked.
type request struct {
	Operation string          `json:"operation"`
	Body      json.RawMessage `json:"body"`
}

// mixed is what half readers and half writers ask about four items: 5 gets, 2 puts, 2 updates and a transaction.
func mixed(table string, at []int, variant int) []request {
	var requests []request
	for _, one := range [...]struct {
		name string
		at   int
	}{{"get", 0}, {"put", 1}, {"get", 2}, {"update", 3}, {"get", 1}, {"get", 3}, {"put", 0}, {"update", 2}, {"get", 0}} {
		w := single[slices.IndexFunc(single, func(w workload) bool { return w.name == one.name })]
		requests = append(requests, request{w.operation, json.RawMessage(w.body(table, at[one.at:], variant))})
	}
	return append(requests, request{"TransactWriteItems", json.RawMessage(transaction(table, at, variant))})
}

// workload is one kind of request.
type workload struct {
	name      string
	operation string
	step      int // how many items one request is about
	// answerBytesMin is what a right answer has at least: one that is too short is an error.
	answerBytesMin int
	body           func(table string, positions []int, variant int) string
	// counter names the item that a connection increments, for workloads that only count.
	counter func(connection int) string
	// mix returns several requests about the same items, for workloads of more than one kind.
	mix func(table string, positions []int, variant int) []request
}

// standard are the workloads that peers are compared by.
var standard = []string{"put", "get", "update", "query", "batch", "transaction"}

var workloads = append(single, workload{name: "mixed", step: 4, mix: mixed})

// single are the workloads of one kind of request each.
var single = []workload{
	{name: "put", operation: "PutItem", step: 1, body: func(table string, at []int, variant int) string {
		return fmt.Sprintf(`{"TableName":%q,"Item":%s}`, table, item(at[0], variant))
	}},
	{name: "get", operation: "GetItem", step: 1, answerBytesMin: 1024, body: func(table string, at []int, _ int) string {
		return fmt.Sprintf(`{"TableName":%q,"Key":{%s},"ConsistentRead":true}`, table, key(at[0]))
	}},
	{name: "update", operation: "UpdateItem", step: 1, body: func(table string, at []int, _ int) string {
		return "{" + update(table, at[0]) + "}"
	}},
	{name: "query", operation: "Query", step: itemsPerPartition, answerBytesMin: itemsPerPartition * 1024,
		body: func(table string, at []int, _ int) string { return query(table, rack(at[0]), "") }},
	{name: "batch", operation: "BatchWriteItem", step: 25, body: batch},
	{name: "transaction", operation: "TransactWriteItems", step: 4, body: transaction},
	{name: "hot", operation: "UpdateItem", step: 1, counter: func(int) string { return "hot" }},
	{name: "own", operation: "UpdateItem", step: 1, counter: func(connection int) string { return fmt.Sprint(connection) }},
}

// query asks for a page of 20 of one partition, from its beginning or behind a key.
func query(table, partition, startKey string) string {
	if startKey != "" {
		startKey = `,"ExclusiveStartKey":` + startKey
	}
	return fmt.Sprintf(`{"TableName":%q,"KeyConditionExpression":"rack = :rack","Limit":%d,"ConsistentRead":true,`+
		`"ExpressionAttributeValues":{":rack":{"S":%q}}%s}`, table, itemsPerPartition, partition, startKey)
}

// workloadsNamed returns the workloads of a list with commas.
func workloadsNamed(list string) ([]workload, error) {
	var chosen []workload
	for _, name := range strings.Split(list, ",") {
		at := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		if at < 0 {
			return nil, fmt.Errorf("unknown workload %q", name)
		}
		chosen = append(chosen, workloads[at])
	}
	return chosen, nil
}

// ring returns the requests that one connection sends round and round, signed.
func (w workload) ring(s server, d dataset, connection, connections int, now time.Time) ([][]byte, error) {
	requests, err := w.requests(d, connection, connections)
	if err != nil {
		return nil, err
	}
	signed := make([][]byte, len(requests))
	for n, one := range requests {
		signed[n] = s.request(one.Operation, string(one.Body), now)
	}
	return signed, nil
}

// requests returns what one connection asks, round and round. Connections share no partition.
func (w workload) requests(d dataset, connection, connections int) ([]request, error) {
	if w.counter != nil {
		return []request{{w.operation, json.RawMessage(increment(d.table, w.counter(connection)))}}, nil
	}
	positions := d.share(connection, connections, ringRequestsMax/2*w.step)
	groups := len(positions) / w.step
	if groups == 0 {
		return nil, fmt.Errorf("%d items are too few", d.items)
	}
	var requests []request
	for variant := range 2 {
		order := rand.New(rand.NewSource(int64(connection))).Perm(groups)
		if d.groups > 0 {
			order = order[:min(d.groups, groups)]
		}
		for _, g := range order {
			at := positions[g*w.step : (g+1)*w.step]
			if w.mix != nil {
				requests = append(requests, w.mix(d.table, at, variant)...)
			} else {
				requests = append(requests, request{w.operation, json.RawMessage(w.body(d.table, at, variant))})
			}
		}
	}
	if w.mix != nil {
		// Connections begin at different places, so that each moment has all kinds.
		first := connection % len(requests)
		requests = append(requests[first:len(requests):len(requests)], requests[:first]...)
	}
	return requests, nil
}

// printRequests writes what every connection would ask, an object to a line, unsigned.
func printRequests(out io.Writer, o options) error {
	encoder := json.NewEncoder(out)
	for _, w := range o.workloads {
		for _, connections := range o.connections {
			for n := range connections {
				requests, err := w.requests(o.data, n, connections)
				if err != nil {
					return fmt.Errorf("%s with %d connections: %w", w.name, connections, err)
				}
				for _, one := range requests {
					if err := encoder.Encode(struct {
						Connection int `json:"connection"`
						request
					}{n, one}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// share returns the positions of the items that belong to a connection, by whole partitions; where they are more than
// `most`, partitions spread evenly over all of its own.
func (d dataset) share(connection, connections, most int) []int {
	slots := d.itemsPerPartition()
	partitions := d.items / slots
	own := (partitions - connection + connections - 1) / connections
	picked := min(own, max(1, most/slots))
	positions := make([]int, 0, picked*slots)
	for n := range picked {
		partition := connection + n*own/picked*connections
		for slot := range slots {
			positions = append(positions, partition*itemsPerPartition+slot)
		}
	}
	return positions
}
