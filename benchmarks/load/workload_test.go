package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// size counts bytes as "DynamoDB item sizes and formats" in the developer guide does.
func size(t *testing.T, value any) int {
	total := 0
	for kind, content := range value.(map[string]any) {
		switch kind {
		case "S":
			total += len(content.(string))
		case "N":
			total += (len(content.(string))+1)/2 + 1
		case "BOOL":
			total++
		case "SS":
			for _, member := range content.([]any) {
				total += len(member.(string))
			}
		case "L":
			total += 3
			for _, member := range content.([]any) {
				total += 1 + size(t, member)
			}
		case "M":
			total += 3
			for name, member := range content.(map[string]any) {
				total += 1 + len(name) + size(t, member)
			}
		default:
			t.Fatalf("type %q", kind)
		}
	}
	return total
}

func TestItemIsAKibibyte(t *testing.T) {
	for _, i := range []int{0, 9_999, 4_999_999} {
		for variant := range 2 {
			var attributes map[string]any
			if err := json.Unmarshal([]byte(item(i, variant)), &attributes); err != nil {
				t.Fatal(err)
			}
			total := 0
			for name, value := range attributes {
				total += len(name) + size(t, value)
			}
			if total < 1_000 || total > 1_048 || len(attributes) != 12 {
				t.Errorf("item %d has %d attributes and %d bytes", i, len(attributes), total)
			}
		}
	}
}

func TestVariantsDifferInEveryIndexedAttribute(t *testing.T) {
	for i := range 1_000 {
		var items [2]map[string]map[string]any
		for variant := range items {
			json.Unmarshal([]byte(item(i, variant)), &items[variant])
		}
		for _, attribute := range indexed {
			name, kind := attribute[0], attribute[1]
			if items[0][name][kind] == nil || items[0][name][kind] == items[1][name][kind] {
				t.Fatalf("item %d: %s is %v and %v", i, name, items[0][name], items[1][name])
			}
		}
	}
}

func TestConnectionsShareNoItem(t *testing.T) {
	for _, connections := range []int{1, 7, 64} {
		d, owner := dataset{items: 10_000}, map[int]int{}
		for c := range connections {
			for _, i := range d.share(c, connections, 1_000_000) {
				if other, taken := owner[i]; taken {
					t.Fatalf("item %d belongs to %d and %d", i, other, c)
				}
				owner[i] = c
			}
		}
		if len(owner) != d.items {
			t.Fatalf("%d connections have %d of %d items", connections, len(owner), d.items)
		}
	}
}

func TestSampleSpreadsOverTheWholeTable(t *testing.T) {
	d := dataset{items: 5_000_000}
	positions := d.share(63, 64, 2_000)
	if len(positions) != 2_000 || positions[0] > 10_000 || positions[len(positions)-1] < 4_900_000 {
		t.Fatalf("%d items from %d to %d", len(positions), positions[0], positions[len(positions)-1])
	}
}

func TestRequestsAreJSONAndOfDistinctItems(t *testing.T) {
	s := server{host: "127.0.0.1:1", signer: signer{"id", "secret", "us-east-1"}}
	d := dataset{table: "load", items: 10_000}
	for _, w := range workloads {
		ring, err := w.ring(s, d, 3, 64, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, request := range ring {
			_, body, _ := strings.Cut(string(request), "\r\n\r\n")
			if !json.Valid([]byte(body)) || strings.Contains(body, "%!") {
				t.Fatalf("%s: %s", w.name, body)
			}
			if n := strings.Count(body, `"slot":{`); w.name != "query" && n != distinct(body) {
				t.Fatalf("%s: an item twice in %s", w.name, body)
			}
		}
	}
}

func distinct(body string) int {
	keys := map[string]bool{}
	for _, part := range strings.Split(body, `"rack":`)[1:] {
		end := strings.Index(part, `"slot":`)
		keys[part[:end+len(`"slot":{"S":"slot-00"`)]] = true
	}
	return len(keys)
}

func TestTooFewItemsAreAnError(t *testing.T) {
	chosen, err := workloadsNamed("batch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chosen[0].ring(server{}, dataset{items: 1_000}, 0, 64, time.Now()); err == nil {
		t.Fatal("a batch of 25 from fewer items")
	}
}

func TestOneSlotMakesEveryItemAPartitionOfItsOwn(t *testing.T) {
	d := dataset{table: "load", items: 1_024, slots: 1}
	chosen, err := workloadsNamed("transaction")
	if err != nil {
		t.Fatal(err)
	}
	requests, err := chosen[0].requests(d, 5, 32)
	if err != nil || len(requests) != 2*1_024/32/4 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	for _, one := range requests {
		racks := map[string]bool{}
		for _, part := range strings.Split(string(one.Body), `"rack":{"S":"`)[1:] {
			racks[part[:len("rack-0000000")]] = true
		}
		if len(racks) != 4 {
			t.Fatalf("%d partitions in %s", len(racks), one.Body)
		}
	}
}

func TestGroupsBoundWhatAConnectionGoesThrough(t *testing.T) {
	d := dataset{table: "load", items: 1_000, groups: 3}
	for name, want := range map[string]int{"get": 2 * 3, "query": 2 * 3, "mixed": 2 * 3 * 10} {
		chosen, err := workloadsNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		if requests, err := chosen[0].requests(d, 0, 4); err != nil || len(requests) != want {
			t.Errorf("%s: %d requests, not %d, %v", name, len(requests), want, err)
		}
	}
}

func TestConnectionsOfMixedLoadBeginWithAllKinds(t *testing.T) {
	chosen, err := workloadsNamed("mixed")
	if err != nil {
		t.Fatal(err)
	}
	first, all := map[string]int{}, map[string]int{}
	for n := range 10 {
		requests, err := chosen[0].requests(dataset{table: "load", items: 1_000, groups: 2}, n, 10)
		if err != nil {
			t.Fatal(err)
		}
		first[requests[0].Operation]++
		for _, one := range requests {
			all[one.Operation]++
		}
	}
	for name, want := range map[string]int{"GetItem": 5, "PutItem": 2, "UpdateItem": 2, "TransactWriteItems": 1} {
		if first[name] != want || all[name] != 40*want {
			t.Errorf("%s: %d connections begin with it, and it comes %d times", name, first[name], all[name])
		}
	}
}
