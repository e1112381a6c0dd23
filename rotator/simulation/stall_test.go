package simulation_test

import "mailu-rotator/rotator/simulation"

// stalls are owners that stop between taking a claim and pushing, and continue after
// others have taken over, committed, and rotated once more.
func stalls(b bound) []simulation.Scenario {
	return []simulation.Scenario{
		{Name: "stalled owner, overtaken by run-now", Processes: processes(daemon(2), runNow(1)), Stalls: 1, Only: deadly},
		{Name: "stalled owner, one fault of any kind", Processes: processes(daemon(1), runNow(1)), Stalls: 1, Faults: b.upTo(0, 1, 2)},
		{Name: "stalled owner, overtaken by two", Processes: processes(daemon(1), recovering(runNow(1)), secondHost(1)), Stalls: 1, Faults: b.upTo(0, 1, 1), Preemptions: b.upTo(3, 3, 6), Only: deadly},
		{Name: "a claim that was away and came back", Processes: processes(daemon(1), runNow(1)), Stalls: b.upTo(1, 2, 2), Faults: 1, Only: refusals},
		{Name: "two stalls", Processes: processes(daemon(1), runNow(1)), Stalls: b.upTo(1, 2, 3)},
	}
}

// deadly selects the faults that end a process.
func deadly(_ simulation.Call, f simulation.Fate) bool {
	return f == simulation.DiesBefore || f == simulation.DiesAfter || f == simulation.DiesWhile
}

// refusals selects the fault that a process may treat as certain.
func refusals(_ simulation.Call, f simulation.Fate) bool {
	return f == simulation.Refused
}
