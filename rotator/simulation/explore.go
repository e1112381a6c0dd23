package simulation

import "hash/maphash"

// Result is the result of an exploration.
type Result struct {
	Scenario  string
	States    int     // distinct
	Steps     int     // from each state: all possible next steps
	Schedules float64 // from the start to rest; each would be a test
	Ends      int     // distinct states at rest, before the last undisturbed run
	Excused   map[Excuse]int
	Healed    int            // ends that were excused on the way and are whole after the last run
	Limits    map[Excuse]int // ends that are not
	Violation *Violation     // with the shortest schedule
}

// explorer searches the states breadth first, so that the first violation has the
// shortest schedule. It reaches a state by replaying the steps that lead there:
// coroutines cannot be copied.
type explorer struct {
	scenario *Scenario
	seed     maphash.Seed
	nodes    []node
	actions  []action // actions of all nodes, concatenated
	targets  []int32  // the node that each action leads to
	known    map[uint64]int32
	path     []action
	result   Result
	stages   stages
}

type node struct {
	parent int32
	by     action
	from   int32 // index of its first action
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

// follow replays the way to a node, takes one more step and returns the resulting node.
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

// add creates a node for the current state of w.
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

// way returns the schedule that leads to a node. The next call overwrites it.
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

// schedules counts the paths through the states. No schedule meets a state twice: every
// step adds to a process's knowledge or spends a budget.
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
