package manual

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// program returns a command tree with one command of each kind.
func program() *cobra.Command {
	does := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "prog", Run: does}
	root.PersistentFlags().StringP("config", "c", "/etc/prog.yaml", "configuration `file`")
	undo := &cobra.Command{
		Use: "undo THING", Short: "Undo a thing", Run: does,
		Long:    "undo takes a thing back. A half-done\nthing comes first.\n\nThen the next.",
		Example: "  prog undo 0f8f-d9cb --to 3",
	}
	undo.Flags().Int("to", 0, "the `version` to go to")
	undo.Flags().String("secret", "", "not for everybody")
	if err := undo.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	thing := &cobra.Command{Use: "thing", Short: "Manage things"}
	thing.AddCommand(&cobra.Command{Use: "add", Short: "Add a thing", Run: does})
	root.AddCommand(undo, thing, &cobra.Command{Use: "inner", Hidden: true, Run: does})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func TestPageOfACommand(t *testing.T) {
	undo, _, err := program().Find([]string{"undo"})
	if err != nil {
		t.Fatal(err)
	}

	got := page(undo, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))

	want := `.Dd November 23, 2026
.Dt PROG-UNDO 8
.Os
.Sh NAME
.Nm prog-undo
.Nd undo a thing
.Sh SYNOPSIS
.Nm prog
.Cm undo
.Op Fl c , Fl -config Ar file
.Op Fl h , Fl -help
.Op Fl -to Ar version
.Ar thing
.Sh DESCRIPTION
undo takes a thing back.
A half-done
thing comes first.
.Pp
Then the next.
.Sh OPTIONS
.Bl -tag -width Ds
.It Fl c , Fl -config Ar file
Configuration file.
The default is
.Cm /etc/prog.yaml .
.It Fl h , Fl -help
Help for undo.
.It Fl -to Ar version
The version to go to.
.El
.Sh EXAMPLES
.Bd -literal
  prog undo 0f8f\-d9cb \-\-to 3
.Ed
.Sh SEE ALSO
.Xr prog 8
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// roff must not interpret plain text.
func TestPlainTextStaysPlain(t *testing.T) {
	for plain, want := range map[string]string{
		`a\b`:              `a\eb`,
		".Sh is a macro":   `\&.Sh is a macro`,
		"x\n'quoted'":      "x\n\\&'quoted'",
		"with --repair on": `with \-\-repair on`,
	} {
		if got := roffText(plain); got != want {
			t.Errorf("%q: got %q, want %q", plain, got, want)
		}
	}
}

func TestWriteMakesAPageForEachCommand(t *testing.T) {
	directory := t.TempDir()

	if err := Write(program(), directory, "1795392000"); err != nil {
		t.Fatal(err)
	}

	var got []string
	pages, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range pages {
		got = append(got, entry.Name())
	}
	if want := []string{"prog-thing-add.8", "prog-undo.8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPagesHaveTheDateOfTheSources(t *testing.T) {
	directory := t.TempDir()

	if err := Write(program(), directory, "1795392000"); err != nil {
		t.Fatal(err)
	}

	text, err := os.ReadFile(filepath.Join(directory, "prog-undo.8"))
	if err != nil || !strings.HasPrefix(string(text), ".Dd November 23, 2026\n") {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestWriteRefusesAWrongDate(t *testing.T) {
	if err := Write(program(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("got %v", err)
	}
}
