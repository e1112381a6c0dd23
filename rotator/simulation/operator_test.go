package simulation_test

import "mailu-rotator/rotator/simulation"

// operators add a person's acts between any two steps.
func operators(b bound) []simulation.Scenario {
	var scenarios []simulation.Scenario
	for _, acts := range [][]simulation.Act{
		{simulation.EditsField},
		{simulation.RestoresFirst},
		{simulation.RestoresFormer},
		{simulation.PutsIntoVault},
		{simulation.EditsIntoVault},
		{simulation.PutsIntoMailu},
		{simulation.PutsIntoVault, simulation.PutsIntoMailu},
		{simulation.PutsIntoMailu, simulation.PutsIntoVault},
		{simulation.SoftlyDeletes},
		{simulation.SoftlyDeletes, simulation.Undeletes},
		{simulation.DeletesMetadata},
	} {
		name := "operator"
		for i, act := range acts {
			if i > 0 {
				name += ", then"
			}
			name += " " + act.String()
		}
		scenarios = append(scenarios,
			simulation.Scenario{Name: name, Operator: acts, Faults: b.upTo(0, 1, 2), Processes: processes(daemon(b.upTo(1, 1, 2)), recovering(secondHost(1))), Pauses: everyPause()[2:]},
			simulation.Scenario{Name: name + ", tried again", Operator: acts, Processes: processes(daemon(2)), Faults: b.upTo(0, 1, 2)},
			simulation.Scenario{Name: name + ", two at once", Operator: acts, Processes: processes(daemon(1), runNow(1)), Faults: b.upTo(0, 0, 1)},
		)
	}
	return scenarios
}
