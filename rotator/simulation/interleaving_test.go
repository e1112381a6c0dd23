package simulation_test

import "mailu-rotator/rotator/simulation"

// interleavings are concurrent processes, in every order of their calls.
func interleavings(b bound) []simulation.Scenario {
	return []simulation.Scenario{
		{Name: "daemon and run-now", Processes: processes(daemon(2), runNow(2)), Faults: b.upTo(0, 1, 2)},
		{Name: "daemon and run-now, one attempt each", Processes: processes(daemon(1), runNow(1)), Faults: b.upTo(1, 2, 3)},
		{Name: "two daemons", Processes: processes(daemon(2), secondHost(2)), Faults: b.upTo(0, 1, 2)},
		{Name: "two run-nows", Processes: processes(runNow(1), alsoRunNow()), Faults: b.upTo(0, 1, 2)},
		{Name: "three processes", Processes: processes(daemon(1), runNow(1), secondHost(1))},
		{Name: "three processes, 2 preemptions", Processes: processes(daemon(1), runNow(1), secondHost(1)), Faults: b.upTo(0, 1, 2), Preemptions: 2},
	}
}

func alsoRunNow() simulation.Process {
	return simulation.Process{Name: "another run-now", RunNow: true, Attempts: 1}
}
