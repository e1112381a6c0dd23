package simulation

import (
	"hash/maphash"
	"strings"
)

// Play runs one schedule of the scenario: the processes one after another, where the
// nth call, counted from 1, has the fate and all others succeed; then the last
// undisturbed run. It returns the schedule for people, and the violation, if any.
func Play(s Scenario, nth int, fate Fate) (schedule, broken string) {
	var stages stages
	defer stages.close()
	s.Faults = 1
	w := newWorld(&s, maphash.MakeSeed(), &stages)
	defer w.close()
	var lines strings.Builder
	w.narrate(&lines)
	for options := w.enabled(nil); len(options) > 0; options = w.enabled(options[:0]) {
		step := options[0]
		if nth--; nth == 0 && step.kind == grant {
			step.fate = fate
		}
		w.do(step)
	}
	w.checkRest(w.settle())
	return lines.String(), w.violation
}
