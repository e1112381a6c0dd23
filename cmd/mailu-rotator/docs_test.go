package main

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// The paths of the documents, relative to this package.
const (
	manPage     = "../../docs/man/mailu-rotator.8"
	commandsDoc = "../../docs/commands.md"
	logsDoc     = "../../docs/logs.md"
	reportDoc   = "../../docs/report.md"
)

func TestManPageHasEveryCommandAndFlag(t *testing.T) {
	// .It Fl c , Fl -config Ar file is written: -c, --config file
	page := regexp.MustCompile(`\bFl (\S+)`).ReplaceAllString(readDoc(t, manPage), "-$1")

	for _, name := range append(commandNames(), flagNames()...) {
		if !mentions(page, name) {
			t.Errorf("%s does not have %s", manPage, name)
		}
	}
}

func TestCommandsDocHasEveryCommandAndFlag(t *testing.T) {
	page := readDoc(t, commandsDoc)

	for _, name := range append(commandNames(), flagNames()...) {
		if !mentions(page, name) && !mentions(page, lastWord(name)) {
			t.Errorf("%s does not have %s", commandsDoc, name)
		}
	}
}

func TestManPageHasNoFlagThatDoesNotExist(t *testing.T) {
	known := flagNames()

	for _, found := range regexp.MustCompile(`\bFl (\S+)`).FindAllStringSubmatch(readDoc(t, manPage), -1) {
		if name := "-" + found[1]; !slices.Contains(known, name) {
			t.Errorf("%s has %s, the program has not", manPage, name)
		}
	}
}

func TestCommandsDocHasEveryOutcome(t *testing.T) {
	page := docSection(t, commandsDoc, "Outcomes")

	for _, outcome := range rotator.Outcomes() {
		if !strings.Contains(page, "\n| `"+string(outcome)+"` |") {
			t.Errorf("%s does not have the outcome %s", commandsDoc, outcome)
		}
	}
}

func TestLogsDocHasEveryEvent(t *testing.T) {
	page := readDoc(t, logsDoc)

	for _, event := range append(documentedEvents(t), passwordRevealed, tenantRemoved) {
		if !strings.Contains(page, "`"+event+"`") {
			t.Errorf("%s does not have the event %q", logsDoc, event)
		}
	}
}

func TestReportDocShowsWhatIsPrinted(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 125e6, time.UTC)
	report := sweep.Report{
		Started: start, Finished: start.Add(1875 * time.Millisecond), RotatedBefore: start,
		Rows: []sweep.Row{
			{
				Tenant: "0f8fad5b-d9cb-469f-a165-70867728950e", User: "admin@one.example", Origin: "https://mail.example.com",
				LastRotated: "2026-11-23T10:00:00.492Z", Age: time.Second, Outcome: rotator.Rotated, Reason: "asked for",
			},
			{
				Tenant: "9b2e4a0c-6c1f-4f6e-8d8e-0d6a3c1b5f21", User: "admin@gone.example", Origin: "https://mail.example.com",
				Age: -1, Outcome: rotator.Failed,
				Reason: "user admin@gone.example unknown to this server: create the user in Mailu, or correct the username in Vault",
			},
		},
	}

	var out bytes.Buffer
	if err := printReport(&out, report, "json", false); err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(readDoc(t, reportDoc), "```json\n"+out.String()+"```\n") {
		t.Errorf("%s does not have this example:\n%s", reportDoc, &out)
	}
}

// docSection returns the text below a heading of a document, up to the next one.
func docSection(t *testing.T, path, heading string) string {
	t.Helper()
	_, page, found := strings.Cut(readDoc(t, path), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", path, heading)
	}
	page, _, _ = strings.Cut(page, "\n## ")
	return page
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// commandTree is the command line, including the commands that cobra adds at run time.
func commandTree() []*cobra.Command {
	root := newRootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].Commands()...)
	}
	return all
}

// commandNames returns the runnable commands, without the program's name.
func commandNames() (names []string) {
	for _, cmd := range commandTree()[1:] {
		if cmd.Runnable() && !cmd.Hidden {
			names = append(names, strings.TrimPrefix(cmd.CommandPath(), "mailu-rotator "))
		}
	}
	return names
}

