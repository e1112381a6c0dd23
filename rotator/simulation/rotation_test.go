package simulation_test

import (
	"time"

	"mailu-rotator/rotator/simulation"
)

// daemon rotates what is due, like a daemon on another host; runNow rotates what was
// not rotated since it started.
func daemon(attempts int) simulation.Process {
	return simulation.Process{Name: "daemon", Attempts: attempts}
}

func secondHost(attempts int) simulation.Process {
	return simulation.Process{Name: "second host", Attempts: attempts}
}

func runNow(attempts int) simulation.Process {
	return simulation.Process{Name: "run-now", RunNow: true, Attempts: attempts}
}

// recovering starts p after a failed daemon.
func recovering(p simulation.Process) simulation.Process {
	p.After = "daemon"
	return p
}

// The claim is valid, has less than half of its time left, has expired.
func everyPause() []time.Duration {
	return []time.Duration{0, simulation.ClaimTTL * 6 / 10, simulation.ClaimTTL}
}

func processes(p ...simulation.Process) []simulation.Process { return p }

// oneRotation is one rotation with every fate of every call, and the processes that
// resume it.
func oneRotation(b bound) []simulation.Scenario {
	return []simulation.Scenario{
		{Name: "one rotation, nothing fails", Processes: processes(daemon(1))},
		{Name: "recovery by the same process", Processes: processes(daemon(3)), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "recovery by another", Processes: processes(daemon(1), recovering(secondHost(2))), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "recovery by both at once, 1 fault", Processes: processes(daemon(2), recovering(secondHost(1))), Faults: 1, Pauses: everyPause()[b.upTo(2, 0, 0):]},
		{Name: "recovery by both at once, 2 faults", Processes: processes(daemon(2), recovering(secondHost(1))), Faults: b.upTo(0, 2, 2), Pauses: everyPause()[2:], Only: b.only(unclear)},
	}
}

// unclear selects the faults after which a process does not know the outcome, or is
// dead.
func unclear(_ simulation.Call, f simulation.Fate) bool {
	switch f {
	case simulation.LostAfter, simulation.LateAnswer, simulation.LateEffect, simulation.DiesWhile:
		return true
	}
	return false
}
