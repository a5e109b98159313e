package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batchItems         = 25 // the most that BatchWriteItem takes
	loadingConnections = 16
)

// failure is an answer that is not 200.
type failure struct {
	operation string
	status    int
	kind      string
	body      string
}

func (f failure) Error() string { return fmt.Sprintf("%s: %d %s", f.operation, f.status, f.body) }

// call makes one request and reads its answer into the result, which may be nil.
func call(c *connection, s server, operation, body string, result any) error {
	got, err := c.exchange(s.request(operation, body, time.Now()))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if got.status != 200 {
		return failure{operation, got.status, fault(got, nil, workload{}), string(got.body)}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(got.body, result)
}

// prepare makes the table anew and fills it.
func prepare(s server, d dataset, indexes int, timeLimit time.Duration) error {
	until := time.Now().Add(timeLimit)
	if err := makeTable(s, d.table, indexes, until); err != nil {
		return err
	}
	return fill(s, d, until)
}

func makeTable(s server, table string, indexes int, until time.Time) error {
	c := &connection{address: s.host}
	defer c.close()
	named := fmt.Sprintf(`{"TableName":%q}`, table)
	err := call(c, s, "DeleteTable", named, nil)
	for err == nil && time.Now().Before(until) {
		if err = call(c, s, "DescribeTable", named, nil); err == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	var refused failure
	if !errors.As(err, &refused) || !strings.HasSuffix(refused.kind, "ResourceNotFoundException") {
		return fmt.Errorf("the table that was there does not go away: %w", err)
	}
	if err := call(c, s, "CreateTable", tableDefinition(table, indexes), nil); err != nil {
		return err
	}
	for time.Now().Before(until) {
		var got struct{ Table struct{ TableStatus string } }
		if err := call(c, s, "DescribeTable", named, &got); err != nil {
			return err
		}
		if got.Table.TableStatus == "ACTIVE" {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the table did not become active in time")
}

func tableDefinition(table string, indexes int) string {
	attributes := []string{`{"AttributeName":"rack","AttributeType":"S"}`, `{"AttributeName":"slot","AttributeType":"S"}`}
	var global []string
	for _, attribute := range indexed[:indexes] {
		attributes = append(attributes, fmt.Sprintf(`{"AttributeName":%q,"AttributeType":%q}`, attribute[0], attribute[1]))
		global = append(global, fmt.Sprintf(`{"IndexName":"by-%s","KeySchema":[{"AttributeName":%q,"KeyType":"HASH"}],`+
			`"Projection":{"ProjectionType":"ALL"}}`, attribute[0], attribute[0]))
	}
	definition := fmt.Sprintf(`"TableName":%q,"BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[%s],"KeySchema":`+
		`[{"AttributeName":"rack","KeyType":"HASH"},{"AttributeName":"slot","KeyType":"RANGE"}]`,
		table, strings.Join(attributes, ","))
	if indexes > 0 {
		definition += `,"GlobalSecondaryIndexes":[` + strings.Join(global, ",") + "]"
	}
	return "{" + definition + "}"
}

// fill puts the items in, in batches over several connections, each of which takes the next batch that nobody has.
func fill(s server, d dataset, until time.Time) error {
	var next atomic.Int64
	problems := make(chan error, loadingConnections)
	var loaders sync.WaitGroup
	for range loadingConnections {
		loaders.Add(1)
		go func() {
			defer loaders.Done()
			c := &connection{address: s.host}
			defer c.close()
			for {
				first := int(next.Add(batchItems)) - batchItems
				if first >= d.items {
					return
				}
				if err := putBatch(c, s, d, first, until); err != nil {
					next.Store(int64(d.items)) // the others stop too
					problems <- err
					return
				}
				if first%500_000 == 0 && first > 0 {
					fmt.Fprintf(os.Stderr, "%d of %d items\n", first, d.items)
				}
			}
		}()
	}
	loaders.Wait()
	close(problems)
	return <-problems
}

// putBatch puts 25 items from a position on, and again those that the server left.
func putBatch(c *connection, s server, d dataset, first int, until time.Time) error {
	positions := make([]int, 0, batchItems)
	for i := first; i < min(first+batchItems, d.items); i++ {
		positions = append(positions, d.position(i))
	}
	body := batch(d.table, positions, 0)
	for time.Now().Before(until) {
		var got struct{ UnprocessedItems map[string]json.RawMessage }
		if err := call(c, s, "BatchWriteItem", body, &got); err != nil {
			return err
		}
		if len(got.UnprocessedItems) == 0 {
			return nil
		}
		left, err := json.Marshal(map[string]any{"RequestItems": got.UnprocessedItems})
		if err != nil {
			return err
		}
		body = string(left)
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the table could not be filled in time")
}
