package main

import (
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
