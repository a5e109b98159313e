// Command load puts a DynamoDB endpoint under load and says what it did, with as little work of its own as possible:
// requests are written out and signed before the clock starts, and every connection has keys of its own. Queues, of an
// SQS endpoint or of an AMQP broker, it puts under load too.
//
//	load prepare -endpoint http://127.0.0.1:8000 -items 10000 [-indexes 5]
//	load measure -endpoint http://127.0.0.1:8000 -workloads put,get -connections 1,64 -seconds 5 [-rate 500] [-pid N]
//	load requests -workloads put -connections 32
//	load pages   -endpoint http://127.0.0.1:8000 -pages 1000
//	load queue   -endpoint http://127.0.0.1:9324 -workload send [-batch 10] [-fifo] -connections 16 -seconds 5 [-pid N]
//	load queue   -endpoint amqp://127.0.0.1:5672 -workload drain -backlog 20000
//
// The access key is taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. README.md says what each figure means.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	servers     []server
	data        dataset
	indexes     int
	workloads   []workload
	connections []int
	plan        plan
	pages       int
	rounds      int
	timeLimit   time.Duration
	json        bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("say what to do: prepare, measure, requests, pages or queue")
	}
	if arguments[0] == "queue" {
		return loadQueue(arguments[1:])
	}
	o, err := parse(arguments[0], arguments[1:])
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "prepare":
		return prepare(o.servers[0], o.data, o.indexes, o.timeLimit)
	case "measure":
		return measureAll(o)
	case "requests":
		return printRequests(os.Stdout, o)
	case "pages":
		result, err := measurePages(o.servers[0], o.data.table, o.pages, o.rounds)
		if err != nil {
			return err
		}
		return print(o.json, result, result)
	}
	return fmt.Errorf("unknown command %q: it is prepare, measure, requests, pages or queue", arguments[0])
}

func parse(command string, arguments []string) (options, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	endpoint := flags.String("endpoint", "http://127.0.0.1:8000", "URL of the server, http only; several with commas share the connections")
	region := flags.String("region", "us-east-1", "region of the signatures")
	table := flags.String("table", "load", "table to work on")
	items := flags.Int("items", 10_000, "items in the table")
	slots := flags.Int("slots", itemsPerPartition, "items in each partition, 1 to 20; 20 for queries")
	groups := flags.Int("groups", 0, "measure: the most groups of items that a connection goes through; 0 for many")
	indexes := flags.Int("indexes", 0, "prepare: global secondary indexes of the table, 0 to 5")
	timeLimit := flags.Duration("time-limit", 10*time.Minute, "prepare: give up after this long")
	names := flags.String("workloads", strings.Join(standard, ","), "measure: which, by name")
	connections := flags.String("connections", "64", "measure: how many connections; several counts are measured in turn")
	seconds := flags.Float64("seconds", 5, "measure: how long")
	warmUp := flags.Float64("warm-up", 1, "measure: seconds of load before the clock starts")
	rate := flags.Float64("rate", 0, "measure: requests offered per second, whatever the answers; 0 sends when answered")
	pids := flags.String("pid", "", "measure: the servers' processes, for CPU and memory of them and their descendants")
	storePids := flags.String("store-pid", "", "measure: the processes of the store below the servers, for their CPU")
	pages := flags.Int("pages", 1000, "pages: how many pages of 20 items the partition has")
	rounds := flags.Int("rounds", 300, "pages: how often each of the two pages is read")
	asJSON := flags.Bool("json", false, "print JSON, one object to a line")
	if err := flags.Parse(arguments); err != nil {
		return options{}, err
	}
	servers, err := newServers(*endpoint, *region)
	if err != nil {
		return options{}, err
	}
	counts, err := integers(*connections)
	if err != nil {
		return options{}, fmt.Errorf("-connections: %w", err)
	}
	serverPids, err := integersOrNone(*pids)
	if err != nil {
		return options{}, fmt.Errorf("-pid: %w", err)
	}
	storeProcesses, err := integersOrNone(*storePids)
	if err != nil {
		return options{}, fmt.Errorf("-store-pid: %w", err)
	}
	if *slots < 1 || *slots > itemsPerPartition || *groups < 0 {
		return options{}, fmt.Errorf("-slots is 1 to %d, and -groups not below 0", itemsPerPartition)
	}
	if *indexes < 0 || *indexes > len(indexed) {
		return options{}, fmt.Errorf("-indexes is 0 to %d", len(indexed))
	}
	chosen, err := workloadsNamed(*names)
	if err != nil {
		return options{}, err
	}
	if *seconds <= 0 || *warmUp < 0 || *rate < 0 {
		return options{}, errors.New("-seconds is above 0, -warm-up and -rate are not below it")
	}
	return options{
		servers:     servers,
		data:        dataset{table: *table, items: *items, slots: *slots, groups: *groups},
		indexes:     *indexes,
		workloads:   chosen,
		connections: counts,
		plan: plan{warmUp: duration(*warmUp), length: duration(*seconds), rate: *rate, pids: serverPids,
			storePids: storeProcesses},
		pages:     *pages,
		rounds:    *rounds,
		timeLimit: *timeLimit,
		json:      *asJSON,
	}, nil
}

// newServers returns the servers of a list with commas.
func newServers(endpoints, region string) ([]server, error) {
	var servers []server
	for _, endpoint := range strings.Split(endpoints, ",") {
		s, err := newServer(endpoint, region)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func newServer(endpoint, region string) (server, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return server{}, err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return server{}, fmt.Errorf("-endpoint %q: http://HOST:PORT is wanted", endpoint)
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return server{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return server{host: u.Host, signer: signer{accessKeyID: id, secret: secret, region: region}}, nil
}

func measureAll(o options) error {
	if !o.json {
		fmt.Println(rowHead)
	}
	for _, w := range o.workloads {
		for _, connections := range o.connections {
			row, err := measure(o.servers, o.data, w, connections, o.plan)
			if err != nil {
				return fmt.Errorf("%s with %d connections: %w", w.name, connections, err)
			}
			if err := print(o.json, row, row); err != nil {
				return err
			}
		}
	}
	return nil
}

func print(asJSON bool, value any, text fmt.Stringer) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(value)
	}
	_, err := fmt.Println(text)
	return err
}

func integers(list string) ([]int, error) {
	var numbers []int
	for _, part := range strings.Split(list, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive integer", part)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func integersOrNone(list string) ([]int, error) {
	if list == "" {
		return nil, nil
	}
	return integers(list)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
