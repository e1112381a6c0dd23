package main

import (
	"reflect"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

const statusHeading = "\n# The JSON document of status\n"

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

func TestReportDocHasEveryFieldOfAStatus(t *testing.T) {
	_, page, found := strings.Cut(readDoc(t, reportDoc), statusHeading)
	if !found {
		t.Fatalf("%s has no section for status", reportDoc)
	}

	for _, document := range []any{overviewJSON{}, standingJSON{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(document)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(page, "\n| `"+name+"` |") {
				t.Errorf("%s does not have the field %s", reportDoc, name)
			}
		}
	}
}

func TestReportDocShowsTheStatusThatIsPrinted(t *testing.T) {
	one, two := aged(1, "180_days", 200, named("admin@one.example")), aged(2, "180_days", 175, named("admin@two.example"))
	broken := aged(3, "180_days", 5, named(""), candidateError("username is missing"))

	example := printedStatus(t, []rotator.Status{one, two, broken}, rotator.Standings(), 0, "json", false)

	if !strings.Contains(readDoc(t, reportDoc), "```json\n"+example+"```\n") {
		t.Errorf("%s does not have this example:\n%s", reportDoc, example)
	}
}
