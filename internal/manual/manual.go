// Package manual writes the manual pages of the commands from their help texts, for
// make man. The program that is installed does not link it. mailu-rotator(8) itself is
// written by hand.
package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Write writes a page for each command of the program into the directory. The epoch is the
// date of the sources in seconds, so that the same sources give the same pages.
func Write(root *cobra.Command, directory, epoch string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH=%q is no number of seconds: set it to the date of the sources, as make man does", epoch)
	}
	for _, cmd := range Commands(root) {
		file := filepath.Join(directory, Name(cmd)+".8")
		if err := os.WriteFile(file, []byte(page(cmd, time.Unix(seconds, 0).UTC())), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Commands returns the commands that have a page: all that do something, without those
// that cobra adds, which are in mailu-rotator(8).
func Commands(root *cobra.Command) (all []*cobra.Command) {
	for _, sub := range root.Commands() {
		switch {
		case sub.Hidden, sub.Name() == "help", sub.Name() == "completion":
		case sub.HasSubCommands():
			all = append(all, Commands(sub)...)
		default:
			all = append(all, sub)
		}
	}
	return all
}

// Name returns the name of the command's page, such as mailu-rotator-tenant-add.
func Name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page returns the page in mdoc(7), like mailu-rotator.8.
func page(cmd *cobra.Command, date time.Time) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	program, command, _ := strings.Cut(cmd.CommandPath(), " ")

	line(".Dd %s\n.Dt %s 8\n.Os", date.Format("January 2, 2006"), strings.ToUpper(Name(cmd)))
	line(".Sh NAME\n.Nm %s\n.Nd %s", Name(cmd), roffText(lowerFirst(cmd.Short)))
	line(".Sh SYNOPSIS\n.Nm %s\n.Cm %s", program, command)
	flags := shownFlags(cmd)
	for _, f := range flags {
		line(".Op %s", option(f))
	}
	for _, argument := range strings.Fields(cmd.Use)[1:] {
		line(".Ar %s", strings.ToLower(argument))
	}
	line(".Sh DESCRIPTION\n%s", paragraphs(description(cmd)))
	line(".Sh OPTIONS\n.Bl -tag -width Ds")
	for _, f := range flags {
		_, usage := pflag.UnquoteUsage(f)
		line(".It %s\n%s", option(f), roffText(upperFirst(usage)))
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" && f.DefValue != "0" {
			line("The default is\n.Cm %s .", roffText(f.DefValue))
		}
	}
	line(".El")
	if cmd.HasExample() {
		line(".Sh EXAMPLES\n.Bd -literal\n%s\n.Ed", literal(cmd.Example))
	}
	line(".Sh SEE ALSO\n.Xr %s 8", program)
	return text.String()
}

// shownFlags returns the command's own and inherited flags, by name.
func shownFlags(cmd *cobra.Command) (flags []*pflag.Flag) {
	cmd.InitDefaultHelpFlag()
	cmd.InheritedFlags() // now in Flags as well
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f)
		}
	})
	return flags
}

func description(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}

// option formats a flag with mdoc macros, without its surroundings.
func option(f *pflag.Flag) string {
	macros := "Fl -" + f.Name
	if f.Shorthand != "" {
		macros = "Fl " + f.Shorthand + " , " + macros
	}
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		macros += " Ar " + value
	}
	return macros
}

// paragraphs begins each sentence on a new line, as roff requires.
func paragraphs(long string) string {
	long = strings.ReplaceAll(roffText(long), "\n\n", "\n.Pp\n")
	return regexp.MustCompile(`([.?]) +([A-Z])`).ReplaceAllString(long, "$1\n$2")
}

// roffText keeps roff from interpreting plain text.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "--", `\-\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, one := range lines {
		if strings.HasPrefix(one, ".") || strings.HasPrefix(one, "'") {
			lines[i] = `\&` + one
		}
	}
	return strings.Join(lines, "\n")
}

// literal formats text in which every hyphen can be copied and pasted.
func literal(s string) string {
	s = strings.ReplaceAll(roffText(s), `\-`, "-")
	return strings.ReplaceAll(s, "-", `\-`)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
