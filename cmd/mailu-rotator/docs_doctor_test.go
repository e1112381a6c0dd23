package main

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

func TestReportDocHasEveryFieldOfDoctorAndShow(t *testing.T) {
	for title, documents := range map[string][]any{
		"The JSON document of doctor": {diagnosisJSON{}, checkJSON{}, recordsJSON{}, flawJSON{}},
		"The JSON document of show":   {exhibitJSON{}, exhibitedPending{}},
	} {
		page := reportSection(t, title)
		for _, document := range documents {
			for _, field := range reflect.VisibleFields(reflect.TypeOf(document)) {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if !strings.Contains(page, "\n| `"+name+"` |") {
					t.Errorf("%s, %s: no field %s", reportDoc, title, name)
				}
			}
		}
	}
}

func reportSection(t *testing.T, title string) string {
	t.Helper()
	_, page, found := strings.Cut(readDoc(t, reportDoc), "\n# "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %q", reportDoc, title)
	}
	page, _, _ = strings.Cut(page, "\n# ")
	return page
}

func TestReportDocHasEveryStateAndFlawOfDoctor(t *testing.T) {
	page := reportSection(t, "The JSON document of doctor")
	for file, pattern := range map[string]string{
		"../../rotator/check.go":       `CheckState = "([^"]+)"`,
		"../../rotator/examination.go": `FlawKind = "([^"]+)"`,
	} {
		declared := regexp.MustCompile(pattern).FindAllStringSubmatch(readDoc(t, file), -1)
		if len(declared) < 4 {
			t.Fatalf("only %d found in %s", len(declared), file)
		}
		for _, found := range declared {
			if !strings.Contains(page, "\n| `"+found[1]+"` |") {
				t.Errorf("%s does not have %s", reportDoc, found[1])
			}
		}
	}
}

func TestReportDocShowsTheDiagnosisThatIsPrinted(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 125e6, time.UTC)
	d := diagnosis{
		config: defaultConfigPath, started: start, finished: start.Add(875 * time.Millisecond),
		sections: []section{
			{title: "Vault", required: true, checks: []rotator.Check{rotator.Passed("clock", "less than 2s from Vault's")}},
			{title: "Mailu", checks: []rotator.Check{rotator.Broken("https://mail.example.com",
				"status 403: Invalid API token; asked once, and Mailu counts it: five wrong tokens block this network for an hour",
				"systemd-ask-password -n 'API_TOKEN of mail.example.com:' >/etc/mailu-rotator/credentials/mail.example.com.token")}},
			{title: "Tenants", checks: []rotator.Check{{Name: "well-formed", State: rotator.CheckWarned, Found: "2 of 2"}}},
		},
		records: &rotator.Examination{Tenants: 2, WellFormed: 2, Flaws: []rotator.Flaw{{
			Tenant: "0f8fad5b-d9cb-469f-a165-70867728950e", Kind: rotator.FlawHalfFinished,
			Reason: "half-finished rotation by ops1/4711/1f2e3d4c: the next run finishes it",
		}}},
		mends: []string{"mailu-rotator --run-now --due-only --tenant 0f8fad5b-d9cb-469f-a165-70867728950e"},
	}

	var out bytes.Buffer
	must(t, printDiagnosis(&out, d, "json"))

	mustHaveExample(t, out.String())
}

func TestReportDocShowsTheRecordThatIsPrinted(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	policy, err := rotator.ParsePolicy("180_days")
	must(t, err)
	e := exhibit{record: rotator.Record{
		Credential: rotator.Credential{
			Tenant: "0f8fad5b-d9cb-469f-a165-70867728950e", Username: "admin@one.example", Origin: "https://mail.example.com",
			CreatedAt: "2025-01-02T03:04:05Z", LastRotated: "2026-11-23T10:00:00.492Z", Policy: policy, KeyVersion: 2,
			Version: 7, Written: at.Add(time.Second), Password: crypto.SealedPassword("c2VhbGVk"),
		},
		Age: 48 * time.Hour, AgeKnown: true, Due: at.Add(policy.MaxAge()), ByDefault: true,
	}}

	var out bytes.Buffer
	must(t, printExhibit(&out, e, showFlags{output: "json"}))

	mustHaveExample(t, out.String())
}

func mustHaveExample(t *testing.T, printed string) {
	t.Helper()
	if !strings.Contains(readDoc(t, reportDoc), "```json\n"+printed+"```\n") {
		t.Errorf("%s does not have this example:\n%s", reportDoc, printed)
	}
}

// TestDiagnosisListsSomeFlawsAndCountsTheRest: a long list must not scroll the
// important checks away.
func TestDiagnosisListsSomeFlawsAndCountsTheRest(t *testing.T) {
	d := diagnosis{records: &rotator.Examination{}}
	for range 10_000 {
		d.records.Flaws = append(d.records.Flaws, rotator.Flaw{Tenant: "x", Kind: rotator.FlawAbsent, Reason: "no such record"})
		d.mends = append(d.mends, "")
	}

	var table, document bytes.Buffer
	must(t, printDiagnosis(&table, d, "table"))
	must(t, printDiagnosis(&document, d, "json"))

	if n := strings.Count(table.String(), "no such record"); n != shownFlaws || !strings.Contains(table.String(), "… and 9980 more: --output json has them all") {
		t.Errorf("%d shown:\n%s", n, &table)
	}
	if n := strings.Count(document.String(), "no such record"); n != 10_000 {
		t.Errorf("%d in the document", n)
	}
}
