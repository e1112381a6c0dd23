package simulation

import "hash/maphash"

// Result is what an exploration found.
type Result struct {
	Scenario  string
	States    int     // distinct
	Steps     int     // from each state: all that can come next
	Schedules float64 // from the beginning to rest; each would be a test
	Ends      int     // distinct states at rest, before the last undisturbed run
	Excused   map[Excuse]int
	Healed    int            // ends that were excused on the way and are whole after the last run
	Limits    map[Excuse]int // ends that are not
	Violation *Violation     // the shortest there is
}

// explorer goes through the states breadth first, so that what it finds is
// found by the shortest schedule. A state is reached by replaying the steps
// that lead there: coroutines cannot be copied.
type explorer struct {
	scenario *Scenario
	seed     maphash.Seed
	nodes    []node
	actions  []action // of all nodes, one behind the other
	targets  []int32  // where each action leads
	known    map[uint64]int32
	path     []action
	result   Result
	stages   stages
}

type node struct {
	parent int32
	by     action
	from   int32 // its actions
	to     int32
}

// Explore follows every schedule of the scenario, up to the first violation.
func Explore(s Scenario) Result {
	x := &explorer{
		scenario: &s, seed: maphash.MakeSeed(), known: map[uint64]int32{},
		result: Result{Scenario: s.Name, Excused: map[Excuse]int{}, Limits: map[Excuse]int{}},
	}
	w := newWorld(x.scenario, x.seed, &x.stages)
	defer x.stages.close()
	x.add(w, node{parent: -1})
	w.close()
	for i := 0; i < len(x.nodes) && x.result.Violation == nil; i++ {
		for n := x.nodes[i].from; n < x.nodes[i].to && x.result.Violation == nil; n++ {
			x.targets = append(x.targets, x.follow(int32(i), x.actions[n]))
		}
	}
	x.result.States, x.result.Steps = len(x.nodes), len(x.targets)
	if x.result.Violation == nil {
		x.result.Schedules = x.schedules()
	}
	return x.result
}

// follow replays the way to a node, takes one more step and returns where that
// leads.
func (x *explorer) follow(from int32, a action) int32 {
	w := newWorld(x.scenario, x.seed, &x.stages)
	defer w.close()
	for _, step := range x.way(from) {
		w.do(step)
	}
	w.do(a)
	if w.violation != "" {
		x.found(w, append(x.way(from), a), false)
		return -1
	}
	state := w.state()
	if i, found := x.known[state]; found {
		return i
	}
	x.known[state] = int32(len(x.nodes))
	return x.add(w, node{parent: from, by: a})
}

// add makes a node of the state that w is in.
func (x *explorer) add(w *world, n node) int32 {
	number := int32(len(x.nodes))
	n.from = int32(len(x.actions))
	x.actions = w.enabled(x.actions)
	n.to = int32(len(x.actions))
	x.nodes = append(x.nodes, n)
	if w.ledger.excuse != None {
		x.result.Excused[w.ledger.excuse]++
	}
	if n.from == n.to {
		x.end(w, number)
	}
	return number
}

// way is the schedule that leads to a node. It is overwritten by the next call.
func (x *explorer) way(to int32) []action {
	x.path = x.path[:0]
	for i := to; x.nodes[i].parent >= 0; i = x.nodes[i].parent {
		x.path = append(x.path, x.nodes[i].by)
	}
	for i, j := 0, len(x.path)-1; i < j; i, j = i+1, j-1 {
		x.path[i], x.path[j] = x.path[j], x.path[i]
	}
	return x.path
}

// schedules counts the ways through the states. No state is met twice in one
// schedule: every step is taught to somebody or spends a budget.
func (x *explorer) schedules() float64 {
	ways := make([]float64, len(x.nodes))
	var count func(i int32) float64
	count = func(i int32) float64 {
		n := x.nodes[i]
		if n.from == n.to {
			return 1
		}
		if ways[i] == 0 {
			for _, target := range x.targets[n.from:n.to] {
				ways[i] += count(target)
			}
		}
		return ways[i]
	}
	return count(0)
}