func flagNames() (names []string) {
	for _, cmd := range commandTree() {
		names = append(names, flagsOf(cmd)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func flagsOf(cmd *cobra.Command) (names []string) {
	cmd.InitDefaultHelpFlag()
	add := func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		names = append(names, "--"+flag.Name)
		if flag.Shorthand != "" {
			names = append(names, "-"+flag.Shorthand)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.PersistentFlags().VisitAll(add)
	return names
}

// mentions searches for the whole name: --limit is not in --limits.
func mentions(page, name string) bool {
	return regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(name) + `($|[^\w-])`).MatchString(page)
}

func lastWord(s string) string { return s[strings.LastIndex(s, " ")+1:] }

// documentedEvents returns the messages that rotator/events.go declares.
func documentedEvents(t *testing.T) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`EventName = "([^"]+)"`).FindAllStringSubmatch(readDoc(t, "../../rotator/events.go"), -1)
	if len(declared) < 10 {
		t.Fatalf("only %d events found in rotator/events.go", len(declared))
	}
	for _, found := range declared {
		names = append(names, found[1])
	}
	names = append(names, logMessages(t)...)
	return names
}

// logMessages returns the messages that this package itself logs.
func logMessages(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range []string{"app.go", "daemon.go", "log.go"} {
		for _, found := range regexp.MustCompile(`zap\.(?:Info|Warn|Error)\("([^"]+)"`).FindAllStringSubmatch(readDoc(t, file), -1) {
			names = append(names, found[1])
		}
	}
	return names
}

func TestReportDocHasEveryField(t *testing.T) {
	for title, documents := range map[string][]any{
		"The JSON document of a run":  {reportJSON{}, rowJSON{}},
		"The JSON document of verify": {verificationJSON{}, findingJSON{}},
		"The JSON document of status": {statusReport{}, statusRow{}},
		"The JSON document of doctor": {doctorReport{}, checkJSON{}, sweep.Examination{}, rotator.Issue{}},
		"The JSON document of show":   {recordJSON{}, pendingJSON{}},

		"The JSON document of tenant remove": {removalJSON{}},
	} {
		page := reportSection(t, title)
		for _, document := range documents {
			for _, name := range jsonNames(reflect.TypeOf(document)) {
				if !strings.Contains(page, "\n| `"+name+"` |") {
					t.Errorf("%s, %s: no field %s", reportDoc, title, name)
				}
			}
		}
	}
}

// jsonNames returns the names of a document's fields, including those of embedded types,
// which must all have one.
func jsonNames(document reflect.Type) (names []string) {
	for _, field := range reflect.VisibleFields(document) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" && !field.Anonymous && field.IsExported() {
			names = append(names, name)
		}
	}
	return names
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
	for _, pattern := range []string{`CheckState = "([^"]+)"`, `IssueKind = "([^"]+)"`} {
		declared := regexp.MustCompile(pattern).FindAllStringSubmatch(readDoc(t, "../../rotator/issues.go"), -1)
		if len(declared) < 4 {
			t.Fatalf("only %d found for %s", len(declared), pattern)
		}
		for _, found := range declared {
			if !strings.Contains(page, "\n| `"+found[1]+"` |") {
				t.Errorf("%s does not have %s", reportDoc, found[1])
			}
		}
	}
}

// TestDoctorListsSomeFlawsAndCountsTheRest: a long list must not scroll the
// important checks away.
func TestDoctorListsSomeFlawsAndCountsTheRest(t *testing.T) {
	r := &doctorReport{Records: &sweep.Examination{}}
	for range 10_000 {
		r.Records.Issues = append(r.Records.Issues, rotator.Issue{Tenant: "x", Kind: rotator.IssueAbsent, Reason: "no such record"})
	}

	var table, document bytes.Buffer
	must(t, printDoctorReport(&table, r, "table"))
	must(t, printDoctorReport(&document, r, "json"))

	if n := strings.Count(table.String(), "no such record"); n != shownFlaws || !strings.Contains(table.String(), "… and 9980 more: --output json has them all") {
		t.Errorf("%d shown:\n%s", n, &table)
	}
	if n := strings.Count(document.String(), "no such record"); n != 10_000 {
		t.Errorf("%d in the document", n)
	}
}

func TestDocsHaveEveryPolicyState(t *testing.T) {
	status := docSection(t, commandsDoc, "Status")

	for _, state := range rotator.PolicyStates() {
		if !strings.Contains(status, "\n| `"+string(state)+"` |") {
			t.Errorf("%s does not have the state %s of status", commandsDoc, state)
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

func TestDocsHaveEveryState(t *testing.T) {
	page := docSection(t, commandsDoc, "Verify")

	for _, state := range rotator.States() {
		if !strings.Contains(page, "\n| `"+string(state)+"` |") {
			t.Errorf("%s does not have the state %s", commandsDoc, state)
		}
	}
}
