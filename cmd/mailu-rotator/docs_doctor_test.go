package main

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestReportDocHasEveryField(t *testing.T) {
	for title, documents := range map[string][]any{
		"The JSON document of a run":  {reportJSON{}, rowJSON{}},
		"The JSON document of verify": {verificationJSON{}, findingJSON{}},
		"The JSON document of status": {overviewJSON{}, standingJSON{}},
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

// reportSection returns the document's text about one JSON document: the common fields,
// and its own section.
func reportSection(t *testing.T, title string) string {
	t.Helper()
	common, _, _ := strings.Cut(readDoc(t, reportDoc), "\n# The JSON document of")
	_, page, found := strings.Cut(readDoc(t, reportDoc), "\n# "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %q", reportDoc, title)
	}
	page, _, _ = strings.Cut(page, "\n# ")
	return common + page
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

// TestDiagnosisListsSomeFlawsAndCountsTheRest: a long list must not scroll the
// important checks away.
func TestDiagnosisListsSomeFlawsAndCountsTheRest(t *testing.T) {
	d := diagnosis{records: &rotator.Examination{}}
	for range 10_000 {
		d.records.Flaws = append(d.records.Flaws, rotator.Flaw{Tenant: "x", Kind: rotator.FlawAbsent, Reason: "no such record"})
		d.fixes = append(d.fixes, "")
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
