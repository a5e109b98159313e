// Checks histories of registers and counters for linearizability with Porcupine
// (https://github.com/anishathalye/porcupine), each key by itself: linearizability is local (Herlihy & Wing, 1990).
//
// Reads one JSON object per line from standard input, an operation each, and writes one JSON object per key whose
// history has no linearization, or for which none was found in time; then one with the figures.
//
//	linearizability [-timeout 60s] [-pictures FOLDER]
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation on one register or counter.
type operation struct {
	Key    string `json:"key"`
	Client int    `json:"client"`
	Name   string `json:"name"`
	// read and found: Value was there; write: it is Value from now on; cas: it was Expected and is Value from now on;
	// add: Amount was added, which made Value.
	Kind     string `json:"kind"`
	Expected *int64 `json:"expected"`
	Value    *int64 `json:"value"`
	Amount   int64  `json:"amount"`
	// Whether nobody knows if it took effect; it may do so at any time after Call.
	Unknown bool  `json:"unknown"`
	Call    int64 `json:"call"`
	Return  int64 `json:"return"`
}

// What is there: nothing, or a number.
type state struct {
	present bool
	value   int64
}

type verdict struct {
	Key        string   `json:"key"`
	Verdict    string   `json:"verdict"`
	Operations int      `json:"operations"`
	Explained  []string `json:"explained"`
	Stuck      []string `json:"stuck"`
	Picture    string   `json:"picture,omitempty"`
}

type figures struct {
	Keys       int     `json:"keys"`
	Operations int     `json:"operations"`
	Dropped    int     `json:"dropped"`
	Seconds    float64 `json:"seconds"`
}

func stateOf(value *int64) state {
	if value == nil {
		return state{}
	}
	return state{true, *value}
}

func step(before, input, _ interface{}) (bool, interface{}) {
	now, op := before.(state), input.(operation)
	switch op.Kind {
	case "read":
		return now == stateOf(op.Value), now
	case "write":
		return true, stateOf(op.Value)
	case "cas":
		if now == stateOf(op.Expected) {
			return true, stateOf(op.Value)
		}
		return op.Unknown, now // refused, and nobody was told
	case "refused": // a cas that found Value
		return now == stateOf(op.Value) && now != stateOf(op.Expected), now
	case "add":
		after := state{true, now.value + op.Amount}
		return op.Unknown || after == stateOf(op.Value), after
	}
	panic("unknown kind of operation: " + op.Kind)
}

func text(value *int64) string {
	if value == nil {
		return "nothing"
	}
	return fmt.Sprint(*value)
}

func describe(op operation) string {
	said := map[string]string{
		"read":    "read " + text(op.Value),
		"write":   "wrote " + text(op.Value),
		"cas":     fmt.Sprintf("changed %s to %s", text(op.Expected), text(op.Value)),
		"refused": fmt.Sprintf("expected %s, found %s", text(op.Expected), text(op.Value)),
		"add":     fmt.Sprintf("added %d, which made %s", op.Amount, text(op.Value)),
	}[op.Kind]
	if op.Unknown {
		return said + " (perhaps)"
	}
	return said
}

var model = porcupine.Model{
	Init:  func() interface{} { return state{} },
	Step:  step,
	Equal: func(one, other interface{}) bool { return one == other },
	DescribeOperation: func(input, _ interface{}) string {
		return describe(input.(operation))
	},
	DescribeState: func(now interface{}) string {
		if s := now.(state); s.present {
			return fmt.Sprint(s.value)
		}
		return "nothing"
	},
}

// Leaves out writes of unknown outcome whose value nobody saw and nobody expected: values of registers are unique, so
// such a write changes nothing between it and the next write, and a linearization with it is one without it.
func withoutUnseen(history []operation) []operation {
	seen := map[int64]bool{}
	for _, op := range history {
		if op.Expected != nil {
			seen[*op.Expected] = true
		}
		if (op.Kind == "read" || op.Kind == "refused") && op.Value != nil {
			seen[*op.Value] = true
		}
	}
	kept := history[:0]
	for _, op := range history {
		if op.Unknown && (op.Kind == "write" || op.Kind == "cas") && !seen[*op.Value] {
			continue
		}
		kept = append(kept, op)
	}
	return kept
}

func forPorcupine(history []operation) []porcupine.Operation {
	var last int64
	for _, op := range history {
		last = max(last, op.Call, op.Return)
	}
	converted := make([]porcupine.Operation, len(history))
	for at, op := range history {
		end := op.Return
		if op.Unknown {
			end = last + 1 // never is the same as after everything else
		}
		converted[at] = porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: end}
	}
	return converted
}

// Says how far the longest attempt to explain a history came, and which operations could not follow.
func explain(history []operation, info porcupine.LinearizationInfo) (explained, stuck []string) {
	const shown = 8
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, attempt := range partition {
			if len(attempt) > len(longest) {
				longest = attempt
			}
		}
	}
	placed := map[string]bool{}
	for at, op := range longest {
		if at >= len(longest)-shown {
			explained = append(explained, op.Input.(operation).Name+" "+describe(op.Input.(operation)))
		}
		placed[op.Input.(operation).Name] = true
	}
	var left []operation
	for _, op := range history {
		if !placed[op.Name] {
			left = append(left, op)
		}
	}
	sort.Slice(left, func(i, j int) bool { return left[i].Call < left[j].Call })
	for at, op := range left {
		if at < shown {
			stuck = append(stuck, op.Name+" "+describe(op))
		}
	}
	return explained, stuck
}

func check(key string, history []operation, timeout time.Duration, pictures string) (verdict, error) {
	told := verdict{Key: key, Verdict: "linearizable", Operations: len(history)}
	operations := forPorcupine(history)
	switch porcupine.CheckOperationsTimeout(model, operations, timeout) {
	case porcupine.Ok:
		return told, nil
	case porcupine.Illegal:
		told.Verdict = "not linearizable"
	default:
		told.Verdict = "undecided"
	}
	_, info := porcupine.CheckOperationsVerbose(model, operations, timeout)
	told.Explained, told.Stuck = explain(history, info)
	if pictures == "" {
		return told, nil
	}
	told.Picture = filepath.Join(pictures, key+".html")
	return told, porcupine.VisualizePath(model, info, told.Picture)
}

func read() (map[string][]operation, error) {
	histories := map[string][]operation{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, math.MaxInt32)
	for lines.Scan() {
		var op operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, err
		}
		histories[op.Key] = append(histories[op.Key], op)
	}
	return histories, lines.Err()
}

func run(timeout time.Duration, pictures string) error {
	begin := time.Now()
	histories, err := read()
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(histories))
	for key := range histories {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	counted := figures{Keys: len(keys)}
	answers := json.NewEncoder(os.Stdout)
	for _, key := range keys {
		before := len(histories[key])
		history := withoutUnseen(histories[key])
		counted.Operations += before
		counted.Dropped += before - len(history)
		told, err := check(key, history, timeout, pictures)
		if err == nil && told.Verdict != "linearizable" {
			err = answers.Encode(told)
		}
		if err != nil {
			return err
		}
	}
	counted.Seconds = time.Since(begin).Seconds()
	return answers.Encode(counted)
}

func main() {
	timeout := flag.Duration("timeout", time.Minute, "how long one key may take")
	pictures := flag.String("pictures", "", "folder for a picture of each key that is not linearizable")
	flag.Parse()
	if err := run(*timeout, *pictures); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
