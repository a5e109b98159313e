package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// tick is the unit of CPU times in /proc, the same on every Linux (USER_HZ, see proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// usage is what a process and its descendants have used and hold.
type usage struct {
	cpu           time.Duration
	residentBytes int
}

// process is one line of /proc/PID/stat.
type process struct {
	parent int
	usage  usage
}

// usageOf returns the usage of processes with their descendants, or nil where none is named, one is not there, or there
// is no /proc.
func usageOf(roots []int) *usage {
	processes := map[int]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		if pid, p, ok := parseStat(text); ok {
			processes[pid] = p
		}
	}
	for _, root := range roots {
		if _, there := processes[root]; !there {
			return nil
		}
	}
	if len(roots) == 0 {
		return nil
	}
	var sum usage
	for pid := range processes {
		if slices.ContainsFunc(roots, func(root int) bool { return descends(processes, pid, root) }) {
			sum.cpu += processes[pid].usage.cpu
			sum.residentBytes += processes[pid].usage.residentBytes
		}
	}
	return &sum
}

func descends(processes map[int]process, pid, root int) bool {
	for pid != root {
		p, there := processes[pid]
		if !there {
			return false
		}
		pid = p.parent
	}
	return true
}

// parseStat reads "pid (name) state parent …"; the name may hold anything, so fields are counted from its end.
func parseStat(text []byte) (int, process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, process{}, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 22 {
		return 0, process{}, false
	}
	number := func(field []byte) int {
		n, _ := strconv.Atoi(string(bytes.TrimSpace(field)))
		return n
	}
	user, system, pages := number(fields[11]), number(fields[12]), number(fields[21])
	return number(text[:open]), process{
		parent: number(fields[1]),
		usage:  usage{cpu: time.Duration(user+system) * tick, residentBytes: pages * os.Getpagesize()},
	}, true
}
