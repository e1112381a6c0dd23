package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// result is the result of a run. It is good if no tenant is locked out, nothing is lost
// or pending, and the audit found nothing.
type result struct {
	options
	finalState
	tally    *tally
	sum      judgement // over all tenants
	lost     int
	versions int
	took     time.Duration
	findings []finding
	missing  []string // required events that did not occur
}

func (s *stage) result(r finalState, histories []history, sampled []finding) result {
	all := result{options: s.options, finalState: r, tally: s.tally, findings: append(sampled, r.findings...), missing: append(s.missing(), s.missedEnds()...)}
	for _, h := range histories {
		j := audit(h)
		all.findings = append(all.findings, j.findings...)
		if s.cluster {
			all.findings = append(all.findings, s.runs.judgeReasons(h)...)
		}
		all.versions += len(h.versions)
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
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.group("FAULTS INJECTED, in requests", r.tally, "faults")
	if r.cluster {
		t.group("IN FLIGHT AT ONE MAILU SERVER", r.tally, "in flight")
		t.group("EMERGENCY RUNS", r.tally, "emergency runs")
		t.group("THEIR ROWS, where not all was done", r.tally, "rows of emergency runs")
		t.group("RUNS WITH ONE WRONG TOKEN", r.tally, "wrong token")
	} else {
		t.group("CLOCK OF DAEMON 2", r.tally, "clock")
		t.group("TWO RECORDS FOR ONE USER", r.tally, "rivals")
		t.group("RECORDS THAT DELETE THEMSELVES", r.tally, "expiry")
		t.group("STANDARD ERROR OF DAEMON 1", r.tally, "stderr")
	}
	if r.raft {
		t.group("VAULT'S LEADER IS LOST, at a step", r.tally, "failovers")
	}
	r.printKills(t)
	t.group("PROCESSES STARTED", r.tally, "processes")
	r.printWork(t)
	t.group("SAMPLED MEANWHILE", r.tally, "samples")
	t.group("NIGHTS, each a tick of a schedule with jitter and window", r.tally, "nights")
	t.row("tenants that missed one", r.missed)
	t.head(fmt.Sprintf("AT REST, of %d tenants", r.tenants))
	t.row("finished by naming them, since taken over too often", r.stuck)
	t.row("pending left", r.pending)
	t.row("findings", len(r.findings))
	t.row("locked out", r.lockedOut)
	t.row("lost", r.lost)
	_ = t.Flush()
	if len(r.missing) > 0 {
		fmt.Fprintf(out, "\nnot seen in this run: %s\n", strings.Join(r.missing, "; "))
	}
	fmt.Fprintf(out, "\n%s of faults, %s in all, seed %d\n", r.duration, r.took.Round(time.Second), r.seed)
}

func (r result) printKills(t table) {
	t.head("SIGKILL", "BEFORE", "UNDER WAY", "AFTER")
	hunted := steps()
	if r.cluster {
		hunted = slices.Concat(planning(), working())
	}
	for _, what := range hunted {
		cells := []any{what}
		for _, where := range []place{before, underWay, after} {
			var n any = ""
			if k := (kill{what, where}); k.possible() {
				n = r.tally.of("kills", k.String())
			}
			cells = append(cells, n)
		}
		fmt.Fprintf(t, "  %v\t%v\t%v\t%v\n", cells...)
	}
	t.row(anyMoment, r.tally.of("kills", anyMoment))
	t.row(sigterm, r.tally.of("kills", sigterm))
}

func (r result) printWork(t table) {
	t.head("DONE, by the KV histories")
	t.row("rotations begun", r.sum.prepared)
	t.row("passwords that became current", r.sum.committed)
	t.row("take-overs", r.sum.takeovers)
	t.row("claims renewed by their owner", r.sum.renewals)
	t.row("abandoned", r.sum.abandoned)
	t.row("versions in Vault", r.versions)
	t.row("of these by the operator", r.sum.edits)
	t.head("DONE, by the program's logs, which kills cut short")
	t.row("half-finished rotations finished", r.tally.of("outcomes", "finished"))
	t.row("records rebased", r.tally.of("events", "record rebased"))
	t.row("servers paused", r.tally.of("events", "server paused"))
	t.row("waits for vault", r.tally.of("events", "waiting for vault"))
	t.head("STRAY PUSHES, which nothing can fence")
	t.row("injected", r.tally.of("faults", stray))
	t.row("led astray", r.sum.astray)
	t.row("healed by ordinary work", r.sum.healed-r.repaired)
	t.row("left for verify --repair", r.repaired)
}

// table is what the figures are set in.
type table struct{ *tabwriter.Writer }

func (t table) head(cells ...string) { fmt.Fprintf(t, "\n%s\n", strings.Join(cells, "\t")) }

func (t table) row(name string, n int) { fmt.Fprintf(t, "  %s\t%d\n", name, n) }

// group leaves out what this kind of run does not have.
func (t table) group(title string, of *tally, group string) {
	names := of.names(group)
	if len(names) > 0 {
		t.head(title)
	}
	for _, name := range names {
		t.row(name, of.of(group, name))
	}
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

// tally counts what happens in a run, by group and name.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func newTally() *tally { return &tally{counts: map[string]map[string]int{}} }

func (t *tally) add(group, name string) { t.addN(group, name, 1) }

func (t *tally) addN(group, name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[group] == nil {
		t.counts[group] = map[string]int{}
	}
	t.counts[group][name] += n
}

func (t *tally) of(group, name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[group][name]
}

// names are those of a group, in order.
func (t *tally) names(group string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.counts[group]))
}
