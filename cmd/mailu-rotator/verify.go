package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func newVerifyCommand(path *string) *cobra.Command {
	var selection selectionFlags
	var repair, full, all bool
	var output string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that Mailu accepts the passwords in Vault",
		Long: `Ask Mailu, for every tenant, whether it accepts the password in Vault. Nothing
is changed without --repair. With it, a half-finished rotation is finished; a
password that Mailu holds and only Vault's history has is made current again; if
neither explains the difference, or Mailu's hash is of another kind and cannot be
checked, Vault's password is pushed. A password that a login form could not send,
such as one that ends in a newline, is never pushed.

A hash that was checked once proves the same password again, which costs nothing.
So only changed hashes are checked, and a fiftieth of the others, each day another
one; --full checks all, at a quarter of a second of one core for each tenant.

Where a server's entry names mail services (login), five of its tenants, each day
others, log in for real, until one fails. Nothing is pushed because of that.

Exit status: 0 no problems, or all repaired; 2 problems remain; 1 could not run;
130 interrupted.`,
		Example: `  mailu-rotator verify
  mailu-rotator verify --repair --tenant 0f8fad5b-d9cb-469f-a165-70867728950e
  mailu-rotator verify --output json | jq -r '.tenants[] | select(.problem) | .tenant'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVerify(cmd, *path, selection, repair, full, output, all)
		},
	}
	selection.register(cmd)
	cmd.Flags().BoolVar(&repair, "repair", false, "bring Vault and Mailu back together where they differ")
	cmd.Flags().BoolVar(&full, "full", false, "check every hash anew, not only those that changed and a sample")
	registerOutput(cmd, &output)
	registerAll(cmd, &all)
	return cmd
}

func runVerify(cmd *cobra.Command, path string, selection selectionFlags, repair, full bool, output string, all bool) error {
	var found sweep.VerifyReport
	interrupted, err := runOnce(cmd, path, func(ctx context.Context, a *app) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		sel, err := selection.parse(a.cfg)
		if err != nil {
			return err
		}
		found, err = a.verify(ctx, sel, repair, full)
		a.refused(ctx, rotator.VerificationRefused, err)
		return err
	})
	if err != nil {
		return err
	}
	if err := printVerification(cmd.OutOrStdout(), found, repair, output, all || selection.named()); err != nil {
		return err
	}
	return statusOf(found.Problems(), interrupted)
}

// verificationJSON is the document of verify --output json, see docs/report.md.
type verificationJSON struct {
	sweep.VerifyReport
	Repair   bool                  `json:"repair"`
	Summary  map[rotator.State]int `json:"summary"`
	Repaired int                   `json:"repaired"`
	Problems int                   `json:"problems"`
	Tenants  []findingJSON         `json:"tenants"`
}

// findingJSON repeats the reason so that it comes last.
type findingJSON struct {
	rotator.Finding
	Problem bool   `json:"problem"`
	Reason  string `json:"reason,omitempty"`
}

func printVerification(out io.Writer, v sweep.VerifyReport, repair bool, format string, all bool) error {
	v.Started, v.Finished = v.Started.UTC(), v.Finished.UTC()
	doc := verificationJSON{
		VerifyReport: v, Repair: repair, Summary: map[rotator.State]int{}, Problems: v.Problems(), Tenants: make([]findingJSON, len(v.Findings)),
	}
	for i, f := range v.Findings {
		if f.Repaired {
			doc.Repaired++
		}
		doc.Summary[f.State]++
		doc.Tenants[i] = findingJSON{f, f.Problem(), f.Reason}
	}
	if format == "json" {
		return encodeJSON(out, doc)
	}
	rows, omitted := arrange(doc.Tenants, all, func(f findingJSON) (kind rotator.State, quiet, failed bool) {
		switch f.State {
		case rotator.StateOK:
			quiet = f.Reason == "" // the reason of a repair, or of what else prevents logins
		case rotator.StateUnproven, rotator.StateIgnored:
			quiet = true
		}
		return f.State, quiet, f.Problem
	})
	t := newGrid("TENANT", "USER", "ORIGIN", "STATE", "REASON")
	t.optional = []string{"ORIGIN", "TENANT"}
	for _, f := range rows {
		state := string(f.State)
		if f.Repaired {
			state += ", repaired"
		}
		t.add(cell(f.Tenant), cell(f.User), cell(string(f.Origin)), state, text.Quote(f.Reason))
	}
	return printTable(out, t, doc.summary(omitted))
}

// restoredBackup is the likely cause if several tenants drift: a rotation leaves none so,
// and people set one password at a time.
const restoredBackup = "was Vault, or a Mailu server, restored from a backup? docs/operations.md has what to do"

// summary is the number of tenants by state, and the remedy if there is one.
func (doc verificationJSON) summary(omitted map[rotator.State]int) string {
	found := counts(doc.Summary, rotator.States())
	if doc.Repaired > 0 {
		found = append(found, thousands(doc.Repaired)+" repaired")
	}
	text := fmt.Sprintf("%s: %s in %s", tenants(len(doc.Tenants)), strings.Join(found, ", "), doc.Finished.Sub(doc.Started).Round(10*time.Millisecond))
	text += notShown(counts(omitted, rotator.States()))
	if n := doc.Summary[rotator.StateDrift]; n > 1 && !doc.Repair {
		text += fmt.Sprintf("\n%s drift at once: %s", tenants(n), restoredBackup)
	}
	if !doc.Repair && slices.ContainsFunc(doc.Tenants, func(f findingJSON) bool { return f.Repairable() && f.State != rotator.StateUnreadable }) {
		text += "\nto bring Vault and Mailu back together: mailu-rotator verify --repair"
	}
	return text
}
