package simulation_test

import (
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/simulation"
)

// adding is a process that runs `tenant add`.
func adding(attempts int) simulation.Process {
	return simulation.Process{Name: "tenant add", Adds: true, Attempts: attempts}
}

func alsoAdding() simulation.Process {
	return simulation.Process{Name: "another tenant add", Adds: true, Attempts: 1}
}

// afterAdding starts p after a failed addition.
func afterAdding(p simulation.Process) simulation.Process {
	p.After = "tenant add"
	return p
}

// additions add a tenant without a record, with and without a user in Mailu.
func additions(b bound) (scenarios []simulation.Scenario) {
	for _, s := range []simulation.Scenario{
		{Name: "adding, nothing fails", Processes: processes(adding(1))},
		{Name: "adding, tried again", Processes: processes(adding(2)), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "adding, the command again", Processes: processes(adding(1), afterAdding(alsoAdding())), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "adding, then a daemon", Processes: processes(adding(1), afterAdding(daemon(2))), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "adding, then an emergency run", Processes: processes(adding(1), afterAdding(runNow(1))), Faults: b.upTo(1, 1, 2), Pauses: everyPause()},
		{Name: "two who add", Processes: processes(adding(2), alsoAdding()), Faults: b.upTo(0, 1, 2)},
		{Name: "adding beside an emergency run", Processes: processes(adding(2), runNow(2)), Faults: b.upTo(0, 1, 2)},
		{Name: "adding, stalled and overtaken", Processes: processes(adding(1), alsoAdding()), Stalls: 1, Faults: b.upTo(0, 1, 2)},
	} {
		s.Vacant = true
		scenarios = append(scenarios, s)
		s.NoUser, s.Name = true, s.Name+", without a user"
		scenarios = append(scenarios, s)
	}
	return scenarios
}

// reseals run a reseal after a rotation of the master key, beside other processes.
func reseals(b bound) (scenarios []simulation.Scenario) {
	reseal := func(attempts int) simulation.Process {
		return simulation.Process{Name: "reseal", Reseals: true, Attempts: attempts}
	}
	for _, s := range []simulation.Scenario{
		{Name: "reseal alone", Processes: processes(reseal(2)), Faults: b.upTo(1, 2, 3), Pauses: everyPause()},
		{Name: "reseal beside a daemon", Processes: processes(daemon(2), reseal(2)), Faults: b.upTo(1, 1, 2)},
		{Name: "reseal beside an emergency run, one attempt each", Processes: processes(runNow(1), reseal(1)), Faults: b.upTo(1, 2, 2)},
		{Name: "reseal beside a stalled owner", Processes: processes(daemon(1), runNow(1), reseal(1)), Stalls: 1, Preemptions: b.upTo(2, 3, 6)},
	} {
		s.NewKey = true
		scenarios = append(scenarios, s)
	}
	return scenarios
}

// Like TestSeededBugsAreFound, for tenants without a current password and for reseals.
func TestSeededBugsInAdditionsAndResealsAreFound(t *testing.T) {
	reseal := simulation.Process{Name: "reseal", Reseals: true, Attempts: 1}
	for _, test := range []struct {
		scenario simulation.Scenario
		finds    string
	}{
		{simulation.Scenario{
			Name: "the first password is current before Mailu has it", Bug: func(r *rotator.Rotator) { r.Mailu = credulous{r.Mailu} },
			Vacant: true, Faults: 1, Processes: processes(adding(1)),
		}, "locked out"},
		{simulation.Scenario{
			Name: "claims on a new record do not count", Bug: func(r *rotator.Rotator) { r.Store = claimless{r.Store, r.Owner} },
			Vacant: true, Processes: processes(adding(1), alsoAdding()),
		}, "while it stands"},
		{simulation.Scenario{
			Name: "a reseal does not look for a pending password", Bug: func(r *rotator.Rotator) {
				if r.Owner == reseal.Name {
					r.Store = forgetful{r.Store}
				}
			},
			NewKey: true, Processes: processes(daemon(1), reseal),
		}, "locked out"},
	} {
		t.Run(test.scenario.Name, func(t *testing.T) {
			mustBeFound(t, test.scenario, test.finds)
		})
	}
}
