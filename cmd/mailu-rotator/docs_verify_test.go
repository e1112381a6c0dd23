package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

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

func TestReportDocHasEveryFieldOfAVerification(t *testing.T) {
	_, page, found := strings.Cut(readDoc(t, reportDoc), "\n# The JSON document of verify\n")
	if !found {
		t.Fatalf("%s has no section for verify", reportDoc)
	}

	for _, document := range []any{verificationJSON{}, findingJSON{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(document)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(page, "\n| `"+name+"` |") {
				t.Errorf("%s does not have the field %s", reportDoc, name)
			}
		}
	}
}

func TestReportDocShowsTheVerificationThatIsPrinted(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 125e6, time.UTC)
	found := rotator.Verification{
		Started: start, Finished: start.Add(875 * time.Millisecond),
		Findings: []rotator.Finding{
			{
				Tenant: "0f8fad5b-d9cb-469f-a165-70867728950e", User: "admin@one.example", Origin: "https://mail.example.com",
				State: rotator.StateOK, Repaired: true, Reason: "pushed Vault's current password",
			},
			{
				Tenant: "9b2e4a0c-6c1f-4f6e-8d8e-0d6a3c1b5f21", User: "admin@gone.example", Origin: "https://mail.example.com",
				State:  rotator.StateUnknownUser,
				Reason: "verify the password of admin@gone.example at https://mail.example.com: user admin@gone.example unknown to this server: create the user in Mailu, or correct the username in Vault",
			},
		},
	}

	var out bytes.Buffer
	must(t, printVerification(&out, found, true, "json"))

	if !strings.Contains(readDoc(t, reportDoc), "```json\n"+out.String()+"```\n") {
		t.Errorf("%s does not have this example:\n%s", reportDoc, &out)
	}
}
