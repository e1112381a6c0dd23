package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what a run comes to. It is good if nobody is locked out, nothing is
// lost, nothing pending, and the audit found nothing.
type result struct {
	options
	rest
	tally    *tally
	sum      judgement // over all tenants
	lost     int
	versions int
	took     time.Duration
	findings []finding
	missing  []string // what this run should have seen
}

func (s *stage) result(r rest, stories []story, sampled []finding) result {
	all := result{options: s.options, rest: r, tally: s.tally, findings: append(sampled, r.findings...), missing: s.missing()}
	for _, told := range stories {
		j := audit(told)
		all.findings = append(all.findings, j.findings...)
		all.versions += len(told.versions)
		all.sum.add(j)
		if j.lost {
			all.lost++
		}
	}
	all.took = time.Since(s.began)
	return all
}

func (j *judgement) add(other judgement) {
	j.prepared += other.prepared
	j.committed += other.committed
	j.takeovers += other.takeovers
	j.renewals += other.renewals
	j.abandoned += other.abandoned
	j.edits += other.edits
	j.astray += other.astray
	j.healed += other.healed
}

func (r result) good() bool {
	return r.lockedOut == 0 && r.lost == 0 && r.pending == 0 && len(r.findings) == 0
}

func (r result) print(out io.Writer) {
	for i, f := range r.findings {
		f.print(out, i+1)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, n int) { fmt.Fprintf(table, "  %s\t%d\n", name, n) }
	fmt.Fprintf(table, "\nFAULTS INJECTED, in requests\n")
	for _, name := range r.tally.names("faults") {
		row(name, r.tally.of("faults", name))
	}
	fmt.Fprintf(table, "\nCLOCK OF DAEMON 2\n")
	for _, name := range r.tally.names("clock") {
		row(name, r.tally.of("clock", name))
	}
	fmt.Fprintf(table, "\nSIGKILL\tBEFORE\tUNDER WAY\tAFTER\n")
	for _, what := range steps() {
		late := ""
		if what.changes() {
			late = fmt.Sprint(r.tally.of("kills", kill{what, underWay}.String()))
		}
		fmt.Fprintf(table, "  %s\t%d\t%s\t%d\n", what, r.tally.of("kills", kill{what, before}.String()), late, r.tally.of("kills", kill{what, after}.String()))
	}
	row(anyMoment, r.tally.of("kills", anyMoment))
	fmt.Fprintf(table, "\nPROCESSES STARTED\n")
	for _, name := range r.tally.names("processes") {
		row(name, r.tally.of("processes", name))
	}
	fmt.Fprintf(table, "\nDONE, by the KV histories\n")
	row("rotations begun", r.sum.prepared)
	row("passwords that became current", r.sum.committed)
	row("take-overs", r.sum.takeovers)
	row("claims renewed by their owner", r.sum.renewals)
	row("abandoned", r.sum.abandoned)
	row("versions written", r.versions)
	row("of these by the operator", r.sum.edits)
	fmt.Fprintf(table, "\nDONE, by the program's logs, which kills cut short\n")
	row("finished for a dead process", r.tally.of("outcomes", "finished"))
	row("records rebased", r.tally.of("events", "record rebased"))
	row("servers paused", r.tally.of("events", "server paused"))
	row("waits for vault", r.tally.of("events", "waiting for vault"))
	fmt.Fprintf(table, "\nSTRAY PUSHES, which nothing can fence\n")
	row("injected", r.tally.of("faults", stray))
	row("led astray", r.sum.astray)
	row("healed by ordinary work", r.sum.healed)
	row("left for verify --repair", r.repaired)
	fmt.Fprintf(table, "\nSAMPLED MEANWHILE\n")
	for _, name := range r.tally.names("samples") {
		row(name, r.tally.of("samples", name))
	}
	fmt.Fprintf(table, "\nAT REST, of %d tenants\n", r.tenants)
	row("finished by naming them, since taken over too often", r.stuck)
	row("pending left", r.pending)
	row("audit findings", len(r.findings))
	row("locked out", r.lockedOut)
	row("lost", r.lost)
	_ = table.Flush()
	if len(r.missing) > 0 {
		fmt.Fprintf(out, "\nnot seen in this run: %s\n", strings.Join(r.missing, "; "))
	}
	fmt.Fprintf(out, "\n%s of faults, %s in all, seed %d\n", r.duration, r.took.Round(time.Second), r.seed)
}

func (f finding) print(out io.Writer, n int) {
	fmt.Fprintf(out, "\nFINDING %d: tenant %s, %s: %s\n", n, f.tenant, f.at.UTC().Format(time.RFC3339Nano), f.what)
	for _, m := range f.around {
		mark := "    "
		if m.at.Equal(f.at) {
			mark = "  > "
		}
		fmt.Fprintln(out, mark+m.String())
	}
}

// names are those of a group, in order.
func (t *tally) names(group string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for name := range t.counts[group] {
		all = append(all, name)
	}
	slices.SortFunc(all, strings.Compare)
	return all
}
