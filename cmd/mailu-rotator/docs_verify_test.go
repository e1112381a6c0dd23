package main

import (
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestDocsHaveEveryState(t *testing.T) {
	page := docSection(t, commandsDoc, "Verify")

	for _, state := range rotator.States() {
		if !strings.Contains(page, "\n| `"+string(state)+"` |") {
			t.Errorf("%s does not have the state %s", commandsDoc, state)
		}
	}
}
