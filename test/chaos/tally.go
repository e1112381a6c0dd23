package main

import (
	"maps"
	"slices"
	"sync"
)

// tally counts what happens in a run, by group and name.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func newTally() *tally { return &tally{counts: map[string]map[string]int{}} }

func (t *tally) add(group, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[group] == nil {
		t.counts[group] = map[string]int{}
	}
	t.counts[group][name]++
}

func (t *tally) of(group, name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[group][name]
}

// names are those of a group, in order.
func (t *tally) names(group string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.counts[group]))
}
