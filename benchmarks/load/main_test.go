package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestBadArgumentsAreNamed(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for arguments, want := range map[string]string{
		"":                                      "say what to do",
		"dance":                                 "unknown command",
		"measure -connections 0":                "not a positive integer",
		"measure -workloads put,sing":           "unknown workload",
		"measure -seconds 0":                    "-seconds is above 0",
		"prepare -indexes 6":                    "0 to 5",
		"prepare -slots 21":                     "1 to 20",
		"measure -pid x":                        "-pid",
		"measure -store-pid 0":                  "-store-pid",
		"prepare -endpoint https://127.0.0.1:1": "http://HOST:PORT",
		"pages -pages 2":                        "at least 3 pages",
	} {
		err := run(strings.Fields(arguments))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v does not say %q", arguments, err, want)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if err := run([]string{"pages"}); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("no key: %v", err)
	}
}

func TestRequestsAreWrittenAsTheyWouldBeSent(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o, err := parse("requests", []string{"-workloads", "put,query", "-connections", "2", "-items", "100", "-groups", "2"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printRequests(&out, o); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var got struct {
			Connection int
			Operation  string
			Body       struct{ TableName string }
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.Body.TableName != "load" {
			t.Fatalf("%s: %v", line, err)
		}
		seen[fmt.Sprint(got.Operation, got.Connection)]++
	}
	if len(seen) != 4 || seen["PutItem1"] != 4 || seen["Query0"] != 4 {
		t.Fatalf("%v", seen)
	}
}
