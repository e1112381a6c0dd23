package main

import (
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestDocsHaveEveryStanding(t *testing.T) {
	status := docSection(t, commandsDoc, "Status")

	for _, standing := range rotator.Standings() {
		if !strings.Contains(status, "\n| `"+string(standing)+"` |") {
			t.Errorf("%s does not have the state %s of status", commandsDoc, standing)
		}
	}
}

func TestCommandsDocHasEveryFlagOfStatus(t *testing.T) {
	status := docSection(t, commandsDoc, "Status")

	for _, flag := range flagsOf(newStatusCommand(new(string))) {
		if flag != "--help" && flag != "-h" && !mentions(status, flag) {
			t.Errorf("%s does not have %s of status", commandsDoc, flag)
		}
	}
}
