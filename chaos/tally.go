package main

import "sync"

// tally counts what happens in a run, by group and name.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func newTally() *tally { return &tally{counts: map[string]map[string]int{}} }

func (t *tally) add(group, name string) { t.addSome(group, name, 1) }

func (t *tally) addSome(group, name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[group] == nil {
		t.counts[group] = map[string]int{}
	}
	t.counts[group][name] += n
}

func (t *tally) of(group, name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[group][name]
}
