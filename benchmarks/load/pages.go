package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// pagesResult compares a page near the beginning of a partition with one far behind it.
type pagesResult struct {
	Pages     int     `json:"pages"`
	Rounds    int     `json:"rounds"`
	SecondP50 float64 `json:"page_2_p50_ms"`
	LastP50   float64 `json:"page_last_p50_ms"`
	Ratio     float64 `json:"ratio"` // of the last to the second
}

func (r pagesResult) String() string {
	return fmt.Sprintf("page 2: %.3f ms, page %d: %.3f ms, ratio %.2f", r.SecondP50, r.Pages, r.LastP50, r.Ratio)
}

// measurePages fills one partition, pages through it once, and then reads page 2 and the last page in turns.
func measurePages(s server, table string, pages, rounds int) (pagesResult, error) {
	if pages < 3 || rounds < 1 {
		return pagesResult{}, fmt.Errorf("at least 3 pages and 1 round are wanted")
	}
	c := &connection{address: s.host}
	defer c.close()
	if err := fillLongPartition(c, s, table, pages*itemsPerPartition); err != nil {
		return pagesResult{}, err
	}
	starts, err := pageStarts(c, s, table, pages)
	if err != nil {
		return pagesResult{}, err
	}
	now := time.Now()
	requests := [2][]byte{
		s.request("Query", query(table, longPartition, starts[1]), now),
		s.request("Query", query(table, longPartition, starts[pages-1]), now),
	}
	full := workload{answerBytesMin: itemsPerPartition * 1024}
	var latencies [2][]time.Duration
	for range rounds {
		for which, request := range requests {
			begun := time.Now()
			got, err := c.exchange(request)
			latencies[which] = append(latencies[which], time.Since(begun))
			if problem := fault(got, err, full); problem != "" {
				return pagesResult{}, fmt.Errorf("page: %s", problem)
			}
		}
	}
	slices.Sort(latencies[0])
	slices.Sort(latencies[1])
	second, last := quantile(latencies[0], 0.5), quantile(latencies[1], 0.5)
	return pagesResult{pages, rounds, second, last, last / second}, nil
}

const longPartition = "rack-long"

func fillLongPartition(c *connection, s server, table string, items int) error {
	for first := 0; first < items; first += batchItems {
		puts := ""
		for i := first; i < min(first+batchItems, items); i++ {
			puts += fmt.Sprintf(`,{"PutRequest":{"Item":{"rack":{"S":%q},"slot":{"S":"slot-%07d"},"notes":{"S":"%s%s"}}}}`,
				longPartition, i, notes, notes[:184])
		}
		body := fmt.Sprintf(`{"RequestItems":{%q:[%s]}}`, table, puts[1:])
		var got struct{ UnprocessedItems map[string]json.RawMessage }
		if err := call(c, s, "BatchWriteItem", body, &got); err != nil {
			return err
		}
		if len(got.UnprocessedItems) > 0 {
			return fmt.Errorf("the server left items of a batch unprocessed")
		}
	}
	return nil
}

// pageStarts returns the start key of every page, in order; the first page has none.
func pageStarts(c *connection, s server, table string, pages int) ([]string, error) {
	starts := []string{""}
	for len(starts) < pages {
		var got struct {
			Count            int
			LastEvaluatedKey json.RawMessage
		}
		if err := call(c, s, "Query", query(table, longPartition, starts[len(starts)-1]), &got); err != nil {
			return nil, err
		}
		if got.Count != itemsPerPartition || len(got.LastEvaluatedKey) == 0 {
			return nil, fmt.Errorf("page %d has %d items and start key %q", len(starts), got.Count, got.LastEvaluatedKey)
		}
		starts = append(starts, string(got.LastEvaluatedKey))
	}
	return starts, nil
}
